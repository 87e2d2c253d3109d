"""Fail points: where a test makes a worker die."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.errors import SettingsError
from app.runtime.fail_points import FailPoint

_PASS_TWICE = """
from app.runtime.fail_points import FAIL_POINT
for number in (1, 2):
    FAIL_POINT.passed("before_commit")
    FAIL_POINT.passed("before_alert")
    print(number, flush=True)
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", (0, "1\n2\n")),
        ("before_alert", (-9, "")),
        ("before_alert:2", (-9, "1\n")),
        ("before_alert:3", (0, "1\n2\n")),
    ],
)
def test_process_dies_at_the_named_passing(value: str, expected: tuple[int, str]) -> None:
    """Nowhere by default; else by SIGKILL at the n-th passing of that point and no other."""
    done = subprocess.run(
        [sys.executable, "-c", _PASS_TWICE],
        env={"EXIMWATCH_FAIL_AT": value},
        capture_output=True,
        text=True,
        check=False,
    )

    assert expected == (done.returncode, done.stdout)


@pytest.mark.parametrize("value", ["before_lunch", "before_alert:0", "before_alert:x", "before_alert:-1"])
def test_unknown_point_is_refused(value: str) -> None:
    """A test that names no point would pass without testing anything."""
    with pytest.raises(SettingsError, match="EXIMWATCH_FAIL_AT"):
        FailPoint(value)

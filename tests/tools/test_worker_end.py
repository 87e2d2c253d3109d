"""A worker that logs JSON says so in JSON too why it did not start; other commands and formats speak to people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_HOSTILE = "rule\x1b[31m\n2026-11-24 22:46:09 CRITICAL eximwatch: no\u202e.toml"


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXIMWATCH_")}
    named = {f"EXIMWATCH_{name}": value for name, value in variables.items()}
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env={**inherited, **named},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (("worker",), {"LOG_FORMAT": "json", "PARTITIONS": "many"}, "setting partitions (EXIMWATCH_PARTITIONS)"),
        (("worker", "--log-format", "json", "--partitions", "x"), {}, "setting partitions"),
        (("worker", "--log-format=json", "--no-such-flag"), {}, "--no-such-flag"),
        (("worker", "--partitions", "x"), {"CONFIG": "{file}"}, "setting partitions"),
        (("--debug", "worker", "--rules", "/no/such.toml"), {"LOG_FORMAT": "json"}, "/no/such.toml:1: can't be read"),
        (("worker", "--rules", f"/no/{_HOSTILE}"), {"LOG_FORMAT": "json"}, f"/no/{_HOSTILE}:1: can't be read"),
    ],
)
def test_refused_start_is_one_json_line(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    """With the exit code, also where the settings themselves are what is wrong."""
    file = tmp_path / "eximwatch.toml"
    file.write_text('log_format = "json"\n')
    done = _run(*arguments, **{name: value.format(file=file) for name, value in variables.items()})
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]

    assert (2, 2, "critical") == (done.returncode, line["exit_code"], line["log.level"])
    assert said in line["message"]
    assert ("--debug" in arguments) == ("error.stack_trace" in line)
    assert done.stderr[:-1].isprintable()


def test_refused_start_is_a_line_for_people_on_the_console() -> None:
    """As with any command; what a path holds makes no second line and acts on no terminal."""
    done = _run("worker", "--rules", f"/no/{_HOSTILE}")

    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert done.stderr.startswith("eximwatch: /no/rule\\u001b[31m\\u000a2026")
    assert done.stderr[:-1].isprintable()


def test_other_commands_speak_to_people() -> None:
    """Whatever the log's format."""
    done = _run("topics", "check", "--partitions", "x", LOG_FORMAT="json")
    assert done.stderr.startswith("eximwatch: setting partitions")

"""The chaos suite's table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.outcome import Outcome, Results
from tests.chaos.table import line, render, table

ONE = Outcome("kill -9", "1.0", 8, 8, 2000, 400, 410, duplicates=10, catch_up_s=[5.0, 7.0, 6.0], exits={"-9": 8})
BAD = Outcome("SIGTERM", "1.0", 8, 7, 2000, 400, 399, lost=["lost: alert x"], error="TimeoutError: no end")
RESULTS = Results(
    {"cores": "2", "processor": "some"}, {"seed": "1", "faults": "16", "started": "2026-01-05"}, 600, [ONE, BAD]
)


def test_rows_sum_up_the_runs_of_a_kind() -> None:
    """In the order of the kinds, with one for all at the end; what failed is seen."""
    rows = table([BAD, ONE, ONE]).splitlines()
    assert "| kill -9 | 16 | 2 | 4,000 | 800 | 0 | 0 | 0 | 20 | 6.0 s · 7.0 s |" == rows[2]
    assert "| SIGTERM | 7 | 1 (1 failed) | 2,000 | 400 | 1 | 0 | 0 | 0 | – |" == rows[3]
    assert rows[4].startswith("| **all** | 23 | 3 (1 failed) | 6,000 |")
    assert 5 == len(rows)


def test_line_says_what_failed() -> None:
    """With the seed, to repeat it."""
    assert line(ONE).startswith("ok     kill -9")
    text = line(BAD)
    assert text.startswith("FAILED SIGTERM")
    assert "seed 1.0" in text
    assert "lost: alert x" in text
    assert "TimeoutError: no end" in text


@pytest.mark.parametrize(
    "bad",
    [{"lost": ["x"]}, {"unknown": ["x"]}, {"overtaken": ["x"]}, {"wrong": ["x"]}, {"error": "x"}],
    ids=lambda bad: next(iter(bad)),
)
def test_each_finding_fails_the_run(bad: dict[str, list[str] | str]) -> None:
    """Whatever it is."""
    assert not Outcome("kill -9", "1", 1, duplicates=5, remarks=["x"]).failed
    assert Outcome("kill -9", "1", 1, **bad).failed  # type: ignore[arg-type]


def test_table_says_how_it_came_about_and_what_failed() -> None:
    """The command, the machine, a row for each kind and one for all; a run that failed counts, whatever the reason."""
    text = render(RESULTS)
    failed = Outcome("SIGTERM", "1.0", 3, 3, wrong=["a worker ended with 1"])
    assert text.startswith("`make chaos SEED=1 FAULTS=16`, 2026-01-05, 10 minutes on 2 cores")
    assert "| **all** |" in text
    assert "| 1 (1 failed) |" in table([failed])


def test_results_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the file."""
    monkeypatch.setattr("tests.chaos.outcome.FOLDER", tmp_path)
    monkeypatch.setattr("tests.chaos.outcome.FILE", tmp_path / "results.json")
    RESULTS.save()
    assert RESULTS == Results.load()

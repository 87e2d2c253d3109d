"""The bench's words: what it may be told, and what it makes of what it found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.contenders import CONFLUENT, WORKER
from tests.bench.options import OptionError, Options
from tests.bench.results import Cell, Floor, Measurement, Results, Span, WorkerCount
from tests.bench.summary import render

_CELL = Cell("lz4", "large", 2000)


def _results() -> Results:
    results = Results({"cores": "2"}, {"Python": "3"}, {"started": "today", "repeats": "3"})
    for number, seconds in enumerate((1.0, 2.0, 4.0)):
        ours, theirs = Span(1_000_000, seconds, 2.0, 10**8), Span(1_000_000, seconds * 4, 8.0, 4 * 10**8)
        results.measurements.append(Measurement(WORKER, _CELL, number, 0.0, ours))
        results.measurements.append(Measurement(CONFLUENT, _CELL, number, 0.0, theirs))
        results.floors.append(Floor(_CELL, number, 0.1, 0.6, 0.3))
    return results


def test_tables_show_medians_and_ratios() -> None:
    """The middle of three rounds, against the others and the floor."""
    text = render(_results())

    assert "| 500 · 2.00 · 100" in text
    assert "4.00 × (must 4, aim 5)" in text
    assert "0.25 × (must 0.4, aim 0.3)" in text
    assert "2.00 × (must 2, aim 1.5)" in text


def test_a_failure_is_a_row_with_its_reason() -> None:
    """A contender that can't be had is named all the same."""
    results = _results()
    results.measurements.append(Measurement("Bytewax, filter", _CELL, 1, 0.0, None, "not to be had"))

    assert "failed: not to be had" in render(results)


def test_a_worker_over_tls_has_a_row_of_its_own(tmp_path: Path) -> None:
    """Beside one worker in the clear, with which it has the count in common; in the file too."""
    results = _results()
    for tls, seconds in ((False, 2.0), (True, 4.0)):
        results.workers += [WorkerCount(1, n, 0.0, Span(1_000_000, seconds, seconds, 1), tls=tls) for n in (1, 2, 3)]
    results.save(tmp_path / "results.json")

    for found in (results, Results.load(tmp_path / "results.json")):
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in render(found).splitlines()]
        assert ["1 worker, lz4", "500 k events/s, 2.00 µs of CPU an event"] in rows
        assert ["1 worker, lz4, TLS", "250 k events/s, 4.00 µs of CPU an event"] in rows


def test_a_busy_machine_is_told() -> None:
    """Figures that mean nothing say so."""
    results = _results()
    results.measurements = [Measurement(WORKER, _CELL, 1, 0.4, Span(1, 1.0, 1.0, 1))]

    assert "not quiet" in render(results)
    assert "not quiet" not in render(_results())


def test_results_come_back_as_they_were_saved(tmp_path: Path) -> None:
    """The README can be made from the file alone."""
    results = _results()
    results.save(tmp_path / "results.json")

    assert render(results) == render(Results.load(tmp_path / "results.json"))


def test_options_come_from_the_environment() -> None:
    """With defaults, and a word about what is impossible."""
    assert 3 == Options.from_environment({}).repeats
    assert 1 == Options.from_environment({"QUICK": "1"}).repeats
    assert ("zstd",) == Options.from_environment({"CODECS": "zstd"}).codecs
    assert "tls" in Options.from_environment({}).parts
    assert ("tls",) == Options.from_environment({"PARTS": "tls"}).parts
    for name, value in (("CODECS", "brotli"), ("RATES", "7"), ("REPEATS", "none")):
        with pytest.raises(OptionError, match=name):
            Options.from_environment({name: value})


def test_cells_leave_the_headline_in_one_way_only() -> None:
    """Small events with many matches tell nothing that the others do not."""
    cells = list(Options.from_environment({}).cells())

    assert 12 == len(cells)
    assert Cell("none", "small", 50) not in cells

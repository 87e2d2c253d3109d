"""deploy/SIZING.md: its tables are what the code makes, and its figures are those of the README."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.tools import sizing_figures as figures
from app.tools.cli import cli
from tests.deploy.sizing_document import FILE, PARTS, rendered

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = FILE.read_text(encoding="utf-8")
CODECS = ("none", "lz4", "zstd")


def _cells(start: str) -> list[str]:
    """The cells of the README's first line that begins so: figures stand before what is told of the topics."""
    line = next(line for line in README.splitlines() if re.match(rf"\| {re.escape(start)} *\|", line))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def _numbers(cell: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", cell)]


def test_tables_are_what_the_code_makes() -> None:
    """After a change of a figure or an assumption: `python -m tests.deploy.sizing_document --write`."""
    assert rendered(TEXT) == TEXT, "run `python -m tests.deploy.sizing_document --write`"
    assert len(PARTS) == len(re.findall(r"<!-- \w+: begin -->", TEXT))


@pytest.mark.parametrize("codec", CODECS)
def test_scans_are_those_of_the_readme(codec: str) -> None:
    """CPU of an event: without matches, and with one in 2,000, large and small; rate and compression of the large."""
    rate, sparse, _ = _numbers(_cells("worker")[CODECS.index(codec)])

    assert figures.SCAN_US[codec] == _numbers(_cells(f"{codec}, large events, no match")[0])[1]
    assert figures.SMALL_SPARSE_US[codec] == _numbers(_cells(f"{codec}, small events, 1 match in 2,000")[0])[1]
    assert (figures.LARGE_SPARSE_RATE[codec], figures.LARGE_SPARSE_US[codec]) == (rate * 1000, sparse)


@pytest.mark.parametrize("codec", CODECS)
def test_topics_are_those_of_the_readme(codec: str) -> None:
    """Bytes an event and compression; the row's name stands in two tables."""
    rows = [line for line in README.splitlines() if line.startswith(f"| {codec}, large events, 1 match in 2,000 ")]
    cells = [cell.strip() for cell in rows[-1].strip("|").split("|")]
    small = [line for line in README.splitlines() if line.startswith(f"| {codec}, small events, 1 match in 2,000 ")]

    assert (figures.LARGE_BYTES, figures.COMPRESSION[codec]) == (_numbers(cells[2])[0], float(cells[4]))
    assert figures.SMALL_BYTES == _numbers(small[-1].split("|")[3])[0]


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ((figures.FAMILY_RATE, figures.FAMILY_US), r"\| ([\d,]+)/s \(([\d,]+) µs of CPU each\)"),
        ((figures.SLOT_BYTES,), r"([\d,]+) bytes on disk a slot"),
        ((figures.TERMS_REBUILD,), r"\| ([\d,]+) records/s, stock Faust"),
        ((round(figures.THREE_RULES * 100 - 100),), r"([\d,]+) % more CPU an event"),
        ((figures.DENSE_MATCH_US,), r"a match costs some ([\d,]+) µs of CPU"),
        ((39, 20, 14, 8), r"\| delivery programs and filters \| (\d+) \| (\d+), (\d+), (\d+) \|"),
    ],
)
def test_figure_is_the_readmes(expected: tuple[float, ...], words: str) -> None:
    """Each that the README's sentences and tables give as well."""
    found = re.search(words, re.sub(r"\s+", " ", README))

    assert found is not None
    assert expected == tuple(float(number.replace(",", "")) for number in found.groups())


def test_figures_that_follow_from_the_readmes() -> None:
    """Matches an execution, slots an execution in words, and the peak of memory."""
    peak = max(_numbers(cell)[2] for cell in _cells("worker"))

    assert (20 + 14 + 8) / 39 == figures.MATCHES_AN_EXECUTION
    assert "An execution takes about two of a host's" in re.sub(r"\s+", " ", README)
    assert peak * 1e6 == figures.PEAK_RSS


def test_every_figure_is_declared_once_with_its_source() -> None:
    """And declared as the constant that is calculated with."""
    names = [one.name for one in figures.FIGURES]

    assert len(set(names)) == len(names)
    for one in figures.FIGURES:
        name, _, key = one.name.partition("[")
        value = vars(figures)[name]
        assert one.value == (value[key.rstrip("]")] if key else value), one.name
        assert re.search(r", \d{4}-\d\d-\d\d$", one.source), one.name


def test_shown_sizing_commands_run() -> None:
    """Each `eximwatch size` of the document."""
    shown = re.findall(r"^\$ eximwatch (size.*)$", TEXT, re.MULTILINE)

    assert shown
    for line in shown:
        done = CliRunner().invoke(cli, shlex.split(line))
        assert 0 == done.exit_code, (line, done.output)


@pytest.mark.parametrize(
    "words",
    [
        f"{figures.WORKER_CORES} is the least share of a core",
        f"{figures.SPARSE_EXECUTION_US:,.0f} µs",
        f"{figures.DENSE_MATCH_US:,.0f} µs one in 50, {figures.FAMILY_US:,.0f} µs",
        f"at 4.9 KB {figures.SCAN_US['lz4']} µs, at 2.4 KB {figures.small_scan_us('lz4'):.2f} µs",
        f"slots · {figures.SLOT_BYTES:.0f} bytes + terms · {figures.TERM_BYTES} bytes",
        f"slots / {figures.LINEAGE_REBUILD:,.0f} + terms / {figures.TERMS_REBUILD:,.0f}",
        f"bytes an event + {figures.MATCH_OVERHEAD_BYTES:.0f}",
        f"{figures.LINEAGE_RECORDS} · ({figures.LINEAGE_RECORD_BYTES:.0f} + {figures.RECORD_FRAMING_BYTES:.0f}) bytes",
        f"{figures.MATCHES_AN_EXECUTION:.2f} matches an execution · {figures.TERM_CHANGE_BYTES:.0f} bytes",
        f"{figures.IDLE_BYTES / 1e6} MB + {figures.IDLE_PARTITION_BYTES / 1e6} MB · ⌈P/N⌉",
        f"{figures.TERM_MEMORY_BYTES} bytes a term + {figures.AT_WORK_BYTES / 1e6:.0f} MB under way",
        f"2 tables · {figures.DATABASE_BESIDES_BYTES / 1e6:.1f} MB",
        f"{figures.WORKER_CORES / figures.SPARSE_EXECUTION_US * 1e6:.0f} to {figures.FAMILY_RATE:,.0f} executions",
        f"alerts | new terms a day · {figures.ALERT_BYTES / 1000:.1f} KB",
    ],
)
def test_formulas_name_the_figures(words: str) -> None:
    """The prose does not stay behind when a figure changes."""
    assert words in re.sub(r"\s+", " ", TEXT)

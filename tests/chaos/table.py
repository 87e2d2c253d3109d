"""The results as a table for the README: `python -m tests.chaos.table` prints it, `--write` puts it in."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from typing import Final

from tests.chaos.faults import NAMES
from tests.chaos.outcome import FILE, Outcome, Results
from tests.readme_part import print_or_write

BEGIN: Final = "<!-- chaos begin -->"
END: Final = "<!-- chaos end -->"

_SHOWN: Final = 12
_HEADINGS: Final = (
    "fault",
    "faults",
    "runs",
    "events",
    "alerts expected",
    "lost",
    "unknown",
    "commits too far",
    "duplicates",
    "caught up after, median · longest",
)


def render(results: Results) -> str:
    """The table, after a line that says how it came about."""
    return f"{facts(results)}\n\n{table(results.outcomes)}"


def facts(results: Results) -> str:
    """Command, machine and time."""
    machine = results.machine
    options = results.options
    return (
        f"`make chaos SEED={options['seed']} FAULTS={options['faults']}`, {options['started']}, "
        f"{results.seconds / 60:.0f} minutes on {machine['cores']} cores ({machine['processor']})."
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for each kind and one for all, in Markdown."""
    rows = [_row(name, [one for one in outcomes if one.kind == name]) for name in NAMES]
    lines = [_HEADINGS, ["---"] * len(_HEADINGS), *filter(None, rows), _row("**all**", outcomes)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines if line)


def line(outcome: Outcome) -> str:
    """One run in one line, for who watches."""
    state = "FAILED" if outcome.failed else "ok"
    text = (
        f"{state:6} {outcome.kind:26} seed {outcome.seed}: {outcome.injected}/{outcome.asked} faults, "
        f"{outcome.seen} alerts ({outcome.expected} expected, {outcome.duplicates} repeated), "
        f"caught up after {_times([outcome])}, exits {_exits(outcome)}, {outcome.seconds:.0f} s"
    )
    bad = [*outcome.lost, *outcome.unknown, *outcome.overtaken, *outcome.wrong, *outcome.remarks]
    if outcome.error:
        bad.append(outcome.error)
    shown = [f"       {one}" for one in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        shown.append(f"       … and {len(bad) - _SHOWN} more")
    return "\n".join([text, *shown])


def _row(name: str, outcomes: Sequence[Outcome]) -> Sequence[str]:
    if not outcomes:
        return ()
    failed = sum(one.failed for one in outcomes)
    return (
        name,
        f"{sum(one.injected for one in outcomes):,}",
        f"{len(outcomes)}" + (f" ({failed} failed)" if failed else ""),
        f"{sum(one.events for one in outcomes):,}",
        f"{sum(one.expected for one in outcomes):,}",
        f"{sum(len(one.lost) for one in outcomes)}",
        f"{sum(len(one.unknown) for one in outcomes)}",
        f"{sum(len(one.overtaken) for one in outcomes)}",
        f"{sum(one.duplicates for one in outcomes):,}",
        _times(outcomes),
    )


def _times(outcomes: Sequence[Outcome]) -> str:
    times = [seconds for one in outcomes for seconds in one.catch_up_s]
    return f"{statistics.median(times):.1f} s · {max(times):.1f} s" if times else "–"


def _exits(outcome: Outcome) -> str:
    return " ".join(f"{code}×{times}" for code, times in outcome.exits.items()) or "none"


if __name__ == "__main__":
    sys.exit(print_or_write(sys.argv[1:], FILE, lambda: render(Results.load()), BEGIN, END))

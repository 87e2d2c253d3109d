"""The tables of deploy/SIZING.md: `python -m tests.deploy.sizing_document --write` puts them in."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from app.tools.size_command import HELP, HOSTS, rows
from app.tools.sizing import Fleet, size
from app.tools.sizing_figures import FIGURES
from tests.readme_part import written

FILE: Final = Path(__file__).parents[2] / "deploy" / "SIZING.md"

_BUSY: Final = {
    "exim_share": 1.0,
    "executions_per_hour": 10_000.0,
    "events_per_host_second": 5.0,
    "event_bytes": 3_300,
    "execution_cpu_us": 950.0,
}
_BUSY_HOSTS: Final = (100, 1_000, 10_000)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    marks = ["---", *("---:" if cell[:1].isdigit() else "---" for cell in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *lines))


def assumptions() -> str:
    """The flags, and what is assumed without them."""
    fields = dataclasses.fields(Fleet)[1:]
    lines = [(f"`--{one.name.replace('_', '-')}`", f"{one.default}", HELP[one.name]) for one in fields]
    return _table(("flag", "default", "meaning"), lines)


def sizes() -> str:
    """The three fleets by the defaults."""
    fleets = [Fleet(hosts) for hosts in HOSTS]
    return _table(("hosts", *(f"{one.hosts:,}" for one in fleets)), rows([size(one) for one in fleets]))


def busy() -> str:
    """Mail servers alone."""
    fleets = [dataclasses.replace(Fleet(hosts), **_BUSY) for hosts in _BUSY_HOSTS]  # type: ignore[arg-type]  # by name
    return _table(("busy mail servers", *(f"{one.hosts:,}" for one in fleets)), rows([size(one) for one in fleets]))


def figures() -> str:
    """All that was measured."""
    lines = [(one.what, _number(one.value), one.unit, one.source) for one in FIGURES]
    return _table(("what", "figure", "unit", "measured by"), lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == round(value) else f"{value:.2f}".rstrip("0")


PARTS: Final[dict[str, Callable[[], str]]] = {
    "assumptions": assumptions,
    "sizes": sizes,
    "busy": busy,
    "figures": figures,
}


def rendered(text: str) -> str:
    """The document with its tables made anew."""
    for name, render in PARTS.items():
        text = written(text, f"<!-- {name}: begin -->", f"<!-- {name}: end -->", render())
    return text


if __name__ == "__main__":
    made = rendered(FILE.read_text(encoding="utf-8"))
    if "--write" in sys.argv[1:]:
        FILE.write_text(made, encoding="utf-8")
    else:
        print(made)

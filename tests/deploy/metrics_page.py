"""The page of metrics, made of their declaration: `python -m tests.deploy.metrics_page --write`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from app.runtime.metrics import METRICS

PAGE: Final = Path(__file__).parents[2] / "deploy" / "METRICS.md"
BEGIN: Final = "<!-- metrics: begin -->\n"
END: Final = "<!-- metrics: end -->"


def table() -> str:
    """All metrics as a table."""
    rows = ["| metric | kind | labels | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit} | {metric.help} |")
    return "\n".join(rows) + "\n"


def shown(page: str) -> str:
    """The table that stands in the page."""
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)]


def rewritten(page: str) -> str:
    """The page with the table as it must be."""
    return page[: page.index(BEGIN) + len(BEGIN)] + table() + page[page.index(END) :]


if __name__ == "__main__":
    current = PAGE.read_text(encoding="utf-8")
    if "--write" in sys.argv:
        PAGE.write_text(rewritten(current), encoding="utf-8")
    else:
        sys.stdout.write(table())

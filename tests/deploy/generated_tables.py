"""Tables of the documentation that are made of declarations: `python -m tests.deploy.generated_tables --write`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.runtime.log_fields import FIELDS
from app.runtime.metrics import METRICS

_DEPLOY: Final = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True)
class Table:
    """A table, and the page in which it stands between two marks."""

    name: str
    page: Path
    make: Callable[[], str]

    def _parts(self) -> tuple[str, str, str]:
        page = self.page.read_text(encoding="utf-8")
        before, begin, rest = page.partition(f"<!-- {self.name}: begin -->\n")
        shown, end, after = rest.partition(f"<!-- {self.name}: end -->\n")
        return before + begin, shown, end + after

    def shown(self) -> str:
        """The table that stands in the page."""
        return self._parts()[1]

    def write(self) -> None:
        """Put the table as it must be into the page."""
        before, _, after = self._parts()
        self.page.write_text(before + self.make() + after, encoding="utf-8")


def _of_metrics() -> str:
    rows = ["| metric | kind | labels | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit} | {metric.help} |")
    return "\n".join(rows) + "\n"


def _of_log_fields() -> str:
    rows = ["| JSON | console | meaning |", "| --- | --- | --- |"]
    rows += [f"| `{field.json}` | `{field.name}` | {field.help} |" for field in FIELDS]
    return "\n".join(rows) + "\n"


TABLES: Final = (
    Table("metrics", _DEPLOY / "METRICS.md", _of_metrics),
    Table("log fields", _DEPLOY / "README.md", _of_log_fields),
)

if __name__ == "__main__":
    for table in TABLES:
        if "--write" in sys.argv:
            table.write()
        else:
            sys.stdout.write(table.make())

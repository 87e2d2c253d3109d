"""The tables of deploy/LICENCES.md: `python -m tests.supply.licences --write` puts them in, from what is installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from tests.readme_part import written
from tests.supply.bundled import BUNDLED
from tests.supply.claims import claim, crates
from tests.supply.lock import ROOT, Locked, locked, runtime
from tests.supply.spdx import ALLOWED

FILE: Final = ROOT / "deploy" / "LICENCES.md"
PARTS: Final = ("packages", "bundled", "crates", "allowed")
WITH_CRATES: Final = ("cramjam", "fastcrc", "orjson", "pydantic-core")


class NotInstalledError(Exception):
    """The tables are made where everything is installed: by the oldest supported Python, on Linux."""


def begin(part: str) -> str:
    """The marker before a part."""
    return f"<!-- {part}: begin -->"


def end(part: str) -> str:
    """The marker after it."""
    return f"<!-- {part}: end -->"


def row(package: Locked, *, is_running: bool) -> str | None:
    """A package's line; none where it is not installed."""
    said = claim(package)
    use = "worker" if is_running else "build"
    return said and _row((package.name, package.version, said.expression, said.source, use))


def table(part: str) -> str:
    """One part's table.

    Raises:
        NotInstalledError: A package is not installed here.
    """
    return "\n".join({"packages": _packages, "bundled": _bundled, "crates": _crates, "allowed": _allowed}[part]())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _head(*names: str) -> list[str]:
    return [_row(names), _row(["---"] * len(names))]


def _packages() -> Iterator[str]:
    yield from _head("package", "version", "licence (SPDX)", "claimed by", "used by")
    packages = locked()
    running = runtime(packages)
    for one in packages:
        if (line := row(one, is_running=one.name in running)) is None:
            raise NotInstalledError(f"{one.name} {one.version} is not installed here")
        yield line


def _bundled() -> Iterator[str]:
    yield from _head("wheel", "library in it", "version", "licence (SPDX)", "told by", "its text is in the wheel")
    for one in BUNDLED:
        yield _row(
            (one.package, one.name, one.version or "not told", one.licence, one.told_by, "yes" if one.text else "no")
        )


def _crates() -> Iterator[str]:
    yield from _head("wheel", "crates", "their licences")
    for name in WITH_CRATES:
        found = crates(name)
        if found is None:
            raise NotInstalledError(f"{name} brings no bill of materials here")
        by_number = sorted(found.licences, key=lambda one: (-one[1], one[0]))
        yield _row((name, str(found.number), ", ".join(f"{licence} ({count})" for licence, count in by_number)))


def _allowed() -> Iterable[str]:
    return [*_head("licence", "what follows"), *(_row(one) for one in sorted(ALLOWED.items()))]


def part_of(text: str, part: str) -> str:
    """What stands in a document between a part's markers."""
    return text.partition(f"{begin(part)}\n")[2].partition(f"\n{end(part)}")[0]


def written_licences() -> dict[str, str]:
    """Licence by package, as the document has it."""
    lines = part_of(FILE.read_text(encoding="utf-8"), "packages").splitlines()[2:]
    cells = (re.split(r" *\| *", line)[1:-1] for line in lines)
    return {name: licence for name, _, licence, *_ in cells}


def main(arguments: Sequence[str]) -> None:
    """Print the tables, or write them."""
    text = FILE.read_text(encoding="utf-8")
    for part in PARTS:
        text = written(text, begin(part), end(part), table(part))
    if "--write" in arguments:
        FILE.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Parts of the README that are made from results: each stands between two markers, and a command writes it there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.broker.jars import REPOSITORY

README: Final = REPOSITORY / "README.md"


class NoPlaceError(Exception):
    """The README has no markers; put both where the part belongs."""


def written(readme: str, begin: str, end: str, text: str) -> str:
    """The README with the text between the markers.

    Raises:
        NoPlaceError: There are no markers.
    """
    before, found, rest = readme.partition(f"{begin}\n")
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise NoPlaceError(f"the README has no {begin} … {end}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def print_or_write(
    arguments: Sequence[str], results: Path, render: Callable[[], str], begin: str, end: str, readme: Path = README
) -> int:
    """Print a part, or with `--write` put it in; returns the exit code.

    Args:
        arguments: Of the command line.
        results: The file that the part is made from.
        render: Makes it; called if the file is there.
        begin: The marker before it.
        end: The marker after it.
        readme: Where it belongs.
    """
    if not results.is_file():
        print(f"{results} is not there: run `make {results.parent.name}` first", file=sys.stderr)
        return 1
    text = render()
    if "--write" not in arguments:
        print(text)
        return 0
    try:
        readme.write_text(written(readme.read_text(encoding="utf-8"), begin, end, text), encoding="utf-8")
    except NoPlaceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0

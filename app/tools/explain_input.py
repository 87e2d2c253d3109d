"""The one record that `eximwatch explain` is asked about, where it stands in a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from app.core.event import UndecodableError, decode
from app.errors import InputError
from app.tools.lines import open_lines

_NO_LINE = re.compile(r"(?P<file>.+):(?P<line>[^:/]*)", re.DOTALL)
_WITH_LINE = re.compile(r"(?P<file>.+):(?P<line>[1-9]\d{0,11})", re.DOTALL | re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """A record in a file: its bytes, the file as it was named, and its line, counted from 1."""

    raw: bytes
    file: str
    number: int


def read_record(name: str) -> Line:
    """Read the record that `FILE[:LINE]` names; `-` is standard input.

    Without a line the file holds one record: a line, or one JSON object written over several.

    Raises:
        InputError: It can't be read, or has no such line, or several records and none was named.
    """
    file, number = _split(name)
    with open_lines(file) as source:
        if number is not None:
            return _numbered(source, file, number)
        content = source.read()
    lines = [(at, line) for at, line in enumerate(content.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise InputError(f"{file} holds no record")
    if len(lines) == 1:
        return Line(lines[0][1], file, lines[0][0])
    if _is_object(content):
        return Line(content, file, lines[0][0])
    raise InputError(f"{file} holds {len(lines)} records: say which, as in {file}:{lines[0][0]}")


def _split(name: str) -> tuple[str, int | None]:
    """File and line; a file whose own name ends in a colon and digits is taken by that name."""
    found = _WITH_LINE.fullmatch(name)
    if found is None or Path(name).exists():
        _refuse_no_line(name)
        return name, None
    return found["file"], int(found["line"])


def _refuse_no_line(name: str) -> None:
    found = _NO_LINE.fullmatch(name)
    if found is not None and not Path(name).exists() and Path(found["file"]).exists():
        raise InputError(f"{found['line']!r} is no line of {found['file']}: name one by its number, from 1")


def _numbered(source: IO[bytes], file: str, number: int) -> Line:
    for line in islice(source, number - 1, number):
        return Line(line.removesuffix(b"\n"), file, number)
    raise InputError(f"{file} has no line {number}")


def _is_object(content: bytes) -> bool:
    try:
        decode(content)
    except UndecodableError:
        return False
    return True

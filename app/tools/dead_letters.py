"""Dead letters as they are read and shown. Pure: where they come from stands in `app.tools.topic_reader`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

import msgspec
from rich.text import Text

from app.core.clock import format_time
from app.core.visible import visible
from app.errors import InputError
from app.runtime.records import (
    DeadLetterHeaders,
    NotADeadLetterError,
    ReadHeaders,
    SourcePosition,
    read_dead_letter_headers,
)
from app.tools.screen import plain
from app.tools.topic_reader import StoredRecord

FOREIGN = "not_a_dead_letter"
"""Shown as the reason of a record that the worker did not write."""

_MILLISECOND = 1_000_000
_POSITION = re.compile(r"(?:([A-Za-z0-9._-]+):)?(\d{1,9}):(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter at its place.

    Attributes:
        position: Where it stands in the topic of dead letters, `topic:partition:offset`.
        time: When it was written, milliseconds since 1970; None where that is not known.
        value: The source record's bytes, or where it was cut their beginning.
        headers: Its headers as they are.
        said: What they say; None where the worker did not write it.
        foreign: Why it is none of the worker's; else "".
    """

    position: str
    time: int | None
    value: bytes
    headers: ReadHeaders
    said: DeadLetterHeaders | None
    foreign: str = ""

    @property
    def reason(self) -> str:
        """Why the record could not be judged."""
        return FOREIGN if self.said is None else self.said.reason

    @property
    def detail(self) -> str:
        """What is said of it; not escaped."""
        return self.foreign if self.said is None else self.said.detail


def letter_of(record: StoredRecord) -> Letter:
    """Read a record of the topic."""
    position = f"{record.topic}:{record.partition}:{record.offset}"
    value = record.value or b""
    try:
        said = read_dead_letter_headers(record.headers)
    except NotADeadLetterError as error:
        return Letter(position, record.time, value, record.headers, None, str(error))
    return Letter(position, record.time, value, record.headers, said)


def parse_position(text: str, topic: str) -> tuple[int, int]:
    """Partition and offset of a letter, written `PARTITION:OFFSET` or as `list` shows it.

    Raises:
        InputError: It is neither, or names another topic.
    """
    found = _POSITION.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text!r} is no position: write PARTITION:OFFSET, as `eximwatch dead-letters list` shows them"
        )
    if found[1] not in (None, topic):
        raise InputError(f"{text} is not in {topic}: is EXIMWATCH_TOPIC_PREFIX that of the installation?")
    return int(found[2]), int(found[3])


def chosen(letters: Iterable[Letter], reason: str | None) -> Iterator[Letter]:
    """Those of a reason; None takes all."""
    return (letter for letter in letters if reason in (None, letter.reason))


def newest(letters: Iterable[Letter], count: int) -> list[Letter]:
    """The last ones by the time they were written, in that order; no more than these are kept in memory."""
    numbered = ((letter.time or 0, number, letter) for number, letter in enumerate(letters))
    return [letter for _, _, letter in sorted(nlargest(count, numbered))]


def line(letter: Letter) -> Text:
    """A letter in one line for a terminal."""
    said = letter.said
    return Text("  ").join(
        (
            plain(letter.position, "bold"),
            plain(shown_time(letter.time), "dim"),
            plain(letter.reason, "yellow"),
            plain((said.rule_id if said else None) or "-", "cyan"),
            plain(shown_source(said.source) if said else "-"),
            plain(_size(letter)),
            plain(letter.detail),
        )
    )


def as_json(letter: Letter) -> bytes:
    """What `line` says, as JSON; fields that do not apply are left out."""
    document: dict[str, Any] = {"position": letter.position, "reason": letter.reason, "detail": letter.detail}
    if letter.time is not None:
        document["time"] = shown_time(letter.time)
    document["size"] = len(letter.value)
    said = letter.said
    if said is not None:
        source = said.source
        document["source"] = source.shown()
        if source.timestamp is not None:
            document["source"]["timestamp"] = source.timestamp
        if said.rule_id is not None:
            document["rule"] = said.rule_id
        if said.cut_from is not None:
            document["cut_from"] = {"size": said.cut_from[0], "sha256": said.cut_from[1]}
    return msgspec.json.encode(document)


def described(letter: Letter) -> Iterator[str]:
    r"""A letter in full, line by line, safe on a terminal: bytes that are no text are written as `\xNN`."""
    yield f"position: {visible(letter.position)}"
    yield f"time: {shown_time(letter.time)}"
    if letter.said is None:
        yield f"not written by a worker: {visible(letter.foreign)}"
    for name, value in letter.headers:
        yield f"{visible(name)}: {'(null)' if value is None else _text(value)}"
    yield f"size: {_size(letter)}"
    yield ""
    yield _text(letter.value)


def summary(reasons: Counter[str]) -> str:
    """How many there are of each reason."""
    total = sum(reasons.values())
    counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"{total} dead letters" + (f": {counted}" if counted else "")


def shown_time(milliseconds: int | None) -> str:
    """A time for people; "-" where there is none, or none that a calendar has."""
    if milliseconds is None:
        return "-"
    try:
        return format_time(milliseconds * _MILLISECOND)
    except (OverflowError, ValueError):
        return str(milliseconds)


def shown_source(source: SourcePosition) -> str:
    """A source position, `topic:partition:offset`."""
    return f"{source.topic}:{source.partition}:{source.offset}"


def _size(letter: Letter) -> str:
    cut_from = letter.said.cut_from if letter.said else None
    return f"{len(letter.value)} B" + (f" of {cut_from[0]} B" if cut_from else "")


def _text(value: bytes) -> str:
    return visible(value.decode("utf-8", "backslashreplace"))

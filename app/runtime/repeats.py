"""Log records that repeat: the first is let through, what follows is counted and told once a minute.

A broker that is away makes its clients complain many times a second, and a flood of bad events as many dead letters.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

INTERVAL: Final = 60.0
"""Seconds in which one of equal records is written, and one that says how many were not."""

MOST: Final = 256
"""Kinds of records that are known at a time; where more come, the one known longest is told and forgotten."""

OURS: Final = "eximwatch"

_NUMBERS: Final = re.compile(r"0x[0-9a-fA-F]+|\d+")
_KEY: Final = 200
"""Characters of a text that tell it from others."""

_TELLING: Final = ("reason", "rule", "table", "path", "task", "each")
"""Fields in which equal records agree."""

_Key = tuple[object, ...]


@dataclass(slots=True)
class _Held:
    """One kind of records.

    Attributes:
        due: When it is told how many came, or forgotten where none did.
        count: How many were held back.
        last: The last of them, without what it refers to.
    """

    due: float
    count: int = 0
    last: logging.LogRecord | None = None


class Repeats:
    """Decides which records are written. Not for several threads at once.

    Records are equal that come from the same logger, with the same level, of the same line of code and with the same
    text but for numbers (of ours: the same template and reason, rule, table …). Critical ones are always written, and
    what we tell below a warning: its lines are few by themselves.
    """

    def __init__(self, now: Callable[[], float], interval: float = INTERVAL, most: int = MOST) -> None:
        """Take the clock, seconds that never go back."""
        self._now = now
        self._interval = interval
        self._most = most
        self._held: dict[_Key, _Held] = {}
        self._evicted: list[logging.LogRecord] = []
        self._next = math.inf

    def admit(self, record: logging.LogRecord) -> bool:
        """Whether a record is written; else it is counted."""
        if record.levelno >= logging.CRITICAL or (record.name == OURS and record.levelno < logging.WARNING):
            return True
        key = _key(record)
        held = self._held.get(key)
        if held is not None:
            held.count += 1
            held.last = _alone(record)
            return False
        if len(self._held) >= self._most:
            oldest = next(iter(self._held))
            self._evicted += _told(self._held.pop(oldest))
        due = self._now() + self._interval
        self._held[key] = _Held(due)
        self._next = min(self._next, due)
        return True

    def due(self) -> Iterator[logging.LogRecord]:
        """Records to be written now: the last of each kind that was held back, with how many there were."""
        evicted, self._evicted = self._evicted, []
        yield from evicted
        now = self._now()
        if now < self._next:
            return
        for key, held in [(key, held) for key, held in self._held.items() if held.due <= now]:
            del self._held[key]
            if held.count:
                yield from _told(held)
                self._held[key] = _Held(now + self._interval)
        self._next = min((held.due for held in self._held.values()), default=math.inf)

    def rest(self) -> Iterator[logging.LogRecord]:
        """All that was held back and not told; nothing is known any more."""
        held, self._held, self._next = self._held, {}, math.inf
        evicted, self._evicted = self._evicted, []
        yield from evicted
        for one in held.values():
            yield from _told(one)


def _key(record: logging.LogRecord) -> _Key:
    place = (record.name, record.levelno, record.pathname, record.lineno)
    fields = getattr(record, "fields", None)
    if fields is None:
        text = str(record.msg)
        return (*place, _NUMBERS.sub("#", (_text(record) if text == "%s" else text)[:_KEY]))
    each = getattr(record, "each", ())
    return (*place, *(str(fields.get(name))[:_KEY] for name in (*_TELLING, *each)))


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 — a library's mistake in its own message
        return str(record.msg)


def _alone(record: logging.LogRecord) -> logging.LogRecord:
    """A record that keeps nothing alive: an error's frames may hold on to a database."""
    alone = logging.makeLogRecord(record.__dict__)
    alone.msg, alone.args = _text(record)[:10_000], ()
    alone.exc_info = alone.exc_text = alone.stack_info = None
    fields = getattr(record, "fields", None)
    if fields is not None:
        alone.fields = {name: str(one) if isinstance(one, BaseException) else one for name, one in fields.items()}
    return alone


def _told(held: _Held) -> list[logging.LogRecord]:
    if held.last is None:
        return []
    held.last.msg = f"{held.last.msg} (repeated {held.count} times)"
    held.last.fields = {**getattr(held.last, "fields", {}), "repeated": held.count}
    held.last.said = getattr(held.last, "said", frozenset()) | {"repeated"}
    return [held.last]

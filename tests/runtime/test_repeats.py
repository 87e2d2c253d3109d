"""Of equal log records the first is written, and once a minute how many more there were."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterable
from typing import NoReturn

import pytest

from app.runtime.repeats import INTERVAL, MOST, Repeats


class Clock:
    """Seconds as a test wants them."""

    now = 0.0

    def __call__(self) -> float:
        """The present."""
        return self.now


def _record(
    message: str, *args: object, name: str = "aiokafka", level: int = logging.ERROR, line: int = 1
) -> logging.LogRecord:
    return logging.LogRecord(name, level, "file.py", line, message, args, None)


def _ours(level: int = logging.WARNING, each: tuple[str, ...] = (), **fields: object) -> logging.LogRecord:
    record = _record("a sentence with other values", name="eximwatch", level=level)
    record.fields, record.each = fields, each
    return record


def _messages(records: Iterable[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records]


def test_first_is_written_and_the_rest_is_counted() -> None:
    """Told after a minute, with the text of the last; as long as more come once a minute."""
    clock = Clock()
    repeats = Repeats(clock)

    assert [True, False, False] == [repeats.admit(_record("no broker %d at 0x%x", n, n)) for n in (7, 8, 9)]
    assert [] == _messages(repeats.due())
    clock.now = INTERVAL
    assert ["no broker 9 at 0x9 (repeated 2 times)"] == _messages(repeats.due())
    assert not repeats.admit(_record("no broker %d at 0x%x", 10, 10))
    assert [] == _messages(repeats.due())
    clock.now = 2 * INTERVAL
    assert ["no broker 10 at 0xa (repeated 1 times)"] == _messages(repeats.due())


def test_one_that_has_stopped_is_written_at_once_when_it_comes_again() -> None:
    """After a minute in which there was none."""
    clock = Clock()
    repeats = Repeats(clock)
    repeats.admit(_record("no broker"))
    clock.now = INTERVAL

    assert [] == _messages(repeats.due())
    assert repeats.admit(_record("no broker"))


def test_what_differs_is_written() -> None:
    """By text, logger, level or line of code; numbers apart."""
    repeats = Repeats(Clock())
    different = [
        _record("a"),
        _record("b"),
        _record("a", name="faust"),
        _record("a", level=logging.WARNING),
        _record("a", line=2),
        _record("%s", "made before"),
        _record("%s", "made otherwise"),
    ]

    assert all(repeats.admit(record) for record in different)
    assert not repeats.admit(_record("%s", "made before"))


def test_numbers_make_no_difference() -> None:
    """An event loop puts addresses of its objects into its text, others ports and counts."""
    repeats = Repeats(Clock())

    assert repeats.admit(_record("task at 0x7f01 failed on port 9092"))
    assert not repeats.admit(_record("task at 0xaabb failed on port 19093"))


def test_ours_are_told_apart_by_what_they_are_about() -> None:
    """Reason, rule and what the call names; an offset is another each time."""
    repeats = Repeats(Clock())

    assert [True, False] == [
        repeats.admit(_ours(reason="no_clock", offset=offset, partition=offset)) for offset in (1, 2)
    ]
    assert repeats.admit(_ours(reason="not_json", offset=3))
    assert repeats.admit(_ours(reason="no_clock", rule="another"))
    assert [True, True] == [repeats.admit(_ours(partition=number, each=("partition",))) for number in (1, 2)]


def test_nothing_critical_and_nothing_that_we_just_tell_is_held_back() -> None:
    """An end, a gap; the settings at the start, which come from one line of code."""
    repeats = Repeats(Clock())

    assert [True, True] == [repeats.admit(_ours(logging.CRITICAL)) for _ in range(2)]
    assert [True, True] == [repeats.admit(_record("x", level=logging.CRITICAL)) for _ in range(2)]
    assert [True, True] == [repeats.admit(_ours(logging.INFO)) for _ in range(2)]


def test_memory_is_bounded_and_what_is_forgotten_is_told() -> None:
    """The kind known longest goes, with its count."""
    repeats = Repeats(Clock())
    for name in ("old", "old", *(f"{chr(0x4E00 + number)}" for number in range(MOST))):
        repeats.admit(_record(name))

    assert ["old (repeated 1 times)"] == _messages(repeats.due())
    assert repeats.admit(_record("old"))


def test_rest_is_told_at_the_end() -> None:
    """Whatever the time; once."""
    repeats = Repeats(Clock())
    for _ in range(3):
        repeats.admit(_record("a"))
    repeats.admit(_record("b"))

    assert ["a (repeated 2 times)"] == _messages(repeats.rest())
    assert [] == _messages(repeats.rest())


def test_what_is_held_back_keeps_no_error_alive() -> None:
    """Its frames may hold on to a database, which could not be closed."""

    class Thing:
        pass

    def fail(thing: Thing) -> NoReturn:
        raise ValueError(thing)

    def failed() -> logging.LogRecord:
        thing = Thing()
        alive.append(weakref.ref(thing))
        try:
            fail(thing)
        except ValueError as error:
            record = _ours(error=error)
            record.exc_info = (type(error), error, error.__traceback__)
            return record

    alive: list[weakref.ref[Thing]] = []
    repeats = Repeats(Clock())
    for _ in range(2):
        repeats.admit(failed())
    gc.collect()

    assert [None, None] == [one() for one in alive]


@pytest.mark.parametrize("message", ["%d of them", "%s and %s"])
def test_message_that_can_not_be_made_is_no_trouble(message: str) -> None:
    """A library's mistake in its own call."""
    repeats = Repeats(Clock())
    for _ in range(2):
        repeats.admit(_record(message, "one"))

    assert [f"{message} (repeated 1 times)"] == [str(record.msg) for record in repeats.rest()]

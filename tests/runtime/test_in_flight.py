"""What is under way: done only when all of it is confirmed, in any order, and in time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import pytest

from app.runtime.in_flight import InFlight, Unconfirmed
from app.runtime.records import SourcePosition

TIMEOUT = 10.0


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(**arguments: object) -> None:
        asyncio.run(test(**arguments))

    return run


class EndedError(Exception):
    """Stands for the end of the process."""


class Desk:
    """An `InFlight` with a clock that is set by hand; notes what is done and what ended the process."""

    def __init__(self, limit: int = 2) -> None:
        self.now = 0.0
        self.done: list[int] = []
        self.failed: list[tuple[str, str]] = []
        self.in_flight = InFlight(limit, TIMEOUT, lambda: self.now, self._fail)

    def _fail(self, error: BaseException, where: str) -> NoReturn:
        self.failed.append((str(error), where))
        raise EndedError

    def send(self, offset: int, *effects: Unconfirmed) -> None:
        """Process a record with these effects."""
        waiting = self.in_flight.begin(SourcePosition("events", 3, offset, None), lambda: self.done.append(offset))
        self.in_flight.expect(waiting, effects)


def _pending() -> Unconfirmed:
    return Unconfirmed(asyncio.get_running_loop().create_future(), "a record for topic t")


async def _turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@in_loop
async def test_record_is_done_when_its_last_effect_is_confirmed() -> None:
    """Acknowledgements come in any order; a record without effects is done at once."""
    desk = Desk()
    first, second, third = _pending(), _pending(), _pending()
    desk.send(1, first, second)
    desk.send(2, third)
    desk.send(3)
    steps = []
    for effect in (second, third, first):
        effect.future.set_result(None)
        await _turn()
        steps.append(list(desk.done))

    assert [[3], [3, 2], [3, 2, 1]] == steps
    assert [] == desk.failed


@pytest.mark.parametrize("error", [ConnectionError("gone"), None])
@in_loop
async def test_failed_effect_ends_the_process_and_its_record_is_never_done(error: Exception | None) -> None:
    """Neither an error nor a cancelled send may look like a confirmation."""
    desk = Desk()
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    effect = _pending()
    desk.send(7, effect)
    if error is None:
        effect.future.cancel()
    else:
        effect.future.set_exception(error)
    await _turn()

    assert ([], "events:3:7") == (desk.done, desk.failed[0][1])
    assert "a record for topic t was not confirmed" in desk.failed[0][0]
    assert 1 == len(desk.in_flight)


@in_loop
async def test_record_under_way_for_too_long_ends_the_process() -> None:
    """The oldest counts from its beginning, whether it is being processed or waits for confirmation."""
    desk = Desk()
    desk.in_flight.begin(SourcePosition("events", 3, 1, None), lambda: None)
    desk.now = TIMEOUT
    desk.in_flight.check()
    desk.now += 0.1
    with pytest.raises(EndedError):
        desk.in_flight.check()

    assert [("its effects were not confirmed within 10 s", "events:3:1")] == desk.failed


@in_loop
async def test_room_is_waited_for() -> None:
    """At the limit the next record waits until one is done."""
    desk = Desk(limit=2)
    effects = [_pending(), _pending()]
    desk.send(1, effects[0])
    await desk.in_flight.room()
    desk.send(2, effects[1])
    room = asyncio.create_task(desk.in_flight.room())
    empty = asyncio.create_task(desk.in_flight.wait_empty())
    await _turn()
    steps = [(room.done(), empty.done())]
    for effect in effects:
        effect.future.set_result(None)
        await _turn()
        steps.append((room.done(), empty.done()))

    assert [(False, False), (True, False), (True, True)] == steps

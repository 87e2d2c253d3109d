"""Effects that are sent and not yet confirmed, and the records that are done once they are.

Sends of one partition keep their order, acknowledgements may come in any. A record is done when the last of its
effects is confirmed; until then its offset stays before what may be committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

from app.errors import EffectError
from app.runtime.records import SourcePosition

_CHECK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A record that was handed to the producer.

    Attributes:
        future: Ends when the broker has acknowledged it, or can't any more.
        what: What it is, for the operator.
    """

    future: asyncio.Future[Any]
    what: str


@dataclass(slots=True, eq=False)
class Waiting:
    """A record under way: since when, and how many of its effects are not confirmed."""

    position: SourcePosition
    since: float
    done: Callable[[], None]
    left: int = 0


class InFlight:
    """Everything that is under way in one worker. For one event loop; a failure ends the process.

    Attributes:
        timeout: Seconds that a record may take from its beginning.
    """

    def __init__(
        self,
        limit: int,
        timeout: float,
        clock: Callable[[], float],
        fail: Callable[[BaseException, str], NoReturn],
    ) -> None:
        """Begin empty.

        Args:
            limit: Records under way from which `room` waits; bounds memory.
            timeout: Seconds from the beginning of a record after which it is a failure that it is not done.
            clock: Monotonic time in seconds.
            fail: Ends the process, given what went wrong and where; does not return.
        """
        self._limit = limit
        self.timeout = timeout
        self._clock = clock
        self._fail = fail
        self._waiting: dict[Waiting, None] = {}  # in the order of their beginning
        self._fewer = asyncio.Event()

    def __len__(self) -> int:
        """How many records are not done."""
        return len(self._waiting)

    def positions(self) -> frozenset[tuple[str, int, int]]:
        """Topic, partition and offset of the records that are not done."""
        places = (waiting.position for waiting in self._waiting)
        return frozenset((place.topic, place.partition, place.offset) for place in places)

    def begin(self, position: SourcePosition, done: Callable[[], None]) -> Waiting:
        """A record is going to be processed; `done` is called once all its effects are confirmed."""
        waiting = Waiting(position, self._clock(), done)
        self._waiting[waiting] = None
        return waiting

    def expect(self, waiting: Waiting, effects: Sequence[Unconfirmed]) -> None:
        """A record was processed, and these effects of it are still to be confirmed."""
        waiting.left = len(effects)
        if not effects:
            self._end(waiting)
        for effect in effects:
            effect.future.add_done_callback(partial(self._ended, waiting, effect))

    def check(self) -> None:
        """Fail if the oldest record is under way for too long. To be called every second or so."""
        oldest = next(iter(self._waiting), None)
        if oldest is not None and self._clock() - oldest.since > self.timeout:
            self._fail(
                EffectError(f"its effects were not confirmed within {self.timeout:g} s"), _place(oldest.position)
            )

    async def room(self) -> None:
        """Wait until fewer records than the limit are under way."""
        await self._fall_below(self._limit)

    async def wait_empty(self) -> None:
        """Wait until every record is done."""
        await self._fall_below(1)

    async def _fall_below(self, count: int) -> None:
        while len(self._waiting) >= count:
            self._fewer.clear()
            try:
                async with asyncio.timeout(_CHECK_S):
                    await self._fewer.wait()
            except TimeoutError:
                self.check()  # nobody else does while the worker stops

    def _ended(self, waiting: Waiting, effect: Unconfirmed, future: asyncio.Future[Any]) -> None:
        error: BaseException | None = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is None:
            self._confirmed(waiting)
        else:
            failure = EffectError(f"{effect.what} was not confirmed: {error!r}")
            failure.__cause__ = error
            self._fail(failure, _place(waiting.position))

    def _confirmed(self, waiting: Waiting) -> None:
        waiting.left -= 1
        if not waiting.left:
            self._end(waiting)

    def _end(self, waiting: Waiting) -> None:
        del self._waiting[waiting]
        self._fewer.set()
        waiting.done()


def _place(position: SourcePosition) -> str:
    return f"{position.topic}:{position.partition}:{position.offset}"

"""The guard of a worker that was frozen: without a heartbeat that the group took lately it may not act any more.

There is no fencing without transactions: a worker that stood still for longer than its session has lost its
partitions, and what it writes then is stale. So it ends before its next effect.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NoReturn

from app.errors import FrozenError

SHARE_OF_SESSION: Final = 0.8
"""A heartbeat older than this share of the session timeout is too old: the broker counts from when it came there."""


class Heartbeat:
    """When the group last took a heartbeat of ours. One thread notes it, others check it."""

    def __init__(
        self, session_timeout: float, clock: Callable[[], float], fail: Callable[[BaseException, str], NoReturn]
    ) -> None:
        """Begin without a membership, in which nothing is too old.

        Args:
            session_timeout: Seconds after which the broker gives up a silent member.
            clock: Seconds that go on while the machine sleeps, see `boot_time`.
            fail: Ends the process, given what went wrong and where; does not return.
        """
        self._limit = SHARE_OF_SESSION * session_timeout
        self._clock = clock
        self._fail = fail
        self._taken: float | None = None

    def now(self) -> float:
        """The time by which heartbeats are noted; to be asked before one is sent."""
        return self._clock()

    def taken(self, sent_at: float) -> None:
        """The group took a heartbeat, or a join, that was sent at this time."""
        self._taken = sent_at

    def too_old(self) -> bool:
        """Whether an effect would be refused at this moment."""
        return self._taken is not None and self._clock() - self._taken > self._limit

    def age(self) -> float | None:
        """Seconds since the last heartbeat that was taken was sent; None before the first."""
        taken = self._taken
        return None if taken is None else self._clock() - taken

    def require(self, what: str) -> None:
        """End the process if the last heartbeat is too old for this effect."""
        if self._taken is None:
            return
        age = self._clock() - self._taken
        if age > self._limit:
            error = FrozenError(
                f"the last heartbeat that the group took is {age:.1f} s old (allowed: {self._limit:g} s): the worker "
                "was frozen or cut off, and its partitions may be another's"
            )
            self._fail(error, what)


def boot_time() -> float:
    """Seconds since the machine started, those that it slept included where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

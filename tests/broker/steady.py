"""A steady stream: a few executions every tenth of a second, each a term of its own, while workers come and go."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from app.core.clock import format_time
from tests.broker.records import Outgoing
from tests.events import event, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from tests.broker.installation import Installation

INTERVAL_S: Final = 0.1

HOSTS: Final = 16

_END_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """An event of a stream: which it was, its host, when it was sent (nanoseconds since 1970), and its bytes."""

    number: int
    host: str
    at: int
    value: bytes


@dataclass
class Steady:
    """The stream, which runs as long as `with` does; its end waits for the last acknowledgement.

    Attributes:
        installation: To whose source it is sent.
        parents: Parents of the executions, in turn.
        each: Executions that are sent at a time, one to each of as many partitions.
        sent: What was acknowledged.
    """

    installation: Installation
    parents: Sequence[str] = ("exim4",)
    each: int = 4
    sent: list[Sent] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _failure: BaseException | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the stream."""
        self._over.set()
        assert self._thread is not None
        self._thread.join(_END_S)
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        try:
            for first in itertools.count(0, self.each):
                now = time.time_ns()
                numbers = range(first, first + self.each)
                events = [self._event(*one, now) for one in zip(numbers, itertools.cycle(self.parents), strict=False)]
                self.installation.play(Outgoing(None, one.value, (), one.number % self.each) for one in events)
                self.sent += events
                if self._over.wait(INTERVAL_S):
                    return
        except BaseException as error:  # noqa: BLE001 — told to who waits
            self._failure = error

    @staticmethod
    def _event(number: int, parent: str, now: int) -> Sent:
        # Hosts and partitions of the source do not go together, so that a match often goes to the other worker.
        host = f"host-{number // 3 % HOSTS}"
        return Sent(number, host, now, execution(f"program-{number}", host, parent, now))


def execution(program: str, host: str, parent: str, at: int, **more: object) -> bytes:
    """An execution at a time, nanoseconds since 1970, with a process of its own."""
    document = event(program, parent, host, format_time(at), process__entity_id=f"{host}-{program}-{at}", **more)
    return raw(document)


def standstill(sent: Sequence[Sent], taken: Callable[[Sent], int | None]) -> float:
    """The longest time that an event waited, in seconds.

    Args:
        sent: Events of a stream.
        taken: When an event was judged, nanoseconds since 1970; None for one that was not, which is passed over.
    """
    waits = [at - one.at for one in sent if (at := taken(one)) is not None]
    return max(waits) / 1e9

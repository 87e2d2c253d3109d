"""The watchdog as a thread: what it samples, whom it asks, and when it is silent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

from confluent_kafka.admin import AdminClient

from app.errors import SettingsError, StuckError
from app.runtime.progress import Account, Place, Sample
from app.runtime.watchdog import StableOffsets, Watchdog

LIMIT = 0.3
DEADLINE = 30.0
EVENTS: Place = ("events", 3)


class Dog:
    """A watchdog over a loop of the test's."""

    def __init__(self, account: Account, end: int) -> None:
        self.account = account
        self.end = end
        self.asked: list[Place] = []
        self.failed: list[tuple[int, str]] = []
        self.barked = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.watchdog = Watchdog(LIMIT, self.loop, self._sample, self._ends, self._fail)

    def _sample(self) -> Sample:
        return Sample(ready=True, accounts={EVENTS: self.account})

    def _ends(self, places: Iterable[Place]) -> dict[Place, int]:
        self.asked += places
        return {EVENTS: self.end}

    def _fail(self, error: BaseException, where: str) -> None:
        assert isinstance(error, StuckError)
        self.failed.append((error.exit_code, f"{where}: {error}"))
        self.barked.set()


def test_worker_that_does_not_move_is_ended() -> None:
    """It samples on the worker's loop, asks for the partitions that the sample names, and ends the process."""
    dog = Dog(Account(40, 40, 40), 100)

    async def run() -> None:
        dog.watchdog.start()
        await asyncio.wait_for(asyncio.to_thread(dog.barked.wait, DEADLINE), DEADLINE)

    dog.loop.run_until_complete(run())
    dog.loop.close()
    ((code, told),) = dog.failed

    assert (9, EVENTS) == (code, dog.asked[0])
    assert told.startswith("the watchdog: events:3 is read to offset 40 of 100, and has not moved for")


def test_loop_that_stands_still_is_ended() -> None:
    """It needs nothing of the loop to see that."""
    dog = Dog(Account(40, 40, 40), 40)
    dog.watchdog.start()
    assert dog.barked.wait(DEADLINE)
    dog.loop.close()

    assert "the worker's event loop has stood still for" in dog.failed[0][1]


def test_slow_kafka_is_no_slow_loop() -> None:
    """While it waits for an answer of Kafka's for longer than the limit, the loop owes nothing."""
    dog = Dog(Account(40, 40, 40), 40)
    answered = threading.Event()
    ask = dog.watchdog._ends

    def slowly(places: Iterable[Place]) -> dict[Place, int] | None:
        ask(places)
        if threading.Event().wait(2 * LIMIT) or len(dog.asked) > 1:
            answered.set()
        return None

    dog.watchdog._ends = slowly

    async def run() -> None:
        dog.watchdog.start()
        await asyncio.wait_for(asyncio.to_thread(answered.wait, DEADLINE), DEADLINE)

    dog.loop.run_until_complete(run())
    dog.watchdog.stop()
    dog.watchdog.join(DEADLINE)
    dog.loop.close()

    assert [] == dog.failed


def test_watchdog_is_silent_once_the_worker_stops() -> None:
    """The stop has a deadline of its own."""
    dog = Dog(Account(40, 40, 40), 100)
    dog.watchdog.start()
    dog.watchdog.stop()
    dog.watchdog.join(DEADLINE)
    dog.loop.close()

    assert [] == dog.failed


def test_kafka_that_does_not_answer_gives_no_offsets() -> None:
    """That is an answer too: nothing is expected to move. The client is made anew, as it may be what is at fault."""
    made: list[AdminClient] = []

    def connect() -> AdminClient:
        made.append(AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}))
        return made[-1]

    offsets = StableOffsets(connect, answer=0.2)

    assert (None, None) == (offsets([EVENTS]), offsets([]))
    assert 2 == len(made)


def test_link_that_can_not_be_used_at_the_moment_gives_no_offsets() -> None:
    """Its certificate is being replaced: the worker's own connections go on."""

    def connect() -> AdminClient:
        raise SettingsError("tls_cert: can't be read")

    assert None is StableOffsets(connect)([EVENTS])


def test_watchdog_that_fails_ends_the_worker() -> None:
    """A worker that nobody watches must not look like one that is watched."""
    dog = Dog(Account(40, 40, 40), 40)
    failed: list[str] = []

    def ends(places: Iterable[Place]) -> dict[Place, int]:
        raise ValueError(str(list(places)))

    def fail(error: BaseException, where: str) -> None:
        failed.append(f"{where}: {type(error).__name__}")

    watchdog = Watchdog(LIMIT, dog.loop, dog._sample, ends, fail)
    watchdog.start()
    watchdog.join(DEADLINE)
    dog.loop.close()

    assert ["the watchdog: ValueError"] == failed


def test_silent_kafka_is_seen_and_what_it_told_is_kept() -> None:
    """Lag is still measured against the last answer; a partition that an answer leaves out is not known any more."""
    dog = Dog(Account(40, 40, 40), 40)
    other: Place = ("events", 4)
    answers: list[dict[Place, int] | None] = [{EVENTS: 40, other: 7}, {EVENTS: 41}, None]
    looks: list[tuple[bool, dict[Place, int]]] = []
    over = threading.Event()

    def ends(_: Iterable[Place]) -> dict[Place, int] | None:
        looks.append((watchdog.look.answers, dict(watchdog.look.ends)))
        if not answers:
            over.set()
            return None
        return answers.pop(0)

    watchdog = Watchdog(LIMIT, dog.loop, dog._sample, ends, dog._fail)

    async def run() -> None:
        watchdog.start()
        await asyncio.wait_for(asyncio.to_thread(over.wait, DEADLINE), DEADLINE)
        watchdog.stop()

    dog.loop.run_until_complete(run())
    watchdog.join(DEADLINE)
    dog.loop.close()

    assert [(False, {}), (True, {EVENTS: 40, other: 7}), (True, {EVENTS: 41}), (False, {EVENTS: 41})] == looks[:4]

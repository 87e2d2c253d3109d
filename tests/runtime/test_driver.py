"""The driver's accounts where timing decides, which no broker can be made to show on demand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, NoReturn, cast
from weakref import WeakSet

import aiokafka
import pytest
from aiokafka.protocol.group import SyncGroupRequest
from aiokafka.protocol.produce import ProduceRequest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP
from mode.utils.locks import Event

from app.errors import EffectError, FrozenError
from app.runtime.consumer_thread import Fetched, SieveConsumerThread
from app.runtime.driver import SieveConsumer
from app.runtime.ending import end_process
from app.runtime.heartbeat import Heartbeat
from app.runtime.in_flight import InFlight, Unconfirmed
from app.runtime.producer import IdempotentProducer
from app.runtime.records import SourcePosition
from app.sieve import Ledger

SOURCE = TP("events", 0)


class Assignment:
    """Stands for aiokafka's: one object from one rebalance to the next."""


class Thread:
    """Stands for the thread with the client: gives one fetch."""

    sift = None

    def __init__(self, fetched: Fetched) -> None:
        self.fetched = fetched

    async def getmany(self, *_: object) -> Fetched:
        """The fetch that was under way."""
        return self.fetched


def _consumer(fetched: Fetched) -> SieveConsumer:
    """A consumer that is connected to nothing, made without Faust's constructor."""
    consumer = SieveConsumer.__new__(SieveConsumer)
    consumer.ledger = Ledger()
    consumer._given_up = WeakSet()
    consumer._thread = cast(Any, Thread(fetched))
    consumer.app = cast(Any, SimpleNamespace(topics=SimpleNamespace(acks_enabled_for=lambda _: True)))
    consumer.transport = cast(Any, SimpleNamespace(heartbeat=Heartbeat(30.0, lambda: 0.0, end_process)))
    return consumer


@pytest.mark.parametrize(("given_up", "expected"), [(False, 21), (True, None)])
def test_fetch_that_outlives_its_assignment_changes_no_account(given_up: bool, expected: int | None) -> None:
    """Its position is past records that were dropped from the queues: committed, they would be lost."""
    assignment = Assignment()
    consumer = _consumer(Fetched({}, {SOURCE: 21}, assignment))
    if given_up:
        consumer._given_up.add(assignment)
    asyncio.run(consumer._getmany({SOURCE}, 1.0))

    assert expected == consumer.ledger.committable(SOURCE)


@pytest.mark.parametrize(("given_up", "expected"), [(False, 21), (True, None)])
def test_fetch_waits_for_a_heartbeat_of_late(monkeypatch: pytest.MonkeyPatch, given_up: bool, expected: int) -> None:
    """An idle worker that was cut off begins nothing until the group took a heartbeat, or gave its place away."""
    assignment = Assignment()
    consumer = _consumer(Fetched({}, {SOURCE: 21}, assignment))
    now = [0.0]
    heartbeat = Heartbeat(10.0, lambda: now[0], end_process)
    heartbeat.taken(0.0)
    now[0] = 60.0
    consumer.transport = cast(Any, SimpleNamespace(heartbeat=heartbeat))
    seen: list[int | None] = []

    async def pause(*_: object) -> None:
        seen.append(consumer.ledger.committable(SOURCE))
        if len(seen) == 3:
            consumer._given_up.add(assignment) if given_up else heartbeat.taken(60.0)

    monkeypatch.setattr(SieveConsumer, "sleep", pause)
    monkeypatch.setattr(SieveConsumer, "should_stop", False)
    asyncio.run(consumer._getmany({SOURCE}, 1.0))

    assert ([None] * 3, expected) == (seen, consumer.ledger.committable(SOURCE))


def test_acknowledgement_of_a_stream_is_no_confirmation() -> None:
    """A stream acknowledges a record when it goes on to the next, before its effects are confirmed."""
    consumer = _consumer(Fetched({}, {}, None))
    consumer._acked = defaultdict(list, {SOURCE: [13]})
    consumer._acked_index = defaultdict(set, {SOURCE: {13}})
    consumer.ledger.register(SOURCE, [13, 14], 21)
    before = consumer._new_offset(SOURCE)
    consumer.ledger.done(SOURCE, 13)

    assert (13, [], 14) == (before, consumer._acked[SOURCE], consumer._new_offset(SOURCE))


def test_nothing_is_given_up_before_what_is_in_flight_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a stop and at a rebalance the last commit comes after the last confirmation."""
    steps: list[str] = []

    async def note(step: str) -> None:
        steps.append(step)

    monkeypatch.setattr(Consumer, "wait_empty", lambda _: note("streams are empty"))
    monkeypatch.setattr(SieveConsumer, "commit", lambda _: note("commit"))

    async def run() -> None:
        in_flight = InFlight(9, 60.0, time.monotonic, end_process)
        sent = asyncio.get_running_loop().create_future()
        waiting = in_flight.begin(SourcePosition("events", 0, 13, None), lambda: steps.append("done"))
        in_flight.expect(waiting, [Unconfirmed(sent, "a match")])
        consumer = _consumer(Fetched({}, {}, None))
        consumer.transport = cast(Any, SimpleNamespace(in_flight=in_flight))
        ending = asyncio.create_task(consumer.wait_empty())
        for _ in range(5):
            await asyncio.sleep(0)
        sent.set_result(None)
        await ending

    asyncio.run(run())

    assert ["streams are empty", "done", "commit"] == steps


def test_release_of_an_earlier_assignment_frees_nothing_of_the_next() -> None:
    """It waits its turn in the thread's queue; what was assigned meanwhile stays held back until it is ready itself."""
    freed: list[aiokafka.TopicPartition] = []
    held = frozenset({aiokafka.TopicPartition("events", 0)})
    client = SimpleNamespace(assignment=lambda: set(held), resume=lambda *tps: freed.extend(tps))
    thread = SieveConsumerThread.__new__(SieveConsumerThread)
    thread._consumer = cast(Any, client)
    thread._held = frozenset(held | {aiokafka.TopicPartition("events", 1)})
    asyncio.run(thread._release(held))
    before = list(freed)
    asyncio.run(thread._release(thread._held))

    assert ([], sorted(held), frozenset()) == (before, freed, thread._held)


def test_commit_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust notes it as committed all the same, and an idle partition would stay behind for ever."""
    asked: list[dict[TP, int]] = []

    async def commit(self: Consumer, offsets: dict[TP, int], *_: object) -> bool:
        asked.append(dict(offsets))
        self._committed_offset.update(offsets)
        return len(asked) > 1

    monkeypatch.setattr(Consumer, "_commit_offsets", commit)
    consumer = _consumer(Fetched({}, {}, None))
    consumer._committed_offset = defaultdict(lambda: None, {SOURCE: 13})
    states = []
    for _ in range(2):
        asyncio.run(consumer._commit_offsets({SOURCE: 21}))
        states.append((consumer.account(SOURCE).committed, consumer._should_commit(SOURCE, 21)))

    assert [(13, True), (21, False)] == states
    assert [{SOURCE: 21}] * 2 == asked


@pytest.mark.parametrize(("taken", "expected"), [(True, 5.0), (False, None)])
def test_heartbeat_counts_if_the_group_took_it(taken: bool, expected: float | None) -> None:
    """It is noted by the time at which it was sent; one that was refused is none."""
    thread = SieveConsumerThread.__new__(SieveConsumerThread)
    times = iter([5.0, 9.0])
    heartbeat = Heartbeat(30.0, lambda: next(times), end_process)
    thread.transport = cast(Any, SimpleNamespace(heartbeat=heartbeat))

    async def send() -> bool:
        heartbeat.now()
        return taken

    asyncio.run(thread._beat(send))

    assert expected == heartbeat._taken


def test_request_to_write_needs_a_heartbeat_of_late() -> None:
    """What was queued before a worker was frozen does not go out after it; other requests do."""
    steps: list[str] = []

    def fail(error: BaseException, where: str) -> NoReturn:
        steps.append(where)
        raise error

    now = [0.0]
    heartbeat = Heartbeat(10.0, lambda: now[0], fail)
    heartbeat.taken(heartbeat.now())
    producer = IdempotentProducer.__new__(IdempotentProducer)
    producer.transport = cast(Any, SimpleNamespace(heartbeat=heartbeat))

    async def send(node: int, request: object, **_: object) -> None:
        steps.append(f"{type(request).__name__} to {node}")

    async def run() -> None:
        write = ProduceRequest(transactional_id=None, required_acks=-1, timeout=1, topics=[])
        await producer._send_if_alive(send, 1, write)
        now[0] = 9.0
        await producer._send_if_alive(send, 1, object())
        with pytest.raises(FrozenError):
            await producer._send_if_alive(send, 1, write)

    asyncio.run(run())

    assert ["ProduceRequest to 1", "object to 1", "a request to write"] == steps


def _waiting(*coros: Any) -> Any:
    """What the drain's wait gives, run to its end in a loop of its own, and whether the second one was begun."""

    async def run() -> Any:
        consumer = SieveConsumer.__new__(SieveConsumer)
        consumer.loop = asyncio.get_running_loop()
        consumer._stopped, consumer._crashed = Event(), Event()
        return (await consumer.wait_first(*coros)).results

    return asyncio.run(run())


async def _hand_on(value: str, *, turns: int) -> str:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("turns", [0, 5])
def test_drain_waits_for_what_hands_a_record_on(turns: int) -> None:
    """Whether that ends at once, as it nearly always does, or has to wait."""
    assert ["handed on"] == _waiting(_hand_on("handed on", turns=turns), asyncio.sleep(60, "suspended"))


def test_drain_leaves_what_waits_when_the_flow_is_suspended() -> None:
    """Else a full queue would hold up a rebalance."""
    assert ["suspended"] == _waiting(asyncio.sleep(60), _hand_on("suspended", turns=3))


def test_drain_that_is_stopped_hands_nothing_on_any_more() -> None:
    """A rebalance stops it; a record that is handed on after that would come to the next assignment."""
    handed_on: list[str] = []

    async def hand_on() -> None:
        await _hand_on("", turns=2)
        handed_on.append("a record of the last assignment")

    async def run() -> None:
        drain = asyncio.create_task(SieveConsumer.__new__(SieveConsumer).wait_first(hand_on(), asyncio.sleep(60)))
        await asyncio.sleep(0)
        drain.cancel()
        await asyncio.wait([drain])
        assert drain.cancelled()
        await _hand_on("", turns=9)

    asyncio.run(run())

    assert [] == handed_on


@pytest.mark.parametrize("turns", [0, 5])
def test_drain_is_told_what_went_wrong(turns: int) -> None:
    """An error of what hands a record on is not swallowed."""

    async def fail() -> None:
        await _hand_on("", turns=turns)
        raise EffectError("broken")

    with pytest.raises(EffectError, match="broken"):
        _waiting(fail(), asyncio.sleep(60))


def test_partitions_that_are_paused_are_no_stall(caplog: pytest.LogCaptureFixture) -> None:
    """Stock says every ten seconds that changelogs are not read, from the fifth minute on; they never are."""
    asyncio.run(SieveConsumer.__new__(SieveConsumer).verify_all_partitions_active())

    assert [] == caplog.records


@pytest.mark.parametrize(("asked_at", "expected"), [(None, 40.0), (7.0, 7.0)])
def test_assignment_is_as_old_as_its_request(
    monkeypatch: pytest.MonkeyPatch, asked_at: float | None, expected: float
) -> None:
    """A worker that was frozen between the answer and its callback must not take the assignment for fresh."""

    async def assigned(*_: object) -> None:
        """Faust's part."""

    monkeypatch.setattr(AIOKafkaConsumerThread, "on_partitions_assigned", assigned)
    heartbeat = Heartbeat(
        30.0, lambda: 40.0 if asked_at is None or thread._asked_at is not None else asked_at, end_process
    )
    thread = SieveConsumerThread.__new__(SieveConsumerThread)
    thread.transport = cast(Any, SimpleNamespace(heartbeat=heartbeat))
    thread.app = cast(Any, SimpleNamespace(tables=SimpleNamespace(changelog_topics=set())))
    thread._consumer = cast(Any, SimpleNamespace(pause=lambda *_: None))

    async def answer(_: object) -> None:
        """The coordinator's."""

    async def run() -> None:
        if asked_at is not None:
            request = SyncGroupRequest("group", 1, "member", None, [])
            await thread._ask_coordinator(answer, request)
        await thread.on_partitions_assigned({SOURCE}, 1)

    asyncio.run(run())

    assert expected == heartbeat._taken


@pytest.mark.parametrize(("is_running", "expected"), [(True, (True, [{SOURCE: 21}])), (False, (False, []))])
def test_commit_needs_no_queue_of_a_thread_that_ends(
    is_running: bool, expected: tuple[bool, list[dict[TP, int]]]
) -> None:
    """A revoke in the middle of a stop commits while the thread's loop still runs, and gives up once it is closed."""
    thread = SieveConsumerThread.__new__(SieveConsumerThread)
    asked: list[dict[TP, int]] = []

    async def commit(offsets: dict[TP, int]) -> bool:
        asked.append(offsets)
        return True

    loop = asyncio.new_event_loop()
    thread.thread_loop = loop
    thread._commit = commit  # type: ignore[method-assign, assignment]
    runner = threading.Thread(target=loop.run_forever)
    if is_running:
        runner.start()
    else:
        loop.close()
    try:
        found = asyncio.run(thread.commit({SOURCE: 21}))
    finally:
        if is_running:
            loop.call_soon_threadsafe(loop.stop)
            runner.join()
            loop.close()

    assert expected == (found, asked)


def test_commit_that_is_swept_away_with_its_thread_was_none() -> None:
    """What the thread leaves undone at its end is cancelled; who waits for it goes on."""
    thread = SieveConsumerThread.__new__(SieveConsumerThread)
    loop = asyncio.new_event_loop()
    begun = threading.Event()

    async def commit(_: dict[TP, int]) -> bool:
        begun.set()
        await asyncio.sleep(3600)
        return True

    thread.thread_loop = loop
    thread._commit = commit  # type: ignore[method-assign, assignment]

    def sweep() -> None:
        loop.run_until_complete(asyncio.to_thread(begun.wait))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))

    runner = threading.Thread(target=sweep)
    runner.start()
    try:
        assert not asyncio.run(thread.commit({SOURCE: 21}))
    finally:
        runner.join()
        loop.close()

"""Faust's Kafka driver, with the sieve in its fetches and the ledger for its accounts.

What is private of Faust and aiokafka and used all the same is named in PRIVATE_NAMES, here and in each module that does
so; a contract test holds every list.

What is different from the stock driver, and why:

- **Fetches are sifted** before they are parsed (`app.runtime.fetch_sift`).
- **The ledger says what may be committed.** Stock accounts commit over a single undone record, go wrong where acks
  come out of order, and know only records, not the scanned position.
- **Source partitions are held back** from their assignment until the worker is ready. Stock recovery resumes them,
  then awaits their seek, then clears the queues: what is delivered in between is lost or doubled.
- **Connections** are our own (`app.runtime.connection`), and a background task of a client that dies ends the worker.
- **Heartbeats are noted**, and no request to write is sent without a late one (`app.runtime.heartbeat`).
- **A commit that failed is tried again**; stock accounts take it for done until the next offset.
- Committed records only are read, the fetch wait is a setting, and the producer is idempotent.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import weakref
from collections.abc import Awaitable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, cast

import aiokafka.client
from faust.transport.consumer import RecordMap
from faust.transport.drivers.aiokafka import Consumer, Producer, Transport
from faust.types import TP
from mode.services import WaitResults

from app.errors import EffectError
from app.runtime.connection import create_connection, hide_logins
from app.runtime.consumer_thread import Fetched, SieveConsumerThread
from app.runtime.counts import Counts
from app.runtime.ending import end_process
from app.runtime.fail_points import FAIL_POINT
from app.runtime.fetch_sift import FetchSift
from app.runtime.heartbeat import Heartbeat
from app.runtime.in_flight import InFlight
from app.runtime.log import logger
from app.runtime.producer import IdempotentProducer
from app.runtime.progress import Account
from app.sieve import Ledger
from app.sieve.sift import Search

PRIVATE_NAMES: Final = (
    "faust.transport.consumer.Consumer._commit_offsets",
    "faust.transport.consumer.Consumer._acked",
    "faust.transport.consumer.Consumer._acked_index",
    "faust.transport.consumer.Consumer._add_gap",
    "faust.transport.consumer.Consumer._committed_offset",
    "faust.transport.consumer.Consumer._filter_tps_with_pending_acks",
    "faust.transport.consumer.Consumer._new_offset",
    "faust.transport.consumer.Consumer._should_commit",
    "faust.transport.consumer.ThreadDelegateConsumer._getmany",
    "faust.transport.consumer.ThreadDelegateConsumer._new_consumer_thread",
    "faust.transport.consumer.ThreadDelegateConsumer._thread",
)

_HEARTBEAT_PAUSE_S: Final = 0.05


class SieveConsumer(Consumer):
    """The consumer on the main thread: its accounts are the ledger's."""

    _thread: SieveConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ledger: Ledger[TP] = Ledger()
        self.counts: Counts = cast(SieveTransport, self.transport).counts
        self._counted_to: dict[TP, int] = {}
        self._given_up: weakref.WeakSet[object] = weakref.WeakSet()
        cast(SieveTransport, self.transport).consumer = self

    def _new_consumer_thread(self) -> SieveConsumerThread:
        return SieveConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def sift(self) -> FetchSift | None:
        """What sifts the fetches, once there is a client."""
        return self._thread.sift

    def release(self) -> Awaitable[None]:
        """Recovery is over and the queues are clear: source records may come."""
        return self._thread.release()

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> RecordMap:
        # Faust hands its live set to the other thread, where an empty one would mean all partitions.
        active = set(active_partitions or ())
        if not active:
            await self.sleep(min(timeout, 1.0))
            return {}
        fetched = await self._thread.getmany(active, timeout)
        if not isinstance(fetched, Fetched):
            return fetched
        await self._heartbeat_again(fetched.assignment)
        if fetched.assignment in self._given_up:
            # A fetch that waited while its partitions were revoked. Its position is past records that were dropped
            # from the queues; whoever has the partitions now begins at what is committed.
            return {}
        acked = self.app.topics.acks_enabled_for
        for tp, position in fetched.positions.items():
            if acked(tp.topic):
                self._register(tp, [record.offset for record in fetched.records.get(tp, ())], position)
        return fetched.records

    async def _heartbeat_again(self, assignment: object) -> None:
        """Begin nothing while an effect would be refused for a late heartbeat: the next one, or a join, comes first.

        What was begun before ends the worker at its next effect; one that was idle goes on.
        """
        heartbeat = cast(SieveTransport, self.transport).heartbeat
        while heartbeat.too_old() and assignment not in self._given_up and not self.should_stop:
            await self.sleep(_HEARTBEAT_PAUSE_S)

    def _register(self, tp: TP, offsets: list[int], position: int) -> None:
        known = self.ledger.position(tp)
        if known is not None and position < known:
            logger.critical(
                "{topic}:{partition}: the broker lost the end of its log; it was read to offset {read_to} and is read "
                "from {offset} again",
                topic=tp.topic,
                partition=tp.partition,
                read_to=known,
                offset=offsets[0] if offsets else position,
            )
        self.ledger.register(tp, offsets, position)
        sift = self._thread.sift
        if sift is None or tp.topic not in cast(SieveTransport, self.transport).sieved_topics:
            return
        # What is read again after a seek is not counted again, nor what another worker read meanwhile.
        started = sift.started.get(tp, position)
        counted = self._counted_to[tp] = max(self._counted_to.get(tp, started), started)
        if position > counted:
            self._counted_to[tp] = position
            self.counts.read[tp.topic] += position - counted
            self.counts.scanned += position - counted - sum(offset >= counted for offset in offsets)

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:
        """Wait for the first of several, without Faust's four tasks where one is enough.

        The drain calls this for every record, with what hands the record on, and with what ends its waiting. The
        former hardly ever waits.
        """
        if timeout is not None or not all(map(inspect.iscoroutine, coros)):
            return await super().wait_first(*coros, timeout=timeout)
        first, *others = coros
        task = asyncio.ensure_future(first)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            # The fetcher is stopped, for a rebalance: what is handed on now would come to the next assignment.
            task.cancel()
            _close(others)
            raise
        if not task.done():
            return await super().wait_first(task, *others)
        _close(others)
        return WaitResults([first], [task.result()], False)

    async def verify_all_partitions_active(self) -> None:
        """Say nothing: stock takes a paused partition for a stuck one. Progress is the watchdog's to judge."""

    def _forget_acks(self, tp: TP) -> None:
        """Drop what the streams have acknowledged: they do when they go on, which is before effects are confirmed."""
        self._acked[tp].clear()
        self._acked_index[tp].clear()

    async def wait_empty(self) -> None:
        """Wait for records in process and for effects that are not confirmed, then commit.

        Ends the process when that takes longer than an effect may: with Kafka out of reach it would take for ever.
        """
        in_flight = cast(SieveTransport, self.transport).in_flight
        try:
            async with asyncio.timeout(in_flight.timeout):
                await super().wait_empty()
                await in_flight.wait_empty()
                await self.commit()
        except TimeoutError:
            error = EffectError(f"what was begun could not be finished and committed within {in_flight.timeout:g} s")
            end_process(error, "the end of an assignment")

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in self.ledger if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        self._forget_acks(tp)
        return self.ledger.committable(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return offset > (self._committed_offset[tp] or 0)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """The ledger needs no gaps: it knows the scanned position."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        FAIL_POINT.passed("before_commit")
        before = {tp: self._committed_offset[tp] for tp in offsets}
        committed = await super()._commit_offsets(offsets, start_new_transaction)
        if not committed:
            self._committed_offset.update(before)
        return committed

    def account(self, tp: TP) -> Account:
        """Where a partition of ours stands; what is not read yet stands at what is committed, as far as known."""
        committed = self._committed_offset[tp] or 0
        position = self.ledger.position(tp)
        if position is None:
            return Account(committed, committed, committed)
        return Account(position, self.ledger.committable(tp) or 0, committed)

    def unknown(self, topics: Iterable[str]) -> frozenset[str]:
        """Those of the topics that the client knows nothing of: a broker that has just come back may have said so."""
        cluster = self._thread.cluster()
        return frozenset(topic for topic in topics if not cluster.partitions_for_topic(topic))

    def ask_for_unknown(self, topics: Iterable[str]) -> None:
        """Have the client ask Kafka again while it knows nothing of one of the topics."""
        if self.unknown(topics):
            self._thread.ask_for_topics()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is finished before and after the streams come to rest, then forget the partitions."""
        ending = self._thread.current_assignment()
        if ending is not None:
            self._given_up.add(ending)
        if self.app.should_stop:
            await self.wait_empty()  # Faust does not wait then
        await super().on_partitions_revoked(revoked)
        await self.force_commit(revoked)
        sift = self._thread.sift
        for tp in revoked:
            self.ledger.clear(tp)
            if sift is not None:
                sift.started.pop(tp, None)

    async def perform_seek(self) -> None:
        """Seek to what is committed; what was registered is read again.

        Where nothing was committed yet the client would stay where it is, past what was fetched and not handed on.
        """
        undone = {tp: self.ledger.committable(tp) for tp in self.ledger}
        await super().perform_seek()
        assigned = self.assignment()
        for tp, offset in undone.items():
            if offset is not None and not self._committed_offset.get(tp) and tp in assigned:
                await super().seek(tp, offset)
            self.ledger.clear(tp)

    async def seek(self, partition: TP, offset: int) -> None:
        """Seek one partition; what was registered of it is read again."""
        await super().seek(partition, offset)
        self.ledger.clear(partition)


class SieveTransport(Transport):
    """The driver that the worker uses, by the URL scheme `sieve+kafka`.

    Attributes:
        fetch_max_wait: Milliseconds that a fetch may wait for something new.
        sieved_topics: Topics whose fetches are sifted.
        search: What finds a record that matters; None keeps all.
        skip_corrupt: Batches that may be passed over if they are corrupt: topic, partition, base offset.
        counts: Where scanned records are counted.
        in_flight: What is not confirmed; a partition is not given up before it is.
        heartbeat: When the group last heard of this worker.
        consumer: The consumer, once there is one.
    """

    Consumer: ClassVar[type[Consumer]] = SieveConsumer
    Producer: ClassVar[type[Producer]] = IdempotentProducer

    fetch_max_wait: int = 500
    sieved_topics: frozenset[str] = frozenset()
    search: Search | None = None
    skip_corrupt: tuple[tuple[str, int, int], ...] = ()
    counts: Counts
    in_flight: InFlight
    heartbeat: Heartbeat
    consumer: SieveConsumer | None = None


def use_connections(*, into_buffer: bool) -> None:
    """Give every client of this process our own connections.

    Args:
        into_buffer: Read responses into one buffer; else by the stock reader.
    """
    logging.getLogger("aiokafka.conn").addFilter(hide_logins)
    aiokafka.client.create_conn = functools.partial(create_connection, into_buffer=into_buffer)


def _close(coros: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Coroutines that nobody will await."""
    for coro in coros:
        coro.close()

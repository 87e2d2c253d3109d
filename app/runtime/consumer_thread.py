"""The thread with the consuming client: fetches are sifted, assignments held back, heartbeats noted."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, cast

import aiokafka
from aiokafka.cluster import ClusterMetadata
from aiokafka.protocol.group import SyncGroupRequest
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Transport
from faust.types import TP

from app.runtime.ending import end_process, end_with
from app.runtime.fetch_sift import FetchSift
from app.runtime.log import logger

if TYPE_CHECKING:
    from app.runtime.driver import SieveTransport

PRIVATE_NAMES: Final = (
    "aiokafka.AIOKafkaConsumer._client",
    "aiokafka.AIOKafkaConsumer._coordinator",
    "aiokafka.AIOKafkaConsumer._fetch_max_bytes",
    "aiokafka.AIOKafkaConsumer._fetch_max_wait_ms",
    "aiokafka.AIOKafkaConsumer._isolation_level",
    "aiokafka.AIOKafkaConsumer._subscription",
    "aiokafka.client.AIOKafkaClient._sync_task",
    "aiokafka.consumer.group_coordinator.GroupCoordinator._do_heartbeat",
    "aiokafka.consumer.group_coordinator.GroupCoordinator._send_req",
    "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread._commit",
    "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread._create_worker_consumer",
    "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread._ensure_consumer",
    "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread._fetch_records",
)

FETCH_MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of a whole fetch response; bounds memory, since a response is held while it is sifted."""


class Fetched(NamedTuple):
    """Records by partition, the position of every assigned partition when they were taken, and the assignment."""

    records: Mapping[Any, Sequence[Any]]
    positions: Mapping[TP, int]
    assignment: object


class SieveConsumerThread(AIOKafkaConsumerThread):
    """The thread with the client: sifts its fetches, and holds source partitions back until `release`."""

    _held: frozenset[aiokafka.TopicPartition] = frozenset()
    _asked_at: float | None = None
    sift: FetchSift | None = None

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        # Faust hard-wires a wait of 1.5 s, for which an idle partition holds up the busy ones of its broker, and
        # shows records of aborted transactions. The consumer reads these values when it starts, later than this.
        sieve = cast("SieveTransport", transport)
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = sieve.fetch_max_wait
        consumer._fetch_max_bytes = FETCH_MAX_BYTES
        consumer._isolation_level = "read_committed"
        self.sift = FetchSift(consumer._client.send, sieve.sieved_topics, sieve.search, sieve.skip_corrupt, _fail)
        consumer._client.send = self.sift
        return consumer

    async def on_start(self) -> None:
        """Start the client, watch the task of it that nobody waits for, and note its heartbeats."""
        await super().on_start()
        consumer = self._ensure_consumer()
        end_with(consumer._client._sync_task)
        coordinator = consumer._coordinator
        coordinator._do_heartbeat = functools.partial(self._beat, coordinator._do_heartbeat)
        coordinator._send_req = functools.partial(self._ask_coordinator, coordinator._send_req)

    async def _ask_coordinator(self, send: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
        """Send a request, and note when that was if it is the one whose answer is the assignment."""
        if isinstance(request, SyncGroupRequest):
            self._asked_at = cast("SieveTransport", self.transport).heartbeat.now()
        return await send(request)

    async def _beat(self, send: Callable[[], Awaitable[bool]]) -> bool:
        heartbeat = cast("SieveTransport", self.transport).heartbeat
        sent_at = heartbeat.now()
        taken = await send()
        if taken:
            heartbeat.taken(sent_at)
        return taken

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Hold the source partitions back before anyone hears of the assignment, which is as good as a heartbeat.

        Changelogs stay paused for ever: the rebuild reads them, and a first fetch of each would be kept for nobody.
        """
        heartbeat = cast("SieveTransport", self.transport).heartbeat
        if heartbeat.too_old():
            logger.warning(
                "the worker has joined its group again; its last heartbeat before is older than its session allows"
            )
        heartbeat.taken(heartbeat.now() if self._asked_at is None else self._asked_at)
        changelogs = self.app.tables.changelog_topics
        partitions = {tp: aiokafka.TopicPartition(tp.topic, tp.partition) for tp in assigned}
        self._held = frozenset(place for tp, place in partitions.items() if tp.topic not in changelogs)
        self._ensure_consumer().pause(*partitions.values())
        await super().on_partitions_assigned(assigned, generation_id)

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Say that the thread ends by an error, which Faust prints where it might stand between lines of the log."""
        del msg, fmt, kwargs
        error = sys.exception()
        logger.critical("the thread of the Kafka client crashed: {error}", error=error, exc_info=error)

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit, also while the thread ends: its queue of calls serves nobody then, and a revoke would wait for ever.

        Returns:
            Whether the offsets are committed.
        """
        coroutine = self._commit(offsets)
        try:
            asked = asyncio.run_coroutine_threadsafe(coroutine, self.thread_loop)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            return False
        try:
            return await asyncio.wrap_future(asked)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if asked.cancelled() and not (task is not None and task.cancelling()):
                return False  # what was left on the thread was swept away at its end
            raise

    async def on_thread_stop(self) -> None:
        """Stop the client, also where Kafka is gone: the client then cancels a fetch of its own and trips over it."""
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            logger.warning("the Kafka client was stopped without an answer from Kafka")

    def release(self) -> Awaitable[None]:
        """Let go what is held at this moment; what a later assignment holds back stays held."""
        return self.call_thread(self._release, self._held)

    async def _release(self, held: frozenset[aiokafka.TopicPartition]) -> None:
        if held is not self._held:
            return
        consumer = self._ensure_consumer()
        self._held = frozenset()
        consumer.resume(*held & consumer.assignment())

    def cluster(self) -> ClusterMetadata:
        """What the client knows of Kafka's topics."""
        return self._ensure_consumer()._client.cluster

    def ask_for_topics(self) -> None:
        """Have the client ask what there is, which it else does every five minutes; what is new makes it join again."""
        self.thread_loop.call_soon_threadsafe(self._ensure_consumer()._client.force_metadata_update)

    def current_assignment(self) -> object:
        """The client's assignment: another object after every rebalance, None before the first."""
        return _assignment(self._ensure_consumer())

    async def _fetch_records(self, consumer: aiokafka.AIOKafkaConsumer, *args: Any, **kwargs: Any) -> Any:
        records = await super()._fetch_records(consumer, *args, **kwargs)
        # No await from here to the return: records and positions belong together.
        positions = {ensure_TP(tp): position for tp, position in _positions(consumer)}
        return Fetched(records, positions, _assignment(consumer))


def _assignment(consumer: aiokafka.AIOKafkaConsumer) -> Any:
    subscription = consumer._subscription.subscription
    return None if subscription is None else subscription.assignment


def _positions(consumer: aiokafka.AIOKafkaConsumer) -> Iterable[tuple[Any, int]]:
    assignment = _assignment(consumer)
    if assignment is None:
        return
    for tp in assignment.tps:
        state = assignment.state_value(tp)
        if state is not None and state.has_valid_position:
            yield tp, state.position


def _fail(error: Exception) -> NoReturn:
    end_process(error, "a fetch")

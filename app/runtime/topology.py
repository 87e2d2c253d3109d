"""The Faust application: topics, tables and the two agents."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, Final, cast

import faust
from faust.types import TP, EventT, StreamT
from yarl import URL

from app.core.duration import SECOND, parse_duration
from app.core.engine import Engine
from app.runtime.counts import Counts
from app.runtime.database import table_options
from app.runtime.driver import SieveConsumer, SieveTransport, use_connections
from app.runtime.effects import Effects
from app.runtime.ending import end_process
from app.runtime.fetch_sift import FetchSift
from app.runtime.heartbeat import Heartbeat, boot_time
from app.runtime.in_flight import InFlight
from app.runtime.link import client_config, sasl, ssl_context
from app.runtime.log import logger
from app.runtime.progress import Place, Sample
from app.runtime.rebuild import RecoveryProgress
from app.runtime.records import ReadHeaders, SourcePosition
from app.runtime.recovery import BulkTableManager
from app.runtime.settings import Settings
from app.runtime.snapshot import PendingHeads, Snapshot
from app.runtime.steps import MatchStep, NoveltyStep, Reads, Record
from app.runtime.store import TableStore
from app.runtime.table import LineageTable, NewTermsTable
from app.runtime.topics import BATCH_BYTES
from app.sieve import Ledger

READY_LINE: Final = "worker ready"
"""Begins the line that is logged whenever partitions are assigned and their tables are recovered."""

_MAX_POLL_RECORDS = 20_000
_FETCH_BYTES = 8 * 1024 * 1024
_COUNTS_INTERVAL = 60.0
_CHECK_INTERVAL = 1.0
_NEVER = 1_000_000.0
_MAX_IN_FLIGHT = 256
_PRODUCER_LINGER = 0.003


class WorkerApp(faust.App):
    """Faust's application, which tells when it is ready, and what it is doing."""

    ready = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 — as it is overridden
        super().__init__(*args, **kwargs)
        self.queues: dict[str, asyncio.Queue[Any]] = {}
        """By topic, what its agent has yet to begin."""
        self.counts = Counts()
        self._heads = PendingHeads()
        self._pending: dict[Place, float] = {}

    def on_rebalance_start(self) -> None:
        """Partitions are taken away."""
        self.ready = False
        super().on_rebalance_start()

    @property
    def recovery_progress(self) -> RecoveryProgress:
        """How rebuilds of the tables get on."""
        return cast(BulkTableManager, self.tables).progress

    def on_rebalance_end(self) -> None:
        """Partitions are assigned, their tables are recovered, and processing goes on."""
        super().on_rebalance_end()
        self.ready = True
        self.counts.rebalances += 1
        if isinstance(self.consumer, SieveConsumer):
            self.add_future(self.consumer.release())
        changelogs = self.tables.changelog_topics
        places = sorted(self.assignor.assigned_actives(), key=lambda tp: (tp.topic in changelogs, tp))
        assigned = [f"{tp.topic}:{tp.partition}" for tp in places]
        logger.info(READY_LINE + "; assigned {assigned}", assigned=assigned or ["nothing"])

    def sample(self) -> Sample:
        """What the worker is doing at this moment, for the watchdog; to be called on its loop."""
        transport = cast(SieveTransport, self.transport)
        if not self.ready or transport.consumer is None:
            recovery = self.recovery_progress
            return Sample(recovered=recovery.done + recovery.opened if recovery.active else None)
        changelogs = self.tables.changelog_topics
        places = [tp for tp in self.assignor.assigned_actives() if tp.topic not in changelogs]
        accounts = {(tp.topic, tp.partition): transport.consumer.account(tp) for tp in places}
        waiting = {topic: queue.qsize() for topic, queue in self.queues.items()}
        missing = transport.consumer.unknown(self.queues)
        self._pending = self._heads.observe(time.monotonic(), accounts)
        return Sample(
            ready=True, missing=missing, in_flight=transport.in_flight.positions(), waiting=waiting, accounts=accounts
        )

    def snapshot(self) -> Snapshot:
        """More of what the worker is doing at this moment, for its metrics; to be called on its loop."""
        sample = self.sample()
        pending = {place: self._pending.get(place, 0.0) for place in sample.accounts}
        stores = [cast(TableStore, table.data) for table in self.tables.values()]
        entries = {store.databases.kind.name: store.entries() for store in stores}
        return Snapshot(sample, pending, len(cast(SieveTransport, self.transport).in_flight), entries)

    def sift(self) -> FetchSift | None:
        """The sieve between fetches and their parser, once there is a client."""
        consumer = cast(SieveTransport, self.transport).consumer
        return None if consumer is None else consumer.sift


def build_app(settings: Settings, engine: Engine, matches_topic_id: str, counts: Counts) -> WorkerApp:
    """Put the application together; nothing connects before it is started.

    Args:
        settings: Everything the worker was told.
        engine: The rules and how to judge.
        matches_topic_id: The id that the broker gave the matches topic; part of every applied position.
        counts: What is counted is counted there.
    """
    app = WorkerApp(
        settings.topic_prefix,
        broker=[URL(f"sieve+kafka://{broker}") for broker in settings.brokers],
        broker_credentials=_credentials(settings),
        datadir=str(settings.data_dir.absolute()),
        store=URL("rocksdb://"),
        key_serializer="raw",
        value_serializer="raw",
        processing_guarantee="at_least_once",
        web_enabled=False,
        # An idle leader topic would hold up the fetches of busy ones; topics are made by `topics create` alone.
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=settings.partitions,
        # A standby would save what a rebuild takes, some seconds a million terms, and cost every worker another's
        # disk and traffic all the time; stock standbys also apply records of unknown partitions to the wrong table.
        table_standby_replicas=0,
        TableManager=BulkTableManager,
        # Faust's recovery seeks rely on it; where a new group begins is set before the worker starts.
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=max(_FETCH_BYTES, settings.topic_max_bytes),
        broker_max_poll_records=_MAX_POLL_RECORDS,
        broker_commit_interval=_seconds(settings.commit_interval),
        # A worker without partitions never polls, and would leave the group for good after this.
        broker_max_poll_interval=_NEVER,
        broker_session_timeout=_seconds(settings.session_timeout),
        broker_heartbeat_interval=_seconds(settings.session_timeout) / 10,
        broker_request_timeout=max(60.0, _seconds(settings.session_timeout) + 5),
        producer_acks=-1,
        # How long a record may wait for others to share its request: what it adds to the latency of each send.
        producer_linger=_PRODUCER_LINGER,
        producer_request_timeout=60.0,
        producer_max_batch_size=BATCH_BYTES,  # bounds what is in flight
        producer_max_request_size=settings.topic_max_bytes,
        # An event that is being processed at a graceful stop would be lost without it.
        stream_wait_empty=True,
        worker_redirect_stdouts=False,
    )
    app.counts = counts
    use_connections(into_buffer=settings.buffered_receive)
    heartbeat = Heartbeat(_seconds(settings.session_timeout), boot_time, end_process)
    in_flight = InFlight(_MAX_IN_FLIGHT, _seconds(settings.effect_timeout), time.monotonic, end_process)
    app.transport = _transport(app, settings, engine, counts)
    app.producer_transport = _transport(app, settings, engine, counts)
    for transport in (app.transport, app.producer_transport):
        transport.heartbeat, transport.in_flight = heartbeat, in_flight
    cast(BulkTableManager, app.tables).link = client_config(settings)
    table = NewTermsTable(app, partitions=settings.partitions, options=table_options(settings))
    processes = LineageTable(app, partitions=settings.partitions, options=table_options(settings))
    app.tables.add(table)
    app.tables.add(processes)
    effects = Effects(app, table, processes, settings, counts, heartbeat)
    match = MatchStep(engine, effects, counts)
    reads = Reads(table.get, processes.read, settings.lineage_slots)
    novelty = NoveltyStep(engine, effects, reads, time.time_ns, matches_topic_id, counts)
    _add_agent(app, "match", list(settings.source_topics), match, in_flight)
    _add_agent(app, "novelty", [settings.matches_topic], novelty, in_flight)

    @app.timer(_CHECK_INTERVAL)  # type: ignore[untyped-decorator]  # Faust leaves it untyped
    async def check_in_flight() -> None:
        in_flight.check()
        if app.ready and isinstance(app.consumer, SieveConsumer):
            app.consumer.ask_for_unknown(app.queues)

    @app.timer(_COUNTS_INTERVAL)  # type: ignore[untyped-decorator]  # Faust leaves it untyped
    async def log_counts() -> None:
        logger.info("counts:", counts=counts.shown())

    return app


def _add_agent(
    app: WorkerApp, name: str, topics: list[str], step: MatchStep | NoveltyStep, in_flight: InFlight
) -> None:
    source = app.topic(*topics, key_serializer="raw", value_serializer="raw")

    async def process(stream: StreamT[Any]) -> None:
        app.queues |= dict.fromkeys(topics, cast(Any, stream.channel).queue)
        async for event in stream.events():
            message = event.message
            record = _record(event)
            tp = TP(message.topic, message.partition)
            done = partial(_done, cast(SieveConsumer, app.consumer).ledger, tp, event)
            waiting = in_flight.begin(record.position, done)
            try:
                in_flight.expect(waiting, await step.process(record))
                await in_flight.room()
            except Exception as error:  # noqa: BLE001 — an agent that raises would let Faust commit over the record
                end_process(error, f"{message.topic}:{message.partition}:{message.offset}")

    app.agent(source, name=f"eximwatch.{name}", concurrency=1)(process)


def _done(ledger: Ledger[TP], tp: TP, event: EventT[Any]) -> None:
    """A record's effects are confirmed. Holding the event until then keeps it: Faust's table only refers to it."""
    ledger.done(tp, event.message.offset)


def _record(event: EventT[Any]) -> Record:
    message = event.message
    # Where a producer set no time Kafka says -1.
    seconds = cast("float | None", message.timestamp)
    milliseconds = -1 if seconds is None else round(seconds * 1000)
    return Record(
        SourcePosition(message.topic, message.partition, message.offset, milliseconds if milliseconds >= 0 else None),
        message.key,
        message.value,
        [(name, value) for name, value in _header_items(message.headers)],
    )


def _header_items(headers: Any) -> ReadHeaders:  # noqa: ANN401 — Faust hands on a list or a mapping
    if not headers:
        return []
    return list(headers.items()) if hasattr(headers, "items") else list(headers)


def _credentials(settings: Settings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    context, login = ssl_context(settings), sasl(settings)
    if login is not None:
        # Without a context Faust logs in in the clear and says nothing; `sasl` has made sure that this is allowed.
        return faust.SASLCredentials(
            username=login.username, password=login.password, mechanism=login.mechanism, ssl_context=context
        )
    return None if context is None else faust.SSLCredentials(context=context)


def _transport(app: WorkerApp, settings: Settings, engine: Engine, counts: Counts) -> SieveTransport:
    transport = SieveTransport(app.conf.broker, app, loop=None)
    transport.fetch_max_wait = settings.fetch_max_wait
    transport.sieved_topics = frozenset(settings.source_topics)
    transport.skip_corrupt = tuple(_batch(text) for text in settings.skip_corrupt)
    transport.counts = counts
    if settings.sieve and engine.needles.reason is not None:
        logger.warning("the sieve is off, every record is parsed: {reason}", reason=engine.needles.reason)
    elif settings.sieve:
        transport.search = engine.needles.first_hit
    return transport


def _batch(text: str) -> tuple[str, int, int]:
    place, _, offset = text.rpartition(":")
    topic, _, partition = place.rpartition(":")
    return topic, int(partition), int(offset)


def _seconds(duration: str) -> float:
    return parse_duration(duration) / SECOND

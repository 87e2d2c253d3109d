"""A worker from its settings to its end: check everything, begin where told, run until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import uvloop
from aiokafka.errors import KafkaError
from faust.stores.rocksdb import RocksDBOptions

from app.core import ring, state_format
from app.core.duration import SECOND, parse_duration
from app.core.rule import Rule, longest_window
from app.errors import BrokerError
from app.runtime import records, replication, start_checks, topics
from app.runtime.acls import acls
from app.runtime.collector import registry_of
from app.runtime.counts import Counts
from app.runtime.data_dir import Installation, claim
from app.runtime.database import Databases, table_options, tables_folder
from app.runtime.driver import SieveTransport
from app.runtime.ending import end_process
from app.runtime.http_server import HttpServer
from app.runtime.link import check_link
from app.runtime.log import logger
from app.runtime.monitor import Monitor
from app.runtime.rights import require_rights
from app.runtime.rules import engine_of, load_rules
from app.runtime.settings import Settings
from app.runtime.snapshot import Snapshots
from app.runtime.start import start_group
from app.runtime.stop import StoppingWorker
from app.runtime.table_check import check_tables
from app.runtime.table_kind import LINEAGE, NEW_TERMS
from app.runtime.topology import build_app
from app.runtime.watchdog import StableOffsets, Watchdog


def run_worker(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; returns after a graceful stop.

    Args:
        settings: Everything the worker is told.

    Raises:
        EximwatchError: The start is refused; its message says what to do.
    """
    start_checks.require_versions()
    check_link(settings)
    rules = load_rules(settings.rules)
    for name, value in settings.shown():
        logger.info("{setting} = {value}", setting=name, value=value)
    for rule in rules:
        logger.info(
            "rule {rule} version {version} sha256 {sha256} from {path}",
            rule=rule.id,
            version=rule.spec.version,
            sha256=rule.digest[:12],
            path=rule.file,
        )
    logger.info(f"format of the tables: writes {state_format.FORMAT}, reads {_span(state_format.READABLE)}")
    logger.info(f"format of headers: writes {records.FORMAT}, reads {_span(records.READABLE)}")
    counts = Counts()
    monitor = Monitor(settings, rules, counts)
    with _served(settings, monitor):
        _run(settings, rules, counts, monitor)


@contextlib.contextmanager
def _served(settings: Settings, monitor: Monitor) -> Iterator[None]:
    """Answer from the first moment on: a start may take minutes where tables are checked and rebuilt."""
    if settings.http_address is None:
        yield
        return
    server = HttpServer(settings.http_address, registry_of(monitor), monitor.live, monitor.ready)
    server.start()
    try:
        yield
    finally:
        server.stop()


def _run(settings: Settings, rules: Sequence[Rule], counts: Counts, monitor: Monitor) -> None:
    matches_topic_id = settings.matches_topic
    installation = Installation(prefix=settings.topic_prefix)
    group_is_new = True
    if settings.check_topics:
        admin = topics.admin_client(settings)
        require_rights(admin, acls(settings), settings)
        layout = topics.inspect(admin, topics.declare(settings, longest_window(rules)), settings)
        topics.require(layout)
        for line in replication.warnings(layout.copies):
            logger.warning("{reason}", reason=line)
        matches_topic_id = layout.topic_ids[settings.matches_topic]
        installation = Installation(
            prefix=settings.topic_prefix,
            cluster_id=layout.cluster_id,
            changelog_id=layout.topic_ids[settings.changelog_topic],
            lineage_changelog_id=layout.topic_ids[settings.lineage_changelog_topic],
        )
        group_is_new = start_group(admin, settings)
    data_dir = claim(settings.data_dir, installation, time.time_ns() if group_is_new else None)
    warning = start_checks.space_warning(settings.data_dir, shutil.disk_usage(settings.data_dir).free)
    if warning is not None:
        logger.warning("{reason}", reason=warning, path=settings.data_dir)
    retentions = {
        NEW_TERMS: topics.changelog_retention(longest_window(rules)),
        LINEAGE: ring.RETENTION,
    }
    for kind, retention in retentions.items():
        databases = Databases(tables_folder(data_dir.path), RocksDBOptions(**table_options(settings)), kind)
        # A match may wait in its topic for that topic's retention, and must then find what it would have found.
        check_tables(databases, retention + topics.MIN_RETENTION)
    engine = engine_of(settings, rules, data_dir.learn_until)
    if settings.alert_from == "start" and data_dir.learn_until is None:
        logger.warning("alert_from=start: this installation was running before, so every new term alerts")

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build_app(settings, engine, matches_topic_id, counts)
    # Faust's command line would print a spinner and set up logging of its own.
    worker = StoppingWorker(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
    worker.spinner = None
    limit = parse_duration(settings.watchdog_timeout) / SECOND
    ends = StableOffsets(partial(topics.admin_client, settings))
    watchdog = Watchdog(limit, loop, app.sample, ends, end_process)
    heartbeat = cast(SieveTransport, app.transport).heartbeat
    snapshots = Snapshots(loop, app.snapshot)
    monitor.attach(snapshots, lambda: watchdog.look, app.sift, heartbeat, app.recovery_progress)
    worker.begin_stop = watchdog.stop
    worker.fail = end_process
    watchdog.start()
    try:
        worker.execute_from_commandline()
    except SystemExit:
        if isinstance(worker.reason, KafkaError):
            raise BrokerError(f"the link to Kafka failed: {worker.reason!r}; start again, nothing is lost") from None
        raise
    finally:
        logger.info("counts:", counts=counts.shown())


def _span(formats: range) -> str:
    return f"{formats[0]} to {formats[-1]}"

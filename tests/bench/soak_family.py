"""`make soak-family`: one worker, a thousand busy mail servers, small rings that turn again and again.

First the worker's greatest rate of family executions, sent at once; then a steady stream at 2,778 executions a second
(10,000 an hour on each of 1,000 hosts) or at 80 % of that rate, whichever is less. Watched are memory, lag, the data
directory and the lineage's changelog on the broker, whose segments are made small here, so that compaction acts within
the run. MINUTES (10), RATE (2778), HOSTS (1000), SLOTS (128) and BURST (40000) in the environment. Writes
build/bench/soak-family.json, and fails if anything grew in the second half by more than 5 % and more than 1 MiB.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.bench import machine
from tests.bench.corpus import BATCH_RECORDS, PARTITIONS, delete
from tests.bench.family import EXECUTIONS_AN_HOUR, MailHost
from tests.bench.marks import cpu_ticks
from tests.bench.measuring import TICKS_A_SECOND, resident
from tests.bench.results import FOLDER
from tests.bench.soak import Stream
from tests.broker.installation import Installation
from tests.broker.kafka import Kafka
from tests.broker.topics import Topic, create_topics
from tests.broker.worker import Worker

FILE: Final = FOLDER / "soak-family.json"
MAX_GROWTH: Final = 0.05
SWING: Final = 1024 * 1024
"""Bytes by which a figure may grow in any case: RocksDB writes what it compacts before it deletes."""
SHARE: Final = 0.8

_SAMPLE_S: Final = 5.0
_BURST_S: Final = 600.0
_BURST_HOSTS: Final = 100
_KNOWN_AFTER: Final = 20
"""Executions of a host after which nearly all of its programs were seen."""
_FLUSH_S: Final = 60.0
_MEBIBYTE: Final = 1024 * 1024
_RETENTION: Final = {"retention.bytes": str(64 * _MEBIBYTE), "segment.bytes": str(16 * _MEBIBYTE)}
# The broker compacts what is not its newest segment, and no sooner than half of it is superseded.
_CHANGELOG: Final = {
    "segment.bytes": str(4 * _MEBIBYTE),
    "segment.ms": "20000",
    "min.cleanable.dirty.ratio": "0.3",
    "delete.retention.ms": "10000",
}
_SETTINGS: Final = {
    "SESSION_TIMEOUT": "30s",
    "FETCH_MAX_WAIT": "500",
}


class Point(msgspec.Struct, frozen=True):
    """One look: seconds since the begin, executions sent, and the worker's and broker's sizes."""

    at: float
    sent: int
    cpu_seconds: float
    lag: int
    resident_bytes: int
    data_bytes: int
    changelog_bytes: int


class Burst(msgspec.Struct, frozen=True):
    """The worker at its fastest: from the sending of many executions at once to the commit of the last."""

    executions: int
    seconds: float
    cpu_seconds: float


def executions(hosts: int) -> Iterator[bytes]:
    """Mails on hosts by chance, without an end."""
    random = Random("soak family")
    servers = [MailHost(number, time.time_ns()) for number in range(hosts)]
    encode = msgspec.json.Encoder().encode
    for server in servers:
        yield encode(server.started())
    while True:
        for document in random.choice(servers).mail(time.time_ns()):
            yield encode(document)


def burst(kafka: Kafka, count: int, hosts: int, slots: int) -> Burst:
    """Measure the greatest rate, once the programs of all hosts are known and the alerts over them are sent."""
    prefix = f"burst-{uuid.uuid4().hex[:8]}"
    with Installation(kafka.brokers, prefix, settings={**_SETTINGS, "LINEAGE_SLOTS": str(slots)}) as made:
        events = executions(min(hosts, _BURST_HOSTS))
        create_topics(kafka.brokers, Topic(made.source(), PARTITIONS))
        _create_ours(made)
        worker = made.worker()
        worker.wait_ready()
        _send(kafka.brokers, made.source(), itertools.islice(events, _KNOWN_AFTER * min(hosts, _BURST_HOSTS)))
        made.wait_caught_up(worker, deadline=_BURST_S)
        counted = list(itertools.islice(events, count))
        begun, ticks = time.monotonic(), cpu_ticks(worker.pid or 0)
        _send(kafka.brokers, made.source(), counted)
        made.wait_caught_up(worker, deadline=_BURST_S)
        seconds, cpu = time.monotonic() - begun, (cpu_ticks(worker.pid or 0) - ticks) / TICKS_A_SECOND
        worker.stop()
        print(f"the worker in the burst: {worker.output().split('counts: ')[-1].strip()}", flush=True)
        delete(kafka.brokers, [made.source(), *made.names.values()])
    return Burst(count, seconds, cpu)


def _send(brokers: str, topic: str, values: Iterable[bytes]) -> None:
    """At once, in batches as a busy sensor's output makes them."""
    producer = Producer({"bootstrap.servers": brokers, "compression.type": "lz4", "linger.ms": 50})
    for number, value in enumerate(values):
        producer.produce(topic, value=value, partition=number // BATCH_RECORDS % PARTITIONS)
        if number % 1000 == 0:
            producer.poll(0)
    if producer.flush(_FLUSH_S):
        raise TimeoutError(f"records to {topic} were not acknowledged within {_FLUSH_S:g} s")


def soak(kafka: Kafka, minutes: float, rate: float, hosts: int, slots: int) -> list[Point]:
    """Run the stream; the worker must live to the end."""
    prefix = f"soak-{uuid.uuid4().hex[:8]}"
    with Installation(kafka.brokers, prefix, settings={**_SETTINGS, "LINEAGE_SLOTS": str(slots)}) as made:
        create_topics(kafka.brokers, Topic(made.source(), PARTITIONS, _RETENTION))
        _create_ours(made)
        _configure(kafka.brokers, made.names["lineage-changelog"], _CHANGELOG)
        worker = made.worker()
        worker.wait_ready()
        stream = Stream(kafka.brokers, made.source(), rate, executions(hosts))
        stream.start()
        points = list(_watch(kafka, made, worker, stream, minutes * 60))
        stream.end()
        made.wait_caught_up(worker, deadline=_BURST_S)
        code = worker.stop()
        print(f"caught up at the end, stopped with {code}; {worker.output().split('counts: ')[-1].strip()}")
    return points


def _create_ours(made: Installation) -> None:
    done = made.run("topics", "create")
    if done.returncode:
        raise RuntimeError(done.stderr)


def _configure(brokers: str, topic: str, configs: dict[str, str]) -> None:
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in configs.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": brokers})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def _watch(kafka: Kafka, made: Installation, worker: Worker, stream: Stream, seconds: float) -> Iterator[Point]:
    begun = time.monotonic()
    data = Path(worker.log).parent / "data"
    number = 0
    while (at := time.monotonic() - begun) < seconds:
        worker.check_running()
        pid = worker.pid or 0
        point = Point(
            round(at, 1),
            stream.sent,
            cpu_ticks(pid) / TICKS_A_SECOND,
            made.lag(),
            resident(pid),
            # Without what RocksDB tells of its own work, which takes up to 3 MiB a database and is not full by then.
            size(file for file in data.rglob("*") if not file.name.startswith("LOG")),
            # Segments alone: the indexes of the newest ones have room for far more than they hold.
            size((kafka.log.parent / "data").glob(f"{made.names['lineage-changelog']}-*/*.log")),
        )
        if number % 6 == 0:
            print(_line(point), flush=True)
        yield point
        number += 1
        time.sleep(max(0.0, begun + number * _SAMPLE_S - time.monotonic()))


def _line(point: Point) -> str:
    return (
        f"{time.strftime('%H:%M:%S')}  {point.at / 60:4.1f} min  {point.sent / max(point.at, 1):7,.0f} executions/s  "
        f"{point.lag:>7,} behind  {point.resident_bytes / _MEBIBYTE:6.1f} MiB resident  "
        f"{point.data_bytes / _MEBIBYTE:6.1f} MiB of data  {point.changelog_bytes / _MEBIBYTE:6.1f} MiB of changelog"
    )


def size(files: Iterable[Path]) -> int:
    """Bytes of files; what is deleted meanwhile is no matter."""
    total = 0
    for file in files:
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def growth(points: list[Point], figure: str) -> tuple[float, float]:
    """A figure's medians over the third and the last quarter of a run."""
    half = [getattr(point, figure) for point in points[len(points) // 2 :]]
    middle = len(half) // 2
    return statistics.median(half[:middle]), statistics.median(half[middle:])


def is_flat(before: float, after: float) -> bool:
    """Whether a figure grew by no more than it may."""
    return after - before <= max(before * MAX_GROWTH, SWING)


def main() -> int:
    """Returns 1 if anything grew by more than 5 % in the second half."""
    minutes, wanted, hosts, slots, count = (
        int(os.environ.get(name) or default)
        for name, default in (
            ("MINUTES", 10),
            ("RATE", round(1000 * EXECUTIONS_AN_HOUR / 3600)),
            ("HOSTS", 1000),
            ("SLOTS", 128),
            ("BURST", 40_000),
        )
    )
    with Kafka(heap="1g", jvm_options=("-XX:TieredStopAtLevel=4",)) as kafka:
        fastest = burst(kafka, count, hosts, slots)
        most = fastest.executions / fastest.seconds
        rate = min(wanted, SHARE * most)
        print(
            f"greatest rate of one worker: {most:,.0f} executions/s, "
            f"{fastest.cpu_seconds / fastest.executions * 1e6:,.0f} µs of CPU an execution; playing {rate:,.0f}/s",
            flush=True,
        )
        points = soak(kafka, minutes, rate, hosts, slots)
    halves = {name: growth(points, name) for name in ("resident_bytes", "data_bytes", "changelog_bytes")}
    grown = {name: after / before - 1 for name, (before, after) in halves.items()}
    lags = [point.lag for point in points[len(points) // 10 :]]
    sent, seconds = points[-1].sent, points[-1].at
    print(
        f"{minutes} minutes at {sent / seconds:,.0f} executions/s of {hosts:,} hosts with {slots} slots, "
        f"{sent / hosts:,.0f} on each: in the second half memory grew by {grown['resident_bytes']:.1%}, the data "
        f"directory by {grown['data_bytes']:.1%}, the changelog by {grown['changelog_bytes']:.1%} (allowed: "
        f"{MAX_GROWTH:.0%}, and 1 MiB in any case); {statistics.median(lags):,.0f} events behind in the "
        f"median, {max(lags):,} at most"
    )
    FILE.parent.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine.facts(), "burst": fastest, "growth": grown, "points": points}
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    return int(not all(is_flat(*half) for half in halves.values()))


if __name__ == "__main__":
    sys.exit(main())

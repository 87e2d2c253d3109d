"""`make bench-recovery`: how fast the table is rebuilt from its changelog, and how fast a full table starts.

Beside the worker's rebuild stands stock Faust's recovery over records of the same kind, in the same run and on the
same Kafka. Prints a table, writes build/bench/recovery.json. Chosen by the environment: TERMS (1000000), STOCK_TERMS
(200000), REPEATS (3).
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from app.core.new_terms import TermRecord, encode_record, term_key
from tests.bench import machine
from tests.bench.corpus import Source
from tests.bench.measuring import run_marked
from tests.bench.peers import Task
from tests.bench.results import FOLDER
from tests.bench.surroundings import Surroundings
from tests.broker.installation import PARTITIONS, Installation
from tests.broker.kafka import Kafka
from tests.broker.topics import Topic, create_topics
from tests.broker.waiting import wait_until
from tests.broker.worker import Worker

FILE: Final = FOLDER / "recovery.json"
MIN_TERMS_A_SECOND: Final = 100_000
MAX_WARM_S: Final = 5.0

_READY_S: Final = 300.0
_PAUSE_S: Final = 0.01
_FLUSH_S: Final = 120.0
_ROOM_S: Final = 0.1
_FIELDS: Final = ("host.id", "process.name")
_REBUILT: Final = re.compile(r"table new_terms rebuilt: (\d+) changelog records of .* (\d+) records/s")
_HEAP: Final = "1g"
_JVM: Final = ("-XX:TieredStopAtLevel=4",)


class Round(msgspec.Struct, frozen=True):
    """One round's figures.

    Attributes:
        rebuilt: Terms a second by the worker, from an empty data directory; by its own log line.
        stock: Terms a second by stock Faust.
        cold_s: Seconds from the process's start to its ready line, with all terms to be rebuilt.
        warm_s: The same with all terms on disk.
        empty_s: The same with an empty changelog and table.
        others: The share of the cores that other processes took meanwhile.
    """

    rebuilt: float
    stock: float
    cold_s: float
    warm_s: float
    empty_s: float
    others: float


class Results(msgspec.Struct):
    """A whole run."""

    machine: dict[str, str]
    versions: dict[str, str]
    terms: int
    stock_terms: int
    rounds: list[Round]

    def median(self, name: str) -> float:
        """Of one figure over the rounds."""
        return float(statistics.median(getattr(one, name) for one in self.rounds))


def entries(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values as the worker writes them: a host's id of 36 characters, some programs each."""
    now = time.time_ns()
    for number in range(count):
        host = str(uuid.UUID(int=number // 8))
        key = term_key("exim4_child", _FIELDS, (host, f"program-{number % 8}"))
        yield key, encode_record(TermRecord(now - number, now, 3, now, 1 << 60, number))


def fill(brokers: str, topic: str, count: int) -> None:
    """Write a changelog.

    Raises:
        KafkaException: A record was refused.
        TimeoutError: Records were not acknowledged.
    """
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50, "acks": "all"})
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            errors.append(error)

    for number, (key, value) in enumerate(entries(count)):
        while True:
            try:
                producer.produce(topic, key=key, value=value, partition=number % PARTITIONS, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(_ROOM_S)
        if number % 10_000 == 0:
            producer.poll(0)
    missing = producer.flush(_FLUSH_S)
    if errors:
        raise KafkaException(errors[0])
    if missing:
        raise TimeoutError(f"{missing} records to {topic} were not acknowledged within {_FLUSH_S:g} s")


def run(terms: int, stock_terms: int, repeats: int) -> Results:
    """Measure everything, in rounds."""
    results = Results(machine.facts(), machine.versions(), terms, stock_terms, [])
    with Kafka(heap=_HEAP, jvm_options=_JVM) as kafka, ExitStack() as stack:
        full = stack.enter_context(_installation(kafka.brokers))
        empty = stack.enter_context(_installation(kafka.brokers))
        fill(kafka.brokers, full.names["changelog"], terms)
        for number in range(1, repeats + 1):
            results.rounds.append(_round(kafka, full, empty, terms, stock_terms))
            _say(f"round {number}: {results.rounds[-1]}")
    return results


def _installation(brokers: str) -> Installation:
    # Sessions as users have them: a stopped worker leaves its group at once anyway.
    settings = {"SESSION_TIMEOUT": "30s"}
    return Installation(brokers, f"bench-{uuid.uuid4().hex[:8]}", settings=settings).create()


def _round(kafka: Kafka, full: Installation, empty: Installation, terms: int, stock_terms: int) -> Round:
    surroundings = Surroundings(kafka.pid or 0)
    worker = full.worker()
    cold = _seconds_to_ready(worker)
    found = _REBUILT.search(worker.output())
    if found is None or int(found[1]) != terms:
        raise RuntimeError(f"the worker did not rebuild {terms} terms: {worker.tail()}")
    warm = _start_again(worker)
    other = empty.worker()
    _seconds_to_ready(other)
    idle = _start_again(other)
    stock = _stock(kafka.brokers, stock_terms)
    return Round(float(found[2]), stock, cold, warm, idle, surroundings.others())


def _stock(brokers: str, terms: int) -> float:
    """Terms a second. Each time a group of its own: that of a killed process would have to time out first."""
    group = f"bench-{uuid.uuid4().hex[:8]}"
    changelog = f"{group}-new_terms-changelog"
    create_topics(brokers, Topic(group, PARTITIONS), Topic(changelog, PARTITIONS))
    fill(brokers, changelog, terms)
    source = Source(group, terms, 0)
    task = Task(brokers, source.topic, group, source.events, "{folder}")
    command = [sys.executable, "-m", "tests.bench.peers.faust_table", *task.arguments]
    return run_marked(command, source).rate


def _start_again(worker: Worker) -> float:
    """Seconds to the ready line of a second start; the worker is stopped then."""
    worker.stop()
    worker.start()
    seconds = _seconds_to_ready(worker)
    worker.stop()
    return seconds


def _seconds_to_ready(worker: Worker) -> float:
    begun = time.monotonic()

    def ready() -> bool:
        worker.check_running()
        return "worker ready; assigned" in worker.output()

    wait_until(ready, _READY_S, "the ready line", pause=_PAUSE_S)
    return time.monotonic() - begun


def render(results: Results) -> str:
    """The table."""
    rebuilt, stock = results.median("rebuilt"), results.median("stock")
    over = results.median("warm_s") - results.median("empty_s")
    rows = [
        ("rebuild from the changelog, terms/s", f"{rebuilt:,.0f}", f"≥ {MIN_TERMS_A_SECOND:,}"),
        (f"stock Faust, {results.stock_terms:,} terms, terms/s", f"{stock:,.0f}", ""),
        ("times stock Faust", f"{rebuilt / stock:.1f}", ""),
        ("process start to ready, all to be rebuilt, s", f"{results.median('cold_s'):.1f}", ""),
        ("process start to ready, all on disk, s", f"{results.median('warm_s'):.1f}", ""),
        ("process start to ready, empty, s", f"{results.median('empty_s'):.1f}", ""),
        ("full table on disk over an empty one, s", f"{over:.1f}", f"≤ {MAX_WARM_S:g}"),
    ]
    head = f"| {results.terms:,} terms, medians of {len(results.rounds)} | measured | must |\n| --- | --- | --- |\n"
    return head + "\n".join(f"| {name} | {value} | {must} |" for name, value, must in rows)


def main() -> int:
    """Measure, print, write."""
    terms, stock_terms, repeats = (
        int(os.environ.get(name) or default)
        for name, default in (("TERMS", 1_000_000), ("STOCK_TERMS", 200_000), ("REPEATS", 3))
    )
    results = run(terms, stock_terms, repeats)
    Path(FILE).parent.mkdir(parents=True, exist_ok=True)
    Path(FILE).write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    print(render(results))
    others = ", ".join(f"{one.others:.0%}" for one in results.rounds)
    print(f"\nothers took of the cores: {others}; every round is in {FILE}")
    return 0


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

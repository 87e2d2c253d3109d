"""`make soak`: one worker under a steady stream for half an hour, its memory and its lag watched.

MINUTES, RATE (events a second) and PERCENT (of them matches) in the environment; by default 30, 20000 and 1.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

from confluent_kafka import Producer

from tests.bench.corpus import PARTITIONS, Events, delete, match
from tests.bench.measuring import resident
from tests.bench.results import FOLDER
from tests.broker.installation import Installation
from tests.broker.kafka import Kafka
from tests.broker.topics import Topic, create_topics
from tests.broker.worker import Worker

FILE: Final = FOLDER / "soak.json"

_SAMPLE_S: Final = 10.0
_SLICE_S: Final = 0.05
_NEW_SHARE: Final = 0.02
"""Of the matches: a host that starts something new all the time would not be ordinary, one that never does neither."""
_HOSTS: Final = 200
_PROGRAMS: Final = 40
_RETENTION: Final = {"retention.bytes": str(256 * 1024 * 1024), "segment.bytes": str(64 * 1024 * 1024)}
_MAX_GROWTH: Final = 0.05
_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Point:
    """One look at the worker: seconds since the begin, events sent so far, its memory, and how far it is behind."""

    at: float
    sent: int
    resident_bytes: int
    lag: int


class Stream(threading.Thread):
    """Sends events at a steady rate until told to stop."""

    def __init__(self, brokers: str, topic: str, rate: float, values: Iterator[bytes]) -> None:
        """Prepare only.

        Args:
            brokers: Kafka's address.
            topic: Where to.
            rate: Events a second.
            values: The events, without an end.
        """
        super().__init__(name="stream", daemon=True)
        self._topic = topic
        self._rate = rate
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "compression.type": "lz4",
                "linger.ms": 50,
                "queue.buffering.max.messages": 200_000,
            }
        )
        self._values = values
        self._ended = threading.Event()
        self.sent = 0

    def run(self) -> None:
        """Send in slices; what a slice was late for is sent with the next."""
        begun = time.monotonic()
        while not self._ended.wait(_SLICE_S):
            due = int((time.monotonic() - begun) * self._rate)
            while self.sent < due:
                try:
                    self._producer.produce(
                        self._topic, value=next(self._values), partition=self.sent // 64 % PARTITIONS
                    )
                except BufferError:
                    self._producer.poll(_SLICE_S)
                    continue
                self.sent += 1
            self._producer.poll(0)

    def end(self) -> None:
        """Stop, and wait until everything is acknowledged."""
        self._ended.set()
        self.join()
        if self._producer.flush(60):
            raise TimeoutError("the stream's last records were not acknowledged")


def _values(share: float) -> Iterator[bytes]:
    """Ordinary events, and among them matches: most of known terms, some of new ones."""
    random = Random("soak")
    begin = time.time_ns()
    ordinary = iter(Events("small", 9973).stream(10**12, 0))
    known = [
        match(random, host, f"known{program}", begin, small=True)
        for host in range(_HOSTS)
        for program in range(_PROGRAMS)
    ]
    every = round(1 / share)
    number = 0
    while True:
        number += 1
        if number % every:
            yield next(ordinary)
        elif random.random() < _NEW_SHARE:
            yield match(random, number % _HOSTS, f"new{number}", time.time_ns(), small=True)
        else:
            yield random.choice(known)


def soak(minutes: float, rate: int, percent: float) -> list[Point]:
    """Run it, printing a line every few samples; the worker must live to the end."""
    with Kafka() as kafka:
        prefix = f"soak-{uuid.uuid4().hex[:8]}"
        source = f"{prefix}.events"
        create_topics(kafka.brokers, Topic(source, PARTITIONS, _RETENTION))
        settings = {"SESSION_TIMEOUT": "30s", "FETCH_MAX_WAIT": "500"}
        with Installation(kafka.brokers, prefix, settings=settings) as made:
            done = made.run("topics", "create")
            if done.returncode:
                raise RuntimeError(done.stderr)
            worker = made.worker()
            worker.wait_ready()
            stream = Stream(kafka.brokers, source, rate, _values(percent / 100))
            stream.start()
            points = list(_watch(made, worker, stream, minutes * 60))
            stream.end()
            made.wait_caught_up(worker, deadline=120)
            code = worker.stop()
            print(f"caught up at the end, stopped with {code}; {worker.output().split('counts: ')[-1].strip()}")
            delete(kafka.brokers, [source])
    return points


def _watch(made: Installation, worker: Worker, stream: Stream, seconds: float) -> Iterator[Point]:
    begun = time.monotonic()
    number = 0
    while (at := time.monotonic() - begun) < seconds:
        worker.check_running()
        point = Point(round(at, 1), stream.sent, resident(worker.pid or 0), made.lag())
        if number % 6 == 0:
            print(
                f"{at / 60:5.1f} min  {stream.sent / max(at, 1) / 1000:5.1f} k events/s  "
                f"{point.resident_bytes / _MEBIBYTE:6.1f} MiB  {point.lag:>8,} behind",
                flush=True,
            )
        yield point
        number += 1
        time.sleep(max(0.0, begun + number * _SAMPLE_S - time.monotonic()))


def growth(points: list[Point]) -> float:
    """How much memory grew in the second half: its last quarter against its first, by medians."""
    half = points[len(points) // 2 :]
    quarter = max(1, len(half) // 4)
    first, last = half[:quarter], half[-quarter:]
    return statistics.median(p.resident_bytes for p in last) / statistics.median(p.resident_bytes for p in first) - 1


def main() -> int:
    """Returns 1 if memory grew by more than 5 % in the second half."""
    minutes = float(os.environ.get("MINUTES") or 30)
    rate = int(os.environ.get("RATE") or 20_000)
    percent = float(os.environ.get("PERCENT") or 1)
    points = soak(minutes, rate, percent)
    grown = growth(points)
    sent = points[-1].sent / points[-1].at
    lags = [point.lag for point in points[len(points) // 10 :]]
    print(
        f"{minutes:g} minutes at {sent:,.0f} events/s with {percent:g} % matches: memory grew by {grown:.1%} in the "
        f"second half (allowed: {_MAX_GROWTH:.0%}), {statistics.median(lags):,.0f} events behind in the median, "
        f"{max(lags):,} at most"
    )
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps({"growth": grown, "points": [asdict(point) for point in points]}), encoding="utf-8")
    return int(grown > _MAX_GROWTH)


if __name__ == "__main__":
    sys.exit(main())

"""The topics that are read: made once for a cell, the same bytes for every contender."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from app.tools.generator import Host, ordinary_document, ordinary_event
from tests.bench.results import Cell
from tests.broker.topics import Topic, create_topics
from tests.recordings.convert import EVENTS

PARTITIONS: Final = 4
BATCH_RECORDS: Final = 64
MARKERS: Final = 16
"""Matches of new terms at the very end, strewn over hosts: their alerts tell that all before them is done."""

MARKER: Final = "benchend-"

_HOSTS: Final = 500
_MAIL_HOSTS: Final = 20
_MAIL_PROGRAMS: Final = ("perl", "procmail", "php8.2", "curl", "python3.11")
_DISTINCT: Final = 19_997  # events are repeated beyond that, never within reach of a compressor; prime to the batches
_SPACING_NS: Final = 10**6
_HOUR_NS: Final = 3600 * 10**9
_FLUSH_S: Final = 120.0
_ROOM_S: Final = 0.05
_DELETE_S: Final = 30.0


RECORDING: Final = tuple(EVENTS.read_bytes().splitlines())
RECORDED_MATCHES: Final = 58
"""Records of the recording that are forwarded: what a rule matches, and all other executions of exim4's family."""


class Source(NamedTuple):
    """A topic that is ready: its name, its records, and how many of them are forwarded, markers included."""

    topic: str
    events: int
    matches: int


def match(random: Random, host: int, program: str, at: int, *, small: bool = False) -> bytes:
    """One execution under exim4."""
    document: Any = ordinary_document(random, Host(host), at, small=small)
    document["process"]["parent"] |= {"name": "exim4", "executable": "/usr/sbin/exim4"}
    document["process"] |= {"name": program, "executable": f"/usr/bin/{program}"}
    return msgspec.json.encode(document)


class Events:
    """Events of one size, generated once and used for all topics of that size."""

    def __init__(self, size: str, distinct: int = _DISTINCT) -> None:
        """Generate them."""
        random = Random(f"bench {size}")
        begin = time.time_ns() - _HOUR_NS
        small = size == "small"
        self._ordinary = [
            ordinary_event(random, Host(random.randrange(_HOSTS)), begin + number * _SPACING_NS, small=small)
            for number in range(distinct)
        ]
        self._matches = [
            match(random, number % _MAIL_HOSTS, _MAIL_PROGRAMS[number % 5], begin + number * _SPACING_NS, small=small)
            for number in range(997)
        ]
        self._markers = markers(random, begin, small=small)

    @property
    def mean_bytes(self) -> float:
        """Of an event."""
        return sum(map(len, self._ordinary)) / len(self._ordinary)

    def stream(self, count: int, rate: int) -> Iterator[bytes]:
        """Ordinary events, one match in `rate`, the markers last."""
        ordinary, matches = self._ordinary, self._matches
        for number in range(count - MARKERS):
            if rate and number % rate == rate // 2:
                yield matches[number // rate % len(matches)]
            else:
                yield ordinary[number % len(ordinary)]
        yield from self._markers

    def matches(self, count: int, rate: int) -> int:
        """How many in such a stream match."""
        return MARKERS + (sum(1 for _ in range(rate // 2, count - MARKERS, rate)) if rate else 0)


def markers(random: Random, at: int, *, small: bool = False) -> list[bytes]:
    """The matches at the end of every topic."""
    return [match(random, number, f"{MARKER}{number}", at, small=small) for number in range(MARKERS)]


def only_matches(count: int, *, new: bool) -> Iterator[bytes]:
    """Matches and nothing else: each of a new term, or all but a few of known ones; the markers last."""
    random = Random("matches")
    at = time.time_ns() - _HOUR_NS
    for number in range(count - MARKERS):
        program = f"new{number}" if new else _MAIL_PROGRAMS[number % 5]
        yield match(random, number % (_HOSTS if new else 4), program, at + number * _SPACING_NS)
    yield from markers(random, at)


def mail_server(times: int) -> Iterator[bytes]:
    """The recording of a real exim4, again and again, where nearly every record is a candidate; the markers last."""
    for _ in range(times):
        yield from RECORDING
    yield from markers(Random("mail"), time.time_ns() - _HOUR_NS)


def produce(brokers: str, topic: str, codec: str, values: Iterable[bytes]) -> int:
    """Make a topic of batches of 64 records, as librdkafka makes them with some linger; returns the records.

    Raises:
        KafkaException: A record was refused.
        TimeoutError: Records were not acknowledged.
    """
    create_topics(brokers, Topic(topic, PARTITIONS, {"file.delete.delay.ms": "1000"}))
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "compression.type": codec,
            "linger.ms": 500,
            "batch.num.messages": BATCH_RECORDS,
            "queue.buffering.max.messages": 20_000,
        }
    )
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            errors.append(error)

    count = 0
    for value in values:
        partition = (count // BATCH_RECORDS) % PARTITIONS
        while True:
            try:
                producer.produce(topic, value=value, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(_ROOM_S)
        count += 1
        if count % 1000 == 0:
            producer.poll(0)
    missing = producer.flush(_FLUSH_S)
    if errors:
        raise KafkaException(errors[0])
    if missing:
        raise TimeoutError(f"{missing} of {count} records to {topic} were not acknowledged within {_FLUSH_S:g} s")
    return count


def delete(brokers: str, topics: Iterable[str]) -> None:
    """Delete topics; what is not there is no matter."""
    futures = AdminClient({"bootstrap.servers": brokers}).delete_topics(list(topics), request_timeout=_DELETE_S)
    for future in futures.values():
        future.exception(timeout=_DELETE_S)


class Corpus:
    """The topics of one cell, in the lengths that contenders ask for."""

    def __init__(self, brokers: str, cell: Cell, events: Events) -> None:
        """Prepare only."""
        self._brokers = brokers
        self._events = events
        self._sources: dict[int, Source] = {}
        self.cell = cell

    def source(self, count: int) -> Source:
        """The topic with so many events, made when it is first asked for."""
        if count not in self._sources:
            topic = f"bench-{self.cell.codec}-{self.cell.size}-{self.cell.rate}-{count}"
            produce(self._brokers, topic, self.cell.codec, self._events.stream(count, self.cell.rate))
            self._sources[count] = Source(topic, count, self._events.matches(count, self.cell.rate))
        return self._sources[count]

    def delete(self) -> None:
        """Make room: the page cache must hold what is read."""
        delete(self._brokers, [source.topic for source in self._sources.values()])

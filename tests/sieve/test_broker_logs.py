"""The sieve against the stock parser on what a real Kafka answers: codecs, transactions, compaction."""

from __future__ import annotations

import time
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest

from app.sieve import Inflater, Sieve
from tests.broker.jars import NoJavaError
from tests.broker.kafka import Kafka
from tests.broker.records import read_topic
from tests.broker.topics import Topic, create_topics
from tests.broker.waiting import wait_until
from tests.sieve.broker_logs import CODECS, fetches, values, write, writer
from tests.sieve.searches import ESCAPES, plain
from tests.sieve.stock import READ_COMMITTED, READ_UNCOMMITTED, Fetch, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.sieve.sift import Search
    from tests.broker.fixtures import GivenKafka

pytestmark = pytest.mark.broker

INFLATER: Final = Inflater(64 << 20)


def hits(record: Any, search: Search) -> bool:
    """Whether what a producer wrote in a record holds what is searched."""
    headers = [part for name, value in record.headers for part in (name.encode(), value)]
    parts = [part for part in (record.key, record.value, *headers) if part is not None]
    return any(search(memoryview(part), 0, len(part)) >= 0 for part in parts)


def check(answers: list[Fetch]) -> tuple[int, int]:
    """Hold each sieved answer against the whole one; give how many batches were dropped, and how many records kept."""
    dropped = kept = 0
    for fetch in answers:
        whole = parse(fetch)
        for search in (plain(), ESCAPES.first_hit):
            sifted = Sieve(search, INFLATER).sift(fetch.data)
            rest = parse(fetch, sifted.data)
            assert [one for one in whole.records if hits(one, search)] == rest.records
            assert (whole.position, whole.readable) == (rest.position, rest.readable)
            assert (whole.position if whole.readable else -1) == sifted.next_offset
            dropped += sifted.dropped
            kept += len(rest.records)
    return dropped, kept


@pytest.mark.parametrize("linger", [0, 50], ids=["small-batches", "large-batches"])
def test_what_clients_compress(kafka: Kafka | GivenKafka, topic_prefix: str, linger: int) -> None:
    """All codecs of the C client in one log, in batches of a few records and of hundreds."""
    random = Random(1)
    create_topics(kafka.brokers, Topic(topic_prefix))
    for codec in (*CODECS, *CODECS):
        producer = writer(kafka.brokers, codec, linger=linger)
        for share in (0.1, 0):
            write(producer, topic_prefix, values(random, 120, share))

    dropped, kept = check(fetches(kafka.brokers, topic_prefix, 1))
    assert dropped
    assert kept


@pytest.mark.parametrize("codec", ["uncompressed", *CODECS[1:]])
def test_what_the_broker_compresses(kafka: Kafka | GivenKafka, topic_prefix: str, codec: str) -> None:
    """All codecs of the Java library, which the broker uses for a topic's own compression; its clock's times, too."""
    random = Random(2)
    config = {"compression.type": codec, "message.timestamp.type": "LogAppendTime"}
    create_topics(kafka.brokers, Topic(topic_prefix, config=config))
    for linger in (0, 50):
        for share in (0.1, 0):
            write(writer(kafka.brokers, "lz4", linger=linger), topic_prefix, values(random, 200, share))

    answers = fetches(kafka.brokers, topic_prefix, 2)
    assert {1} == {record.timestamp_type for record in parse(answers[0]).records}
    dropped, kept = check(answers)
    assert dropped
    assert kept


def test_transactions(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Committed, aborted and open ones of several producers, with other records among them."""
    random = Random(3)
    create_topics(kafka.brokers, Topic(topic_prefix))
    producers = [writer(kafka.brokers, codec, transactions=f"{topic_prefix}-{codec}") for codec in CODECS[2:]]
    other = writer(kafka.brokers, "lz4")
    for _ in range(12):
        open_ones = random.sample(producers, k=2)
        for producer in open_ones:
            producer.begin_transaction()
        for _ in range(random.randrange(1, 4)):
            write(random.choice((*open_ones, other)), topic_prefix, values(random, 15))
        for producer in random.sample(open_ones, k=2):
            if random.random() < 0.5:
                producer.commit_transaction(30)
            else:
                producer.abort_transaction(30)
    producers[0].begin_transaction()
    write(producers[0], topic_prefix, values(random, 30))
    write(other, topic_prefix, values(random, 30))

    answers = fetches(kafka.brokers, topic_prefix, 3, count=200)
    producers[0].abort_transaction(30)
    ended = fetches(kafka.brokers, topic_prefix, 4)

    assert any(fetch.aborted for fetch in answers)
    everything, committed = answers[:2]
    assert (READ_UNCOMMITTED, READ_COMMITTED) == (everything.isolation, committed.isolation)
    assert len(parse(committed).records) < len(parse(everything).records)
    assert parse(committed).position < parse(everything).position
    dropped, kept = check(answers + ended)
    assert dropped
    assert kept


@pytest.fixture
def compactor() -> Iterator[Kafka]:
    """A Kafka of this test alone, whose log cleaner does not rest for fifteen seconds."""
    try:
        with Kafka({"log.cleaner.backoff.ms": "100"}) as ours:
            yield ours
    except NoJavaError as missing:
        pytest.skip(str(missing))


def test_a_compacted_log(compactor: Kafka, topic_prefix: str) -> None:
    """Batches with gaps, batches of which nothing is left, offsets that are in no batch; tombstones, transactions."""
    random = Random(5)
    config = {
        "cleanup.policy": "compact",
        "segment.ms": "1000",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "0",
    }
    create_topics(compactor.brokers, Topic(topic_prefix, config=config))
    producers = [writer(compactor.brokers, transactions=f"{topic_prefix}-{number}") for number in range(3)]
    # Later than the markers of transactions, and each step later than a segment may last: each begins the next one.
    now = int(time.time() * 1000) + 60_000
    answers: list[Fetch] = []
    for stretch in range(3):
        for step in range(8):
            now += 10_000
            producer = producers[min(stretch, step % 3)]
            producer.begin_transaction()
            contents: list[bytes | None] = [None] * 4 if step == 2 else []
            contents += values(random, 30, share=0.3 * (step % 2))
            keys = [b"key-%d" % random.randrange(40 + 4 * step) for _ in contents]
            write(producer, topic_prefix, contents, keys=keys, time=now)
            if step % 4 == 1:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
        # What is left: one record for each key, and those of the newest segment, which is not compacted.
        wait_until(
            lambda: len(read_topic(compactor.brokers, topic_prefix)) <= 40 + 4 * 7 + 30, 60, "compaction", pause=0.2
        )
        answers += fetches(compactor.brokers, topic_prefix, stretch)

    offsets = parse(answers[0]).offsets
    assert any(later - offset > 1 for offset, later in pairwise(offsets))
    dropped, kept = check(answers)
    assert dropped
    assert kept

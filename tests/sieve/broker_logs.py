"""Real logs: written by a real client, kept by a real Kafka, and fetched as raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from random import Random
from typing import Final

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition
from confluent_kafka import Producer

from tests.sieve.searches import NEEDLE
from tests.sieve.stock import READ_COMMITTED, READ_UNCOMMITTED, Fetch

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
DEADLINE_S: Final = 30.0
_WAIT_MS: Final = 50
_LARGE: Final = 50_000_000
_WORDS: Final = (b"process", b"start", b"/usr/bin/env", b"host", b"\\u003c", b'{"event":', b"exim", b"0123456789")


def values(random: Random, count: int, share: float = 0.1) -> list[bytes]:
    """Values of which a share holds the needle, half of them in escapes; a few are larger than a block of any codec."""
    found = []
    for _ in range(count):
        value = b" ".join(random.choices(_WORDS, k=random.choice((1, 10, 100))))
        if random.random() < 0.02:
            value *= 300
        if random.random() < share:
            value += random.choice((NEEDLE, b"\\u0065xim4"))
        found.append(value)
    return found


def writer(brokers: str, codec: str = "none", *, linger: int = 5, transactions: str = "") -> Producer:
    """A producer of small or large batches, for transactions if these have a name."""
    settings = {
        "bootstrap.servers": brokers,
        "compression.type": codec,
        "linger.ms": linger,
        "batch.size": 1_000_000 if linger else 1_000,
        "enable.idempotence": True,
    }
    if transactions:
        settings["transactional.id"] = transactions
    producer = Producer(settings)
    if transactions:
        producer.init_transactions(DEADLINE_S)
    return producer


def write(
    producer: Producer,
    topic: str,
    contents: Iterable[bytes | None],
    *,
    keys: Iterable[bytes] | None = None,
    time: int = 0,
) -> None:
    """Send records to partition 0, some with headers, and await their acknowledgements."""
    errors: list[object] = []
    named = iter(keys) if keys is not None else None
    for number, value in enumerate(contents):
        key = next(named) if named is not None else None
        producer.produce(
            topic,
            value=value,
            key=key,
            partition=0,
            timestamp=time,
            headers=[("number", b"%d" % number), ("empty", None)] if number % 5 == 0 else [],
            on_delivery=lambda error, _message: errors.append(error) if error is not None else None,
        )
        producer.poll(0)
    assert 0 == producer.flush(DEADLINE_S)
    assert [] == errors


def fetches(brokers: str, topic: str, seed: int, count: int = 80) -> list[Fetch]:
    """Answers to fetches at random offsets, of random sizes, at both isolation levels; the whole log first."""
    return asyncio.run(_fetches(brokers, topic, Random(seed), count))


async def _fetches(brokers: str, topic: str, random: Random, count: int) -> list[Fetch]:
    client = AIOKafkaClient(bootstrap_servers=brokers)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        first, end, stable = await _range(client, topic)
        wanted = [(first, _LARGE, READ_UNCOMMITTED), (first, _LARGE, READ_COMMITTED)]
        for _ in range(count):
            isolation = random.choice((READ_UNCOMMITTED, READ_COMMITTED))
            offset = random.randrange(first, end if isolation == READ_UNCOMMITTED else stable)
            wanted.append((offset, random.choice((1, 500, 5_000, 50_000, _LARGE)), isolation))
        return [(await _fetch(client, topic, *one))[0] for one in wanted]
    finally:
        await client.close()


async def _range(client: AIOKafkaClient, topic: str) -> tuple[int, int, int]:
    """The first offset, and those after the last and after the last stable record."""
    _fetched, start, end, stable = await _fetch(client, topic, 0, 1, READ_COMMITTED)
    return start, end, stable


async def _fetch(
    client: AIOKafkaClient, topic: str, offset: int, size: int, isolation: int
) -> tuple[Fetch, int, int, int]:
    node = client.cluster.leader_for_partition(TopicPartition(topic, 0))
    request = FetchRequest(_WAIT_MS, 1, _LARGE, isolation, [(topic, [(0, offset, size)])])
    response = await client.send(node, request)
    ((_topic, (partition,)),) = response.topics
    _number, error, end, stable, start, aborted, _replica, data = partition
    assert 0 == error
    return Fetch(bytes(data), offset, isolation, tuple(aborted or ())), start, end, stable

"""The embedded broker serves confluent-kafka and aiokafka; its known limits are pinned here as facts."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from app.errors import BrokerError
from app.tools import embedded_broker
from app.tools.embedded_broker import EmbeddedBroker
from tests.broker.records import Outgoing, produce, read_topic
from tests.broker.topics import committed_offsets


def test_created_topic_has_the_partitions_asked_for() -> None:
    """A topic exists at once, with its partition count and an id."""
    with EmbeddedBroker() as broker:
        broker.create_topic("events", 3)
        admin = _admin(broker)
        described = admin.describe_topics(TopicCollection(["events"]), request_timeout=5)["events"].result()

        assert 3 == len(described.partitions)
        assert isinstance(described.topic_id, Uuid)


def test_records_come_back_as_they_were_sent() -> None:
    """Keys, values, headers, partitions and timestamps survive; null and empty stay different."""
    sent = [
        Outgoing(b"host-1", b"{}", (("v", b"1"), ("none", None)), 0, 1_700_000_000_000),
        Outgoing(b"host-2", None, (), 1, 1_700_000_000_001),
        Outgoing(None, b"", (), 1, 1_700_000_000_002),
    ]
    with EmbeddedBroker() as broker:
        broker.create_topic("events", 2)

        assert [(0, 0), (1, 0), (1, 1)] == produce(broker.brokers, "events", sent)
        read = read_topic(broker.brokers, "events")

    assert sent == [Outgoing(r.key, r.value, r.headers, r.partition, r.timestamp) for r in read]


def test_second_topic_of_one_name_is_refused() -> None:
    """Creating what exists is an error that names the topic."""
    with EmbeddedBroker() as broker:
        broker.create_topic("events", 1)
        with pytest.raises(BrokerError, match=r"topic events: .*already exists"):
            broker.create_topic("events", 1)


def test_topic_without_partitions_is_refused() -> None:
    """A partition count below one is an error before the library sees it."""
    with EmbeddedBroker() as broker, pytest.raises(BrokerError, match="at least one partition, not 0"):
        broker.create_topic("events", 0)


def test_create_topics_request_is_refused_at_once() -> None:
    """An admin client is told that the broker lacks the request, rather than left to time out."""
    with EmbeddedBroker() as broker:
        admin = _admin(broker)
        refused = admin.create_topics([NewTopic("events", 1, 1)], request_timeout=5)["events"]
        with pytest.raises(KafkaException, match="not supported by broker"):
            refused.result()


def test_closed_broker_says_so() -> None:
    """Before start and after close there is no address; closing twice is harmless."""
    broker = EmbeddedBroker()
    with pytest.raises(BrokerError, match="not running"):
        _ = broker.brokers
    with broker:
        assert broker.brokers.startswith("127.0.0.1:")
        with pytest.raises(BrokerError, match="running already"):
            broker.start()
    broker.close()
    with pytest.raises(BrokerError, match="not running"):
        broker.create_topic("events", 1)


def test_library_without_mock_cluster_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where confluent-kafka came without a usable librdkafka, the error says what to install."""
    monkeypatch.setattr(embedded_broker, "_candidates", lambda: iter(()))
    with pytest.raises(BrokerError, match="install confluent-kafka from its wheel"):
        EmbeddedBroker().start()


def test_library_is_also_found_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the extension module does not give the symbols, the wheel's own copy of librdkafka does."""
    candidates = list(embedded_broker._candidates())[1:]
    if not candidates:
        pytest.skip("this confluent-kafka is not from a wheel with its own librdkafka")
    monkeypatch.setattr(embedded_broker, "_candidates", lambda: iter(candidates))
    with EmbeddedBroker() as broker:
        assert broker.brokers


def test_aiokafka_group_reads_and_commits() -> None:
    """The worker's client library subscribes in a group, reads what it sent, and its commits are kept."""
    with EmbeddedBroker() as broker:
        broker.create_topic("events", 4)
        seen = asyncio.run(_send_read_commit(broker.brokers, "events", "worker"))
        committed = committed_offsets(broker.brokers, "worker", [("events", n) for n in range(4)])

    assert [(b"%d" % n, (("position", b"%d" % n),)) for n in range(8)] == seen
    assert {("events", n): 2 for n in range(4)} == committed


def _admin(broker: EmbeddedBroker) -> AdminClient:
    # Quiet, as the client outlives the broker.
    return AdminClient({"bootstrap.servers": broker.brokers, "log_level": 0})


async def _send_read_commit(brokers: str, topic: str, group: str) -> list[tuple[bytes, tuple[tuple[str, bytes], ...]]]:
    """Send two records to each of four partitions, read them in a group, commit, return value and headers."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks=-1)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
    )
    await producer.start()
    await consumer.start()
    try:
        for n in range(8):
            headers = [("position", b"%d" % n)]
            await producer.send_and_wait(topic, b"%d" % n, partition=n % 4, headers=headers)
        async with asyncio.timeout(10):
            records = [await consumer.getone() for _ in range(8)]
        await consumer.commit()
        per_partition = Counter(TopicPartition(topic, record.partition) for record in records)
        assert dict.fromkeys(per_partition, 2) == {key: await consumer.committed(key) for key in per_partition}
    finally:
        await consumer.stop()
        await producer.stop()
    return sorted((record.value, tuple(record.headers)) for record in records)

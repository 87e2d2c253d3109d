"""Records sent to a broker and read back, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)

from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confluent_kafka import Message
    from confluent_kafka._types import HeadersType

Headers = tuple[tuple[str, bytes | None], ...]

_DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.1
_ANY_PARTITION: Final = -1
_NOW: Final = 0


class Outgoing(NamedTuple):
    """A record to send. Without a partition the key's hash decides; without a timestamp, the clock."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it stands in the log, bytes untouched; `log_append_time` tells whose clock stamped it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    log_append_time: bool
    key: bytes | None
    value: bytes | None
    headers: Headers


def produce(
    brokers: str, topic: str, records: Iterable[Outgoing], *, deadline: float = _DEADLINE_S
) -> list[tuple[int, int]]:
    """Send records in order, await every acknowledgement (acks=all), and return (partition, offset) of each.

    Raises:
        KafkaException: A record was refused.
        TimeoutError: Not all were acknowledged within the deadline.
    """
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "acks": "all",
            # Keeps the order without the idempotent producer, which may take half a second for its id.
            "max.in.flight.requests.per.connection": 1,
            "linger.ms": 5,
            "message.max.bytes": 100_000_000,
            "partitioner": "murmur2_random",
            "message.timeout.ms": int(deadline * 1000),
        }
    )
    positions: dict[int, tuple[int, int]] = {}
    errors: list[KafkaError] = []

    def send(number: int, record: Outgoing) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                errors.append(error)
            else:
                positions[number] = (message.partition() or 0, message.offset() or 0)

        producer.produce(
            topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=_ANY_PARTITION if record.partition is None else record.partition,
            on_delivery=delivered,
            timestamp=_NOW if record.timestamp is None else record.timestamp,
        )

    total = 0
    for number, record in enumerate(records):
        total += 1
        while True:
            try:
                send(number, record)
                break
            except BufferError:
                producer.poll(_POLL_S)
        producer.poll(0)
    missing = producer.flush(deadline)
    if errors:
        raise KafkaException(errors[0])
    if missing:
        raise TimeoutError(f"{missing} of {total} records to {topic} not acknowledged within {deadline:g} s")
    return [positions[number] for number in range(total)]


def read_topic(
    brokers: str, topic: str, *, deadline: float = _DEADLINE_S, committed_only: bool = False
) -> list[Record]:
    """Every record from the start up to the end offsets as they are now, by partition and offset.

    Raises:
        KafkaException: The topic does not exist or can't be read.
        TimeoutError: The end was not reached within the deadline.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "tests-read-topic",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10,
            "isolation.level": "read_committed" if committed_only else "read_uncommitted",
        }
    )
    try:
        return _read(consumer, topic, deadline)
    finally:
        consumer.close()


def _watermarks(consumer: Consumer, place: TopicPartition, deadline: float) -> tuple[int, int]:
    """First and end offset, waiting for the leader of a topic that is new or whose broker just came back."""

    def answer() -> tuple[int, int] | None:
        try:
            return consumer.get_watermark_offsets(place, timeout=deadline)
        except KafkaException as error:
            if error.args[0].code() in (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE):
                return None
            raise

    return wait_until(answer, deadline, f"a leader of {place.topic}:{place.partition}")


def _read(consumer: Consumer, topic: str, deadline: float) -> list[Record]:
    known = consumer.list_topics(topic, timeout=deadline).topics[topic]
    if known.error is not None:
        raise KafkaException(known.error)
    ends: dict[int, int] = {}
    starts: list[TopicPartition] = []
    for number in known.partitions:
        first, end = _watermarks(consumer, TopicPartition(topic, number), deadline)
        if end > first:
            ends[number] = end
            starts.append(TopicPartition(topic, number, first))
    records: list[Record] = []
    consumer.assign(starts)

    def at_end() -> bool:
        message = consumer.poll(_POLL_S) if ends else None
        if message is not None:
            _take(message, ends, records)
        return not ends

    wait_until(at_end, deadline, f"the end of {topic}", pause=0)
    return sorted(records, key=lambda record: (record.partition, record.offset))


def _take(message: Message, ends: dict[int, int], records: list[Record]) -> None:
    """Add a record that lies before its partition's end, and strike the partition off at its end."""
    number, offset, error = message.partition() or 0, message.offset() or 0, message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    end = ends.get(number, 0)
    if error is None and offset < end:
        kind, timestamp = message.timestamp()
        records.append(
            Record(
                topic=message.topic() or "",
                partition=number,
                offset=offset,
                timestamp=timestamp,
                log_append_time=kind == TIMESTAMP_LOG_APPEND_TIME,
                key=message.key(),
                value=message.value(),
                headers=_headers(message.headers()),
            )
        )
    # The last offsets may be missing (compacted, or a transaction's marker): then only the end-of-partition
    # event tells that the end was reached.
    if error is not None or offset >= end - 1:
        ends.pop(number, None)


def _headers(headers: HeadersType | None) -> Headers:
    """What the client's types allow, as the list of pairs that it really returns."""
    pairs = headers.items() if isinstance(headers, dict) else headers or ()
    return tuple((name, value.encode() if isinstance(value, str) else value) for name, value in pairs)

"""Records of a topic as they stand there: no group, no commits, and an end that is fixed at the beginning."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from app.errors import BrokerError, TopicsError
from app.runtime.contact import ADVICE, FORBIDDEN, RIGHTS_ADVICE, Failures, no_answer, reach
from app.runtime.records import ReadHeaders

_TIMEOUT: Final = 20.0
_POLL: Final = 0.2

_T = TypeVar("_T")


class NoRecordError(LookupError):
    """No record stands at a position; the message says what stands in its partition."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record in the log; its time in milliseconds since 1970 (None: it has none)."""

    topic: str
    partition: int
    offset: int
    time: int | None
    value: bytes | None
    headers: ReadHeaders
    key: bytes | None = None


class TopicReader:
    """Reads one topic; `with` ends its connections.

    Every method may raise BrokerError where Kafka can't be reached or refuses, and TopicsError where the topic does
    not exist.
    """

    def __init__(self, link: Mapping[str, str | int], topic: str) -> None:
        """Prepare; `link` says how to reach Kafka, for confluent-kafka."""
        self.topic = topic
        self._failures = Failures()
        # The library wants the name of a group, which is never joined and has no offsets.
        self._consumer = Consumer(
            {
                **link,
                "error_cb": self._failures,
                "group.id": f"{topic}-reader",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
            }
        )

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the connections."""
        self._consumer.close()

    def partitions(self) -> list[int]:
        """The topic's partitions."""
        metadata = reach(self._consumer, self._failures, self.topic).topics[self.topic]
        if metadata.error is not None and metadata.error.code() in FORBIDDEN:
            raise BrokerError(f"topic {self.topic} can't be read: {metadata.error.str()}; {RIGHTS_ADVICE}")
        if metadata.error is not None or not metadata.partitions:
            raise TopicsError(f"topic {self.topic} does not exist: check its name, or run `eximwatch topics create`")
        return sorted(metadata.partitions)

    def read(self, since: int | None = None) -> Iterator[StoredRecord]:
        """Every record up to the end as it is now, by partition and offset.

        Args:
            since: Begin with the first record of each partition that is no older; milliseconds since 1970.
        """
        spans = {partition: self._span(partition) for partition in self.partitions()}
        if since is not None:
            asked = [TopicPartition(self.topic, partition, since) for partition in spans]
            for place in _asked(lambda: self._consumer.offsets_for_times(asked, timeout=_TIMEOUT)):
                end = spans[place.partition][1]
                spans[place.partition] = place.offset if place.offset >= 0 else end, end
        for partition, (begin, end) in spans.items():
            yield from self._between(partition, begin, end)

    def read_partition(self, partition: int, since: int | None = None) -> Iterator[StoredRecord]:
        """Every record of a partition up to its end as it is now; `since` as in `read`."""
        begin, end = self._span(partition)
        if since is not None:
            asked = [TopicPartition(self.topic, partition, since)]
            (place,) = _asked(lambda: self._consumer.offsets_for_times(asked, timeout=_TIMEOUT))
            begin = place.offset if place.offset >= 0 else end
        yield from self._between(partition, begin, end)

    def at(self, partition: int, offset: int) -> StoredRecord:
        """The record at a position.

        Raises:
            NoRecordError: There is none.
        """
        partitions = self.partitions()
        if partition not in partitions:
            raise NoRecordError(f"topic {self.topic} has partitions 0 to {partitions[-1]} only")
        begin, end = self._span(partition)
        if not begin <= offset < end:
            held = f"holds offsets {begin} to {end - 1}" if begin < end else "is empty"
            raise NoRecordError(f"{self.topic}:{partition} {held}")
        for record in self._between(partition, offset, offset + 1):
            return record
        raise NoRecordError(f"{self.topic}:{partition} holds nothing at {offset}")

    def _span(self, partition: int) -> tuple[int, int]:
        """First offset and end."""
        place = TopicPartition(self.topic, partition)
        span: tuple[int, int] = _asked(lambda: self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT))
        return span

    def _between(self, partition: int, begin: int, end: int) -> Iterator[StoredRecord]:
        if begin >= end:
            return
        self._consumer.assign([TopicPartition(self.topic, partition, begin)])
        heard = time.monotonic()
        while True:
            message = self._consumer.poll(_POLL)
            if message is None:
                if time.monotonic() - heard > _TIMEOUT:
                    raise BrokerError(f"topic {self.topic} can't be read: no answer for {_TIMEOUT:g} s; {ADVICE}")
                continue
            heard = time.monotonic()
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # the library looks for the coordinator of a group that is never joined
            if error is not None:
                advice = RIGHTS_ADVICE if error.code() in FORBIDDEN else ADVICE
                raise BrokerError(f"topic {self.topic} can't be read: {error.str()}; {advice}")
            record = _stored(message)
            if record.offset < end:
                yield record
            if record.offset >= end - 1:
                return


def _stored(message: Message) -> StoredRecord:
    kind, milliseconds = message.timestamp()
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return StoredRecord(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds,
        message.value(),
        [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs],
        message.key(),
    )


def _asked(request: Callable[[], _T]) -> _T:
    try:
        return request()
    except KafkaException as error:
        raise no_answer(error) from None

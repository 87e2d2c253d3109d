"""A rebuild: databases of a table are brought up to the ends of their changelog partitions, in bulk.

Faust reads a changelog record by record through its stream machinery, 12,000 to 14,000 a second. Here a thread of its
own fetches with librdkafka and writes thousands of records at once; beside it the event loop answers the group. The
offset up to which a database holds its changelog is written with the records themselves, so that an end at any moment
leaves a database that goes on from there.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from rocksdict import Rdict, WriteBatch

from app.runtime.database import OFFSET_KEY, Databases
from app.runtime.ending import end_process
from app.runtime.log import logger

_BATCH: Final = 10_000
_CONSUME_S: Final = 0.1
_ASK_S: Final = 1.0
_PAUSE_S: Final = 0.3
_TELL_S: Final = 5.0
_SILENCE_S: Final = 10.0
_CLIENT: Final = {
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",  # what retention deleted meanwhile is not needed
    # The changelog's only producer is ours, which has no transactions; the end to reach is the log's, not the last
    # stable offset.
    "isolation.level": "read_uncommitted",
    "check.crcs": True,  # librdkafka's default is not to look
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 10,  # how long it idles once its queue is full; the default is a second
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 16 * 1024,  # bounds memory; the default is 64 MiB
}


@dataclass(slots=True)
class RecoveryProgress:
    """How rebuilds get on; written by the rebuilding thread, read by anyone. Numbers only grow.

    Attributes:
        done: Changelog records that were applied since the start of the worker.
        total: Changelog offsets that rebuilds had to go through since then; compaction makes them more than records.
        active: A rebuild is under way.
        opened: Databases that were opened.
    """

    done: int = 0
    total: int = 0
    active: bool = False
    opened: int = 0


class Span(NamedTuple):
    """What a database lacks of its changelog: the first offset, and the one after the last."""

    begin: int
    end: int


class AbandonedError(Exception):
    """The rebuild is not wanted any more: the assignment changed or the worker stops."""


class _EndMovedError(Exception):
    """The log ends before the end that was to be reached: offsets must be asked for again."""


def missing_span(persisted: int | None, low: int, high: int) -> Span | None:
    """What a database lacks, or None if it is ahead of its changelog and must be deleted.

    Args:
        persisted: The last offset that the database holds.
        low: The first offset that the changelog may still hold.
        high: The offset that the changelog's next record will have.
    """
    if persisted is not None and persisted >= high:
        return None
    return Span(max(low, 0 if persisted is None else persisted + 1), high)


class Rebuild:
    """One rebuild of some partitions; `run` once, in a thread of its own."""

    def __init__(
        self,
        link: Mapping[str, str | int],
        group: str,
        topic: str,
        databases: Databases,
        opened: Mapping[int, Rdict],
        partitions: Sequence[int],
        progress: RecoveryProgress,
    ) -> None:
        """Prepare only.

        Args:
            link: How to reach Kafka, for librdkafka.
            group: The worker's consumer group. librdkafka wants one; this client never joins it or commits, and has
                no need of rights that the worker has not.
            topic: The changelog.
            databases: Where the databases are, and whose.
            opened: Those that are open already; they belong to the rebuild until it ends.
            partitions: All partitions to be rebuilt.
            progress: Where progress is shown.
        """
        self._config = {**link, **_CLIENT, "group.id": group}
        self._topic = topic
        self._databases = databases
        self._table = databases.kind.name
        self._derived = databases.kind.derived
        self._opened = dict(opened)
        self._partitions = partitions
        self._progress = progress
        self._abandoned = threading.Event()
        self._begun = self._told = self._heard = time.monotonic()
        self._complained = -math.inf
        self._done = self._total = 0
        self._begins: dict[int, int] = {}

    @property
    def opened(self) -> Mapping[int, Rdict]:
        """The open databases by partition."""
        return self._opened

    @property
    def abandoned(self) -> bool:
        """Whether nobody wants its result."""
        return self._abandoned.is_set()

    def abandon(self) -> None:
        """End soon, and close the databases. From any thread."""
        self._abandoned.set()

    def close(self) -> None:
        """Close the databases; after the end of `run` only."""
        for database in self._opened.values():
            database.close()
        self._opened.clear()

    def run(self) -> None:
        """Rebuild all partitions, after which `opened` has their databases; none where the rebuild was abandoned.

        Goes on for as long as it takes where Kafka does not answer. A damaged database, or an error that nobody has
        thought of, ends the process.
        """
        self._progress.active = True
        try:
            consumer = Consumer(self._config)
            try:
                while not self._rebuilt(consumer):
                    pass
            finally:
                consumer.close()
        except AbandonedError:
            self.close()
        except Exception as error:  # noqa: BLE001 — without its state a worker must not go on
            end_process(error, f"the rebuild of {self._topic}")
        finally:
            self._progress.active = False

    def _rebuilt(self, consumer: Consumer) -> bool:
        """Whether all partitions have reached the end that they had when this was called."""
        spans = {partition: self._span(consumer, partition) for partition in self._partitions}
        left = {partition: span for partition, span in spans.items() if span.begin < span.end}
        self._count(spans)
        if left:
            offsets = sum(span.end - span.begin for span in left.values())
            logger.info(
                "rebuilding table {table}: {total} changelog offsets of partitions {partitions}",
                table=self._table,
                total=offsets,
                partitions=sorted(left),
                topic=self._topic,
            )
        consumer.assign([TopicPartition(self._topic, partition, span.begin) for partition, span in left.items()])
        self._heard = time.monotonic()
        try:
            while left:
                self._check()
                self._apply(consumer.consume(_BATCH, _CONSUME_S), left)
        except _EndMovedError as error:
            logger.warning("{reason}", reason=error, topic=self._topic, partitions=sorted(left))
            consumer.unassign()
            return False
        if not self._total:
            logger.info(
                "table {table} holds all of its changelog: nothing to rebuild in {partitions} partitions",
                table=self._table,
                partitions=len(self._partitions),
                topic=self._topic,
            )
            return True
        seconds = time.monotonic() - self._begun
        logger.info(
            "table {table} rebuilt: {done} changelog records of {total} offsets of {partitions} partitions in "
            "{seconds:.1f} s, {rate} records/s",
            table=self._table,
            done=self._done,
            total=self._total,
            partitions=len(self._partitions),
            seconds=round(seconds, 3),
            rate=int(self._done / max(seconds, 0.001)),
            topic=self._topic,
        )
        return True

    def _count(self, spans: Mapping[int, Span]) -> None:
        """Note how much there is to do in all; where offsets are asked for again, what is done stays in it."""
        for partition, span in spans.items():
            self._begins[partition] = min(span.begin, self._begins.get(partition, span.begin))
        total = sum(span.end - self._begins[partition] for partition, span in spans.items())
        self._progress.total += max(0, total - self._total)
        self._total = total

    def _span(self, consumer: Consumer, partition: int) -> Span:
        """What a partition's database lacks; it is opened, and begun anew if it is ahead."""
        low, high = self._watermarks(consumer, partition)
        persisted = self._persisted(partition)
        span = missing_span(persisted, low, high)
        if span is not None:
            return span
        self._opened.pop(partition).close()
        reason = f"it is ahead of {self._topic}:{partition}, which ends before offset {high}, and holds {persisted}"
        self._databases.delete(partition, reason)
        self._opened[partition] = self._databases.open(partition)
        return Span(low, high)

    def _persisted(self, partition: int) -> int | None:
        if partition not in self._opened:
            self._opened[partition] = self._databases.open(partition)
            self._progress.opened += 1
        with self._databases.guarded(partition):
            offset = self._opened[partition].get(OFFSET_KEY)
        return None if offset is None else int(offset)

    def _watermarks(self, consumer: Consumer, partition: int) -> tuple[int, int]:
        place = TopicPartition(self._topic, partition)
        while True:
            self._check()
            trouble = "no answer"
            try:
                marks = consumer.get_watermark_offsets(place, timeout=_ASK_S)
                if marks is not None:
                    return marks
            except KafkaException as error:
                trouble = error.args[0].str()
            self._complain(partition, trouble)
            self._abandoned.wait(_PAUSE_S)

    def _apply(self, messages: Sequence[Message], left: dict[int, Span]) -> None:
        """Write what was fetched, and strike off partitions that have reached their end."""
        batches: dict[int, WriteBatch] = {}
        offsets: dict[int, int] = {}
        ends: dict[int, int] = {}
        for message in messages:
            error = message.error()
            partition = message.partition() or 0
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    ends[partition] = message.offset() or 0
                else:
                    self._complain(partition, error.str())
                continue
            key, value = message.key(), message.value()
            batch = batches.get(partition)
            if batch is None:
                batch = batches[partition] = WriteBatch(raw_mode=True)
            offsets[partition] = message.offset() or 0
            if key is None:
                continue  # nothing of ours; a compacted topic takes none
            for name, content in self._derived(key, value):
                if content is None:
                    batch.delete(name)
                else:
                    batch.put(name, content)
            self._done += 1
            self._progress.done += 1
        for partition, offset in offsets.items():
            self._write(partition, batches[partition], offset)
        self._strike_off(left, offsets, ends)

    def _write(self, partition: int, batch: WriteBatch, offset: int) -> None:
        """Write with the records how far they reach, so that an end of the process in between leaves no doubt."""
        batch.put(OFFSET_KEY, str(offset).encode())
        with self._databases.guarded(partition):
            self._opened[partition].write(batch)

    def _strike_off(self, left: dict[int, Span], offsets: Mapping[int, int], ends: Mapping[int, int]) -> None:
        now = time.monotonic()
        if offsets:
            self._heard = now
        for partition, span in list(left.items()):
            last = span.end - 1
            if offsets.get(partition, -1) >= last:
                del left[partition]
            elif ends.get(partition, -1) >= span.end:  # the last offsets hold nothing any more
                self._write(partition, WriteBatch(raw_mode=True), last)
                del left[partition]
        if left and now - self._heard > _SILENCE_S:
            self._heard = now
            raise _EndMovedError(f"nothing more comes from {self._topic} for partitions {sorted(left)}: asking again")
        if now - self._told > _TELL_S:
            self._told = now
            logger.info(
                "rebuilding table {table}: {done} changelog records of {total} offsets so far, {rate} records/s",
                table=self._table,
                done=self._done,
                total=self._total,
                rate=int(self._done / (now - self._begun)),
                topic=self._topic,
            )

    def _check(self) -> None:
        if self.abandoned:
            raise AbandonedError

    def _complain(self, partition: int, trouble: str) -> None:
        """Log now and then what keeps the rebuild from going on."""
        now = time.monotonic()
        if now - self._complained > _SILENCE_S:
            self._complained = now
            logger.warning(
                "the rebuild of table {table} waits for Kafka: {topic}:{partition}: {reason}",
                table=self._table,
                topic=self._topic,
                partition=partition,
                reason=trouble,
            )

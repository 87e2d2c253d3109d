"""The sieve at its place: between the broker's fetch responses and the stock client that parses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest

from app.errors import CorruptTopicError
from app.runtime.log import logger
from app.sieve import CorruptBatchError, Inflater, Sieve
from app.sieve.sift import Search

MAX_INFLATED: Final = 64 * 1024 * 1024
"""Bytes that a batch may inflate to. Brokers refuse batches over `max.message.bytes` as they are sent, 1 MiB by
default; what inflates to more than this was made to."""

_Place = tuple[str, int]


@dataclass(slots=True)
class FetchCounts:
    """What came of one partition's fetches. A set that was fetched before is not counted again.

    Attributes:
        received_bytes: Record sets as they came.
        batches: Batches in them.
        dropped: Batches of which nothing was kept.
        kept: Records that were kept.
        counted_to: The offset up to which sets are counted.
    """

    received_bytes: int = 0
    batches: int = 0
    dropped: int = 0
    kept: int = 0
    counted_to: int = -1


class FetchSift:
    """Stands in for a client's `send`: sifts the record sets of fetch responses, passes on all else as it is.

    Runs on the consumer's thread, as `send` does.

    Attributes:
        counts: What came, by topic and partition.
        started: The offset of each partition's first fetch.
        lost: Offsets by topic that retention deleted before they were read.
    """

    def __init__(
        self,
        send: Callable[..., Awaitable[Any]],
        topics: Iterable[str],
        search: Search | None,
        skip: Iterable[tuple[str, int, int]],
        fail: Callable[[CorruptTopicError], None],
    ) -> None:
        """Bind to a client.

        Args:
            send: The client's own `send`.
            topics: Topics to sift; others are passed on untouched.
            search: Finds what matters; None keeps every record, and everything else stays the same.
            skip: Batches (topic, partition, base offset) that are corrupt and may be passed over.
            fail: Called with a batch that is corrupt and may not; does not return.
        """
        self._send = send
        self._topics = frozenset(topics)
        self._skip = frozenset(skip)
        self._fail = fail
        self._sieve = Sieve(search or (lambda _, start, end: start if start < end else -1), Inflater(MAX_INFLATED))
        self._overtaken: dict[_Place, int] = {}
        self.counts: dict[_Place, FetchCounts] = {}
        self.started: dict[_Place, int] = {}
        self.lost: Counter[str] = Counter()

    async def __call__(self, node_id: int, request: Any, **options: Any) -> Any:
        """Send a request and give its response, sifted if it is a fetch."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, **options)
        offsets = {
            (topic, partition): offset for topic, partitions in request.topics for partition, offset, _ in partitions
        }
        for place, offset in offsets.items():
            self.started.setdefault(place, offset)
        self._tell_gaps(offsets)
        response = await self._send(node_id, request, **options)
        response.topics = [
            (topic, [self._partition(topic, fields, offsets) for fields in partitions])
            for topic, partitions in response.topics
        ]
        return response

    def _partition(self, topic: str, fields: Sequence[Any], offsets: dict[_Place, int]) -> Sequence[Any]:
        """A partition's part of a response: number, error code, …, record set."""
        place = (topic, fields[0])
        if fields[1] == OffsetOutOfRangeError.errno:
            self._overtaken[place] = offsets[place]
        data = fields[-1]
        if topic not in self._topics or not data:
            # The parser keeps what it is given, and a view would keep the whole response.
            return fields if isinstance(data, bytes) else (*fields[:-1], bytes(data or b""))
        skip = {offset for name, number, offset in self._skip if (name, number) == place}
        try:
            sifted = self._sieve.sift(data, skip)
        except CorruptBatchError as error:
            self._fail(CorruptTopicError(topic, fields[0], error.base_offset, error.reason))
            raise
        for batch in sifted.dead:
            # No critical line: whoever may write to the topic can have one a batch.
            logger.error(
                "dead batch: {topic}:{partition} offsets {offset} to {last_offset} are passed over: {reason}",
                topic=topic,
                partition=fields[0],
                offset=batch.first_offset,
                last_offset=batch.last_offset,
                reason=batch.reason,
                each=("topic", "partition"),
            )
        counts = self.counts.setdefault(place, FetchCounts())
        if offsets[place] >= counts.counted_to:
            counts.counted_to = sifted.next_offset
            counts.received_bytes += len(data)
            counts.batches += sifted.batches
            counts.dropped += sifted.dropped
            counts.kept += sifted.kept
        return (*fields[:-1], bytes(sifted.data))

    def _tell_gaps(self, offsets: dict[_Place, int]) -> None:
        """Say which offsets retention took before they were read: the client begins again at what is left."""
        for place in self._overtaken.keys() & offsets.keys():
            lost_from = self._overtaken.pop(place)
            if offsets[place] > lost_from:
                self.lost[place[0]] += offsets[place] - lost_from
                logger.critical(
                    "gap: {topic}:{partition} offsets {offset} to {last_offset} were deleted by retention before they "
                    "were read",
                    topic=place[0],
                    partition=place[1],
                    offset=lost_from,
                    last_offset=offsets[place] - 1,
                )

"""The stock parser: what aiokafka makes of a record set, as its fetcher does it."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from aiokafka.structs import TopicPartition

__all__ = ["READ_COMMITTED", "READ_UNCOMMITTED", "Fetch", "Parsed", "parse"]

PARTITION = TopicPartition("events", 0)


class Fetch(NamedTuple):
    """What a broker answers for one partition, and what was asked.

    Attributes:
        data: The record set.
        offset: The fetch offset.
        isolation: The isolation level.
        aborted: Producer and first offset of each aborted transaction in reach, in any order.
    """

    data: bytes
    offset: int = 0
    isolation: int = READ_COMMITTED
    aborted: tuple[tuple[int, int], ...] = ()


class Parsed(NamedTuple):
    """The records handed out, the position afterwards, and whether there was a whole batch at all."""

    records: list[Any]
    position: int
    readable: bool

    @property
    def offsets(self) -> list[int]:
        """The records' offsets."""
        return [record.offset for record in self.records]


def parse(fetch: Fetch, data: bytes | memoryview | None = None) -> Parsed:
    """Parse the fetched record set, or what was made of it."""
    data = bytes(fetch.data if data is None else data)
    # The compiled class takes the first batch's format for that of all; the one in Python looks at each.
    memory = _MemoryRecordsPy(data) if len(_legacy(data)) > 1 else MemoryRecords(data)
    readable = bool(memory.has_next())
    records = PartitionRecords(PARTITION, memory, list(fetch.aborted), fetch.offset, None, None, True, fetch.isolation)
    return Parsed(list(records), records.next_fetch_offset, readable)


def _legacy(data: bytes) -> set[bool]:
    """Whether batches are of a format before record batches: both answers, if the set is mixed."""
    found, at = set(), 0
    while at + 17 <= len(data):
        found.add(data[at + 16] < 2)
        at += max(12 + struct.unpack_from(">i", data, at + 8)[0], 1)
    return found

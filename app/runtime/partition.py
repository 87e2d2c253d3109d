"""The partition of a key, as Kafka's own clients choose it."""

from __future__ import annotations

from typing import Final

from aiokafka.partitioner import murmur2

_POSITIVE: Final = 0x7FFFFFFF
"""What Kafka's partitioner leaves of a hash."""


def partition_of(key: bytes, partitions: int) -> int:
    """Where a record of a topic with so many partitions stands, by its key."""
    return int(murmur2(key) & _POSITIVE) % partitions

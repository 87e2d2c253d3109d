"""Kafka's record batch, magic 2: its header, its records' boundaries, and how to write one again.

Source: the message format in Apache Kafka's protocol documentation (section "Record Batch").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from fastcrc.crc32 import iscsi as crc32c

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_AFTER_CRC: Final = struct.Struct(">hiqqqhii")
_CRC: Final = struct.Struct(">I")

HEADER_SIZE: Final = _HEADER.size
LOG_OVERHEAD: Final = 12
"""Bytes before what `length` counts: base offset and length."""

CRC_START: Final = 21
"""Where the bytes begin that the CRC is made of."""

MAGIC_AT: Final = 16
MAGIC: Final = 2

CODEC_MASK: Final = 0x07
TIMESTAMP_TYPE: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20

_MAX_OFFSET: Final = (1 << 63) - 1
_MAX_VARINT: Final = 5  # a record's length is a signed 32-bit varint


class CorruptBatchError(ValueError):
    """A batch can't be what a producer wrote.

    Attributes:
        base_offset: Its base offset as it stands there.
        reason: What is wrong with it.
    """

    def __init__(self, base_offset: int, reason: str) -> None:
        """Keep where and why."""
        super().__init__(f"batch at offset {base_offset}: {reason}")
        self.base_offset = base_offset
        self.reason = reason


class Header(NamedTuple):
    """A batch's header, field by field."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def last_offset(self) -> int:
        """The offset of its last record, which it keeps even when compaction removed that record."""
        return self.base_offset + self.last_offset_delta

    @property
    def has_valid_offsets(self) -> bool:
        """Whether it begins at an offset, ends at it or later, and there can be a next one."""
        return 0 <= self.base_offset <= self.last_offset < _MAX_OFFSET


def read_header(data: memoryview, at: int) -> Header:
    """The header at a position; the bytes must be there."""
    return Header._make(_HEADER.unpack_from(data, at))


def record_bounds(records: memoryview, base_offset: int, count: int) -> Iterator[tuple[int, int]]:
    """Start and end of each record, its length included.

    Raises:
        CorruptBatchError: A length leads outside, or there are not `count` records.
    """
    at, size = 0, len(records)
    for _ in range(count):
        start = at
        value = shift = 0
        while True:
            if at >= size or at - start >= _MAX_VARINT:
                raise CorruptBatchError(base_offset, "a record's length is no number inside the batch")
            byte = records[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        length = (value >> 1) ^ -(value & 1)
        at += length
        if length <= 0 or at > size:
            raise CorruptBatchError(base_offset, f"a record claims {length} bytes")
        yield start, at
    if at != size:
        raise CorruptBatchError(base_offset, f"{size - at} bytes after its {count} records")


def write_batch(header: Header, records: bytes | bytearray, count: int) -> bytes:
    """The batch with so many of its records, uncompressed; its offsets and times stay as they are."""
    return _written(header, header.attributes & ~CODEC_MASK, records, count)


def write_marker(header: Header) -> bytes:
    """An empty batch that stands for the last offset of a batch, as compaction leaves them."""
    marker = header._replace(
        base_offset=header.last_offset, last_offset_delta=0, producer_id=-1, producer_epoch=-1, base_sequence=-1
    )
    return _written(marker, header.attributes & TIMESTAMP_TYPE, b"", 0)


def _written(header: Header, attributes: int, records: bytes | bytearray, count: int) -> bytes:
    length = HEADER_SIZE - LOG_OVERHEAD + len(records)
    body = b"".join(
        (
            _AFTER_CRC.pack(
                attributes,
                header.last_offset_delta,
                header.base_timestamp,
                header.max_timestamp,
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
                count,
            ),
            records,
        )
    )
    head = struct.pack(">qiib", header.base_offset, length, header.leader_epoch, MAGIC)
    return head + _CRC.pack(crc32c(body)) + body

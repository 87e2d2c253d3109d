"""The sieve itself: from the record set of a fetch response to the part of it that matters."""

from __future__ import annotations

import struct
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Final

from fastcrc.crc32 import iscsi as crc32c

from app.sieve.batch import (
    CODEC_MASK,
    CONTROL,
    CRC_START,
    HEADER_SIZE,
    LOG_OVERHEAD,
    MAGIC,
    MAGIC_AT,
    CorruptBatchError,
    Header,
    read_header,
    record_bounds,
    write_batch,
    write_marker,
)
from app.sieve.inflate import InflatedTooLargeError, InflateError, Inflater

Search = Callable[[memoryview, int, int], int]
"""Where something that matters begins in `buffer[start:end]`, wholly inside it; -1 if nowhere."""

_BASE_OFFSET: Final = struct.Struct(">q")


@dataclass(frozen=True, slots=True)
class DeadBatch:
    """A batch whose records can't be had; its offsets are passed over. Whoever sifts must say so, loudly."""

    first_offset: int
    last_offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of a record set, and what was in it.

    Attributes:
        data: Record batches, to be parsed by a stock parser. From any position it hands out the same records as the
            whole set would, less those that don't matter, and ends at the same position.
        batches: Whole batches in the set.
        dropped: Batches of which no record is left.
        kept: Records left, control batches and other formats not counted.
        next_offset: The offset after the last whole batch; -1 where there is none of a known format.
        dead: Batches that were passed over: too large to be looked into, or corrupt and to be skipped.
    """

    data: bytes | memoryview
    batches: int = 0
    dropped: int = 0
    kept: int = 0
    next_offset: int = -1
    dead: tuple[DeadBatch, ...] = ()


class Sieve:
    """A search and the buffer it needs. Not for use by several threads at once."""

    def __init__(self, search: Search, inflater: Inflater) -> None:
        """Take what finds records that matter, and what decompresses."""
        self._search = search
        self._inflater = inflater

    def sift(self, data: bytes | memoryview, skip: Container[int] = ()) -> Sifted:
        """Drop from a record set what does not matter.

        Control batches stay as they are; so does everything from a batch of another format on. A batch that was
        cut off at the end is left out, as a stock parser does, unless it is all there is.

        Args:
            data: Record batches as a broker sends them.
            skip: Base offsets of batches that are passed over if they are corrupt.

        Raises:
            CorruptBatchError: A CRC does not hold, or a batch can't be what a producer wrote.
        """
        view = memoryview(data)
        size = len(view)
        pieces: list[bytes | memoryview] = []
        dead: list[DeadBatch] = []
        batches = dropped = kept = grown = at = 0
        next_offset = -1
        last: Header | None = None  # the last batch, if nothing is left that carries its offset
        changed = False
        while at + MAGIC_AT < size:
            if view[at + MAGIC_AT] != MAGIC:
                if last is not None:
                    pieces.append(write_marker(last))  # what follows may be cut off
                pieces.append(view[at:])
                last = None
                break
            if at + HEADER_SIZE > size:
                break
            header = read_header(view, at)
            end = at + LOG_OVERHEAD + header.length
            if header.length < HEADER_SIZE - LOG_OVERHEAD:
                raise CorruptBatchError(header.base_offset, f"it claims {header.length} bytes")
            if end > size:
                break
            batch = view[at:end]
            at = end
            batches += 1
            try:
                left = self._left(header, batch)
            except InflatedTooLargeError as error:
                dead.append(DeadBatch(header.base_offset, header.last_offset, str(error)))
                left = None
            except CorruptBatchError as error:
                if header.base_offset not in skip or not header.has_valid_offsets:
                    raise
                header = _ended_by(header, view[at:])
                dead.append(DeadBatch(header.base_offset, header.last_offset, error.reason))
                left = None
            next_offset = header.last_offset + 1
            if left is None:
                dropped += 1
                changed, last = True, header
                continue
            piece, records = left
            if grown + len(piece) - len(batch) > self._inflater.limit:
                # Many batches, each of few bytes that inflate to the limit: a stock parser takes one at a time.
                piece, records = batch, header.record_count
            grown += len(piece) - len(batch)
            kept += records
            changed = changed or piece is not batch
            last = None
            pieces.append(piece)
        if last is not None:
            pieces.append(write_marker(last))
        if not changed:
            return Sifted(data, batches, dropped, kept, next_offset, tuple(dead))
        return Sifted(b"".join(pieces), batches, dropped, kept, next_offset, tuple(dead))

    def _left(self, header: Header, batch: memoryview) -> tuple[bytes | memoryview, int] | None:
        """What is left of a batch, itself where that is all of it, and how many records; None if nothing is."""
        if crc32c(batch[CRC_START:]) != header.crc:
            raise CorruptBatchError(header.base_offset, "its CRC does not hold")
        if not header.has_valid_offsets:
            raise CorruptBatchError(header.base_offset, f"it ends {header.last_offset_delta} after its beginning")
        if header.attributes & CONTROL:
            return batch, 0
        try:
            records = self._inflater.inflate(header.attributes & CODEC_MASK, batch[HEADER_SIZE:])
        except InflateError as error:
            raise CorruptBatchError(header.base_offset, str(error)) from None
        if not len(records) and header.record_count > 0:
            raise CorruptBatchError(header.base_offset, f"it is empty and claims {header.record_count} records")
        hits, count = self._hits(records, header)
        if not count:
            return None
        if count == header.record_count:
            return batch, count
        return write_batch(header, hits, count), count

    def _hits(self, records: memoryview, header: Header) -> tuple[bytearray, int]:
        """The records that matter, whole and one after the other, and how many they are."""
        search = self._search
        size = len(records)
        hits, count = bytearray(), 0
        hit = search(records, 0, size)
        if hit < 0:
            return hits, count
        if header.record_count < 0:
            raise CorruptBatchError(header.base_offset, f"it claims {header.record_count} records")
        for start, end in record_bounds(records, header.base_offset, header.record_count):
            if hit >= end:
                continue
            # The hit may begin in the record before and reach into this one: look again, within the record.
            if search(records, start, end) >= 0:
                hits += records[start:end]
                count += 1
            hit = search(records, end, size)
            if hit < 0:
                break
        return hits, count


def _ended_by(header: Header, following: memoryview) -> Header:
    """A corrupt batch's header, its own word on its end checked by where the next batch begins."""
    if len(following) >= _BASE_OFFSET.size:
        (begins,) = _BASE_OFFSET.unpack_from(following)
        if header.base_offset < begins <= header.last_offset:
            return header._replace(last_offset_delta=begins - 1 - header.base_offset)
    return header

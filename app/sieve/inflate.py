"""Decompression into one buffer that is used again and again, bounded in size.

A fresh buffer for every batch would cost several times the decompression itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import cramjam

NONE: Final = 0
GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4

START_SIZE: Final = 1 << 20
"""Bytes of the buffer at first; it doubles when a batch needs more, up to the limit."""

_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = 16
_LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"
_LZ4_PLAIN: Final = 0x60  # version 1, independent blocks, no checksums, no sizes: what Java and librdkafka write
_LZ4_BLOCK_SIZES: Final = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
_LZ4_RAW: Final = 0x80000000
_NO_ROOM: Final = ("failed to write whole buffer", "is smaller than required")


class InflateError(ValueError):
    """The bytes are not what their codec writes."""


class InflatedTooLargeError(ValueError):
    """They become larger than the limit."""


class Inflater:
    """One buffer and what fills it. Not for use by several threads at once."""

    def __init__(self, limit: int) -> None:
        """Take the greatest size in bytes that anything may inflate to."""
        self.limit = limit
        self._buffer = bytearray(min(START_SIZE, limit))
        self._fill: dict[int, Callable[[memoryview], int]] = {
            GZIP: lambda payload: cramjam.gzip.decompress_into(payload, self._buffer),
            SNAPPY: self._snappy,
            LZ4: self._lz4,
            ZSTD: lambda payload: cramjam.zstd.decompress_into(payload, self._buffer),
        }

    def inflate(self, codec: int, payload: memoryview) -> memoryview:
        """The payload decompressed; the view is good until the next call.

        Raises:
            InflateError: It can't be decompressed, or its codec is unknown.
            InflatedTooLargeError: It would be larger than the limit.
        """
        if codec == NONE:
            return payload
        fill = self._fill.get(codec)
        if fill is None:
            raise InflateError(f"codec {codec} is unknown")
        while True:
            try:
                size = fill(payload)
            except cramjam.DecompressionError as error:
                if not any(text in str(error) for text in _NO_ROOM):
                    raise InflateError(str(error)) from None
                self._grow()
            else:
                return memoryview(self._buffer)[:size]

    def _grow(self) -> None:
        if len(self._buffer) >= self.limit:
            raise InflatedTooLargeError(f"it inflates to more than {self.limit} bytes")
        self._buffer = bytearray(min(2 * len(self._buffer), self.limit))

    def _lz4(self, payload: memoryview) -> int:
        """Block by block straight into the buffer where that can be done: some four times as fast as the frame."""
        size = self._lz4_blocks(payload)
        return cramjam.lz4.decompress_into(payload, self._buffer) if size is None else size

    def _lz4_blocks(self, payload: memoryview) -> int | None:
        """The size of one plain frame's content; None where the frame is not plain or is not alone."""
        if len(payload) < 7 or bytes(payload[:4]) != _LZ4_MAGIC or payload[4] != _LZ4_PLAIN:
            return None
        block_size = _LZ4_BLOCK_SIZES.get(payload[5] >> 4)
        if block_size is None:
            return None
        at, filled, end = 7, 0, len(payload)
        while at + 4 <= end:
            (length,) = struct.unpack_from("<I", payload, at)
            at += 4
            if length == 0:
                return filled if at == end else None
            raw = length & _LZ4_RAW
            length &= ~_LZ4_RAW
            block = payload[at : at + length]
            at += length
            if at > end or length > block_size:
                return None
            while filled + block_size > len(self._buffer):
                if len(self._buffer) >= self.limit:
                    return None  # near the limit the frame decoder tells what fits
                self._extend()
            room = memoryview(self._buffer)[filled : filled + block_size]
            if raw:
                room[:length] = block
                filled += length
            else:
                # Told no length, it takes a block that begins like a length prefix for one that has it.
                filled += cramjam.lz4.decompress_block_into(block, room, output_len=block_size)
        return None

    def _extend(self) -> None:
        larger = bytearray(min(2 * len(self._buffer), self.limit))
        larger[: len(self._buffer)] = self._buffer
        self._buffer = larger

    def _snappy(self, payload: memoryview) -> int:
        """Raw, or in the framing of the Java library: a header, then blocks with their lengths."""
        if bytes(payload[: len(_XERIAL)]) != _XERIAL:
            return cramjam.snappy.decompress_raw_into(payload, self._buffer)
        at, filled, end = _XERIAL_HEADER, 0, len(payload)
        while at < end:
            if at + 4 > end:
                raise InflateError("a snappy block has no length")
            (length,) = struct.unpack_from(">i", payload, at)
            at += 4
            if length <= 0 or at + length > end:
                raise InflateError(f"a snappy block claims {length} bytes")
            room = memoryview(self._buffer)[filled:]
            filled += cramjam.snappy.decompress_raw_into(payload[at : at + length], room)
            at += length
        return filled

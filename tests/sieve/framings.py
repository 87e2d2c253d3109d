"""Compression as the various producers write it: each codec in every framing that is met on a topic."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

import cramjam
from aiokafka.codec import snappy_encode

_MASK: Final = 0xFFFFFFFF
_PRIMES: Final = (2654435761, 2246822519, 3266489917, 668265263, 374761393)
_LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"
_LZ4_RAW: Final = 0x80000000
_LZ4_SIZES: Final = {1 << 16: 4, 1 << 18: 5, 1 << 20: 6, 1 << 22: 7}


class Framing(NamedTuple):
    """A name, the codec's number in a batch's attributes, and what compresses."""

    name: str
    codec: int
    compress: Callable[[bytes], bytes]


def xxh32(data: bytes) -> int:
    """The checksum of lz4 frames, with seed 0."""
    one, two, three, four, five = _PRIMES
    lanes = [(one + two) & _MASK, two, 0, -one & _MASK]
    at = 0
    while at + 16 <= len(data):
        for lane, word in enumerate(struct.unpack_from("<4I", data, at)):
            lanes[lane] = _rotated(lanes[lane] + word * two, 13) * one & _MASK
        at += 16
    total = sum(_rotated(lane, turn) for lane, turn in zip(lanes, (1, 7, 12, 18), strict=True)) if at else five
    total += len(data)
    while at + 4 <= len(data):
        total = _rotated(total + struct.unpack_from("<I", data, at)[0] * three, 17) * four
        at += 4
    for byte in data[at:]:
        total = _rotated(total + byte * five, 11) * one
    total &= _MASK
    for prime, shift in ((two, 15), (three, 13)):
        total = (total ^ total >> shift) * prime & _MASK
    return total ^ total >> 16


def _rotated(value: int, by: int) -> int:
    value &= _MASK
    return (value << by | value >> 32 - by) & _MASK


def lz4_block(data: bytes) -> bytes:
    """One block with its length, uncompressed where compression gains nothing."""
    block = bytes(cramjam.lz4.compress_block(data, store_size=False))
    raw = len(block) >= len(data)
    return struct.pack("<I", len(data) | _LZ4_RAW if raw else len(block)) + (data if raw else block)


def lz4_frame(
    payload: bytes,
    *,
    block_size: int = 1 << 16,
    block_checksum: bool = False,
    content_size: bool = False,
    content_checksum: bool = False,
) -> bytes:
    """A frame of independent blocks; with nothing else asked for, just as Kafka's Java client writes it."""
    flags = 0x60 | block_checksum << 4 | content_size << 3 | content_checksum << 2
    descriptor = bytes((flags, _LZ4_SIZES[block_size] << 4))
    if content_size:
        descriptor += struct.pack("<Q", len(payload))
    frame = [_LZ4_MAGIC, descriptor, bytes((xxh32(descriptor) >> 8 & 0xFF,))]
    for start in range(0, len(payload), block_size):
        block = lz4_block(payload[start : start + block_size])
        frame.append(block)
        if block_checksum:
            frame.append(struct.pack("<I", xxh32(block[4:])))
    frame.append(bytes(4))
    if content_checksum:
        frame.append(struct.pack("<I", xxh32(payload)))
    return b"".join(frame)


def _lz4_linked(payload: bytes) -> bytes:
    compressor = cramjam.lz4.Compressor(block_linked=True)
    compressor.compress(payload)
    return bytes(compressor.finish())


NONE: Final = Framing("none", 0, bytes)
GZIP: Final = Framing("gzip", 1, lambda payload: bytes(cramjam.gzip.compress(payload)))
SNAPPY: Final = Framing("snappy", 2, lambda payload: bytes(cramjam.snappy.compress_raw(payload)))
XERIAL: Final = Framing("xerial", 2, lambda payload: snappy_encode(payload, xerial_blocksize=4096))
LZ4: Final = Framing("lz4", 3, lz4_frame)
LZ4_LARGE: Final = Framing("lz4-large-blocks", 3, lambda payload: lz4_frame(payload, block_size=1 << 20))
LZ4_LINKED: Final = Framing("lz4-linked", 3, _lz4_linked)
LZ4_CHECKSUM: Final = Framing("lz4-checksum", 3, lambda payload: lz4_frame(payload, content_checksum=True))
LZ4_SIZE: Final = Framing("lz4-size", 3, lambda payload: lz4_frame(payload, content_size=True))
LZ4_BLOCK_CHECKSUM: Final = Framing("lz4-block-checksum", 3, lambda payload: lz4_frame(payload, block_checksum=True))
ZSTD: Final = Framing("zstd", 4, lambda payload: bytes(cramjam.zstd.compress(payload, level=3)))

COMPRESSED: Final = (
    *(GZIP, SNAPPY, XERIAL, LZ4, LZ4_LARGE, LZ4_LINKED, LZ4_CHECKSUM, LZ4_SIZE, LZ4_BLOCK_CHECKSUM, ZSTD),
)
FRAMINGS: Final = (NONE, *COMPRESSED)

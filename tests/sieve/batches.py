"""Record sets, byte for byte: batches as producers, brokers and log compaction write them, and broken ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from tests.sieve.framings import NONE, Framing

HEADER_SIZE: Final = 61
MARKER_SIZE: Final = HEADER_SIZE
LENGTH_AT: Final = 8
MAGIC_AT: Final = 16
CRC_AT: Final = 17
ATTRIBUTES_AT: Final = 21
LAST_DELTA_AT: Final = 23
COUNT_AT: Final = 57

LOG_APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20
NO_PRODUCER: Final = -1
TIME: Final = 1_760_000_000_000
_LARGE: Final = 1 << 30

Headers = tuple[tuple[str, bytes | None], ...]


class Entry(NamedTuple):
    """A record's content; its times are milliseconds after the batch's first."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    after: int = 0


def varint(value: int) -> bytes:
    """A number in the zigzag encoding of records, of 32 or 64 bits."""
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    encoded = bytearray()
    while rest >= 0x80:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*encoded, rest))


def record(entry: Entry, delta: int) -> bytes:
    """A record with its length; `delta` is its place after the batch's base offset."""
    parts = [b"\0", varint(entry.after), varint(delta), _sized(entry.key), _sized(entry.value)]
    parts.append(varint(len(entry.headers)))
    for name, value in entry.headers:
        parts += (_sized(name.encode()), _sized(value))
    body = b"".join(parts)
    return varint(len(body)) + body


def _sized(value: bytes | None) -> bytes:
    return varint(-1) if value is None else varint(len(value)) + value


def batch(
    base: int,
    records: Sequence[bytes],
    *,
    last_delta: int | None = None,
    framing: Framing = NONE,
    flags: int = 0,
    producer: int = NO_PRODUCER,
    time: int = TIME,
    max_time: int = TIME,
    count: int | None = None,
) -> bytes:
    """A batch of encoded records; those that compaction took away are just not among them."""
    return sealed(
        base,
        framing.compress(b"".join(records)),
        attributes=framing.codec | flags,
        last_delta=max(len(records) - 1, 0) if last_delta is None else last_delta,
        producer=producer,
        time=time,
        max_time=max_time,
        count=len(records) if count is None else count,
    )


def sealed(
    base: int,
    payload: bytes,
    *,
    attributes: int = 0,
    last_delta: int = 0,
    producer: int = NO_PRODUCER,
    time: int = TIME,
    max_time: int = TIME,
    count: int = 1,
) -> bytes:
    """A batch around any payload, with a CRC that holds."""
    transactional = producer != NO_PRODUCER
    fields = (attributes, last_delta, time, max_time, producer, 0 if transactional else -1, -1, count)
    body = struct.pack(">hiqqqhii", *fields) + payload
    return struct.pack(">qiibI", base, len(body) + 9, 0, 2, calc_crc32c(body)) + body


def simple(base: int, *values: bytes, framing: Framing = NONE) -> bytes:
    """A batch of records that are a value each."""
    return batch(base, [record(Entry(value), delta) for delta, value in enumerate(values)], framing=framing)


def control(base: int, producer: int, *, commit: bool) -> bytes:
    """The marker with which a broker ends a transaction."""
    marker = record(Entry(struct.pack(">hi", 0, 0), struct.pack(">hh", 0, commit)), 0)
    return batch(base, [marker], flags=TRANSACTIONAL | CONTROL, producer=producer)


def legacy(magic: int, base: int, entries: Sequence[Entry], codec: int = 0) -> bytes:
    """A message set of the formats before record batches, in one compressed wrapper if there is a codec."""
    builder = LegacyRecordBatchBuilder(magic, codec, _LARGE)
    relative = magic == 1 and codec != 0
    for number, entry in enumerate(entries):
        builder.append(number if relative else base + number, TIME + entry.after, entry.key, entry.value)
    data = bytearray(builder.build())
    if codec and entries and data[MAGIC_AT + 1] & 7:  # a wrapper has the offset of its last message
        struct.pack_into(">q", data, 0, base + len(entries) - 1)
    return bytes(data)


def patched(data: bytes, at: int, layout: str, value: int) -> bytes:
    """The batch with one field changed and its CRC repaired."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, at, value)
    return resealed(bytes(changed))


def resealed(data: bytes) -> bytes:
    """The batch with a CRC that holds."""
    return data[:CRC_AT] + struct.pack(">I", calc_crc32c(data[ATTRIBUTES_AT:])) + data[ATTRIBUTES_AT:]

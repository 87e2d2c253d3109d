"""Record batches: where records begin and end, and batches that a stock parser takes for a broker's."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any, Final

import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from app.sieve.batch import (
    CODEC_MASK,
    CONTROL,
    HEADER_SIZE,
    CorruptBatchError,
    Header,
    read_header,
    record_bounds,
    write_batch,
    write_marker,
)
from tests.sieve.batches import LOG_APPEND_TIME, TRANSACTIONAL, Entry, batch, record, varint
from tests.sieve.framings import FRAMINGS, ZSTD, Framing
from tests.sieve.stock import Fetch, parse

ENTRIES: Final = st.builds(
    Entry,
    value=st.none() | st.binary(max_size=200),
    key=st.none() | st.binary(max_size=20),
    headers=st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=2).map(tuple),
    after=st.integers(-(1 << 40), 1 << 40),
)
OFFSETS: Final = st.integers(0, (1 << 63) - 1000)


def stock_batch(data: bytes) -> Any:
    """The only batch of a set, its CRC proven by the stock parser."""
    memory = MemoryRecords(data)
    found = memory.next_batch()
    assert found is not None
    assert found.validate_crc()
    assert not memory.has_next()
    return found


def bounds(payload: bytes, count: int) -> list[tuple[int, int]]:
    """Where records begin and end, for a batch at offset 9."""
    return list(record_bounds(memoryview(payload), 9, count))


@settings(deadline=None)
@given(base=OFFSETS, flags=st.sampled_from([0, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL]), delta=st.integers(0, 500))
def test_a_header_is_read_as_the_stock_parser_reads_it(base: int, flags: int, delta: int) -> None:
    """Field by field, at any position."""
    data = batch(base, [record(Entry(b"x"), 0)], flags=flags, last_delta=delta, producer=5, time=123, max_time=456)
    header, stock = read_header(memoryview(b"before" + data), 6), stock_batch(data)

    assert len(data) == header.length + 12
    assert base + delta == header.last_offset == stock.next_offset - 1
    assert (stock.base_offset, stock.magic, stock.crc) == (header.base_offset, header.magic, header.crc)
    assert (stock.attributes, stock.last_offset_delta) == (header.attributes, header.last_offset_delta)
    assert (stock.first_timestamp, stock.max_timestamp) == (header.base_timestamp, header.max_timestamp)
    assert (stock.producer_id, stock.producer_epoch) == (header.producer_id, header.producer_epoch)
    assert (stock.base_sequence, 1) == (header.base_sequence, header.record_count)
    assert header.has_valid_offsets


@pytest.mark.parametrize(
    ("base", "delta", "expected"),
    [
        (0, 0, True),
        (-1, 0, False),
        (-1, 5, False),
        (5, -1, False),
        ((1 << 63) - 2, 0, True),
        ((1 << 63) - 1, 0, False),
        ((1 << 63) - 10, 20, False),
    ],
)
def test_offsets_must_be_numbers_that_an_offset_can_be(base: int, delta: int, expected: bool) -> None:
    """The first, the last, and the one after it."""
    header = Header(base, 49, 0, 2, 0, 0, delta, 0, 0, -1, -1, -1, 1)

    assert expected == header.has_valid_offsets


@settings(deadline=None)
@given(st.lists(ENTRIES, max_size=8))
def test_records_lie_side_by_side(entries: list[Entry]) -> None:
    """Each begins where the one before ends, its length included."""
    records = [record(entry, delta) for delta, entry in enumerate(entries)]
    payload = b"".join(records)

    assert records == [payload[start:end] for start, end in bounds(payload, len(records))]


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(-5, 20))
def test_bounds_never_leave_the_batch(payload: bytes, count: int) -> None:
    """Whatever the bytes are: ascending, without gaps, inside, as many as were claimed; or the batch is corrupt."""
    seen: list[tuple[int, int]] = [(0, 0)]
    reason = None
    try:
        seen.extend(record_bounds(memoryview(payload), 9, count))
    except CorruptBatchError as error:
        reason = error.reason

    for (_, before), (start, end) in pairwise(seen):
        assert before == start < end <= len(payload)
    if reason is None:
        assert (len(payload), max(count, 0)) == (seen[-1][1], len(seen) - 1)


@pytest.mark.parametrize("length", [0, -1, 3, 1 << 20, (1 << 31) - 1, -(1 << 31), (1 << 34) - 1])
def test_a_length_that_leads_nowhere(length: int) -> None:
    """Nothing, back, or beyond the end."""
    with pytest.raises(CorruptBatchError, match="a record claims") as caught:
        bounds(varint(length) + b"ab", 1)
    assert f"a record claims {length} bytes" == caught.value.reason


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\x84\x80\x80\x80\x80\x00ab", b"\xff" * 12])
def test_a_length_that_is_no_number(payload: bytes) -> None:
    """It ends with the batch, or has more than five bytes."""
    with pytest.raises(CorruptBatchError, match="no number inside the batch"):
        bounds(payload, 1)


@pytest.mark.parametrize(("count", "left"), [(0, 3), (-1, 3)])
def test_bytes_behind_the_records(count: int, left: int) -> None:
    """Bytes that belong to no record are told of."""
    with pytest.raises(CorruptBatchError, match=f"{left} bytes after its {count} records"):
        bounds(varint(2) + b"ab", count)


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
@settings(deadline=None)
@given(entries=st.lists(ENTRIES, min_size=1, max_size=6), base=OFFSETS, flags=st.sampled_from([0, 8, 16, 24]))
def test_a_written_batch_is_what_it_was_made_of(framing: Framing, entries: list[Entry], base: int, flags: int) -> None:
    """With all its records it parses to the same, uncompressed; with some of them, to those."""
    records = [record(entry, delta) for delta, entry in enumerate(entries)]
    data = batch(base, records, framing=framing, flags=flags, producer=3, last_delta=20)
    header = read_header(memoryview(data), 0)
    written = write_batch(header, b"".join(records), len(records))
    part = write_batch(header, b"".join(records[1::2]), len(records[1::2]))

    assert parse(Fetch(data, base)) == parse(Fetch(written, base))
    assert parse(Fetch(data, base)).records[1::2] == parse(Fetch(part, base)).records
    assert base + 21 == parse(Fetch(part, base)).position
    assert flags == stock_batch(written).attributes
    assert 0 == stock_batch(written).attributes & CODEC_MASK
    assert (3, 0) == (stock_batch(written).producer_id, stock_batch(written).producer_epoch)


@settings(deadline=None)
@given(base=OFFSETS, delta=st.integers(0, 100), flags=st.sampled_from([0, 8, 16, 24]))
def test_a_marker_stands_for_the_last_offset(base: int, delta: int, flags: int) -> None:
    """An empty batch of no producer and no transaction, which moves the position behind what it stands for."""
    data = batch(base, [record(Entry(b"x"), 0)], framing=ZSTD, flags=flags, producer=3, last_delta=delta)
    marker = write_marker(read_header(memoryview(data), 0))
    stock = stock_batch(marker)

    assert HEADER_SIZE == len(marker)
    assert parse(Fetch(data, base)).position == parse(Fetch(marker, base)).position
    assert [] == parse(Fetch(marker, base)).records
    assert base + delta == stock.base_offset == stock.next_offset - 1
    assert (flags & LOG_APPEND_TIME, -1, -1) == (stock.attributes, stock.producer_id, stock.producer_epoch)
    assert 0 == struct.unpack_from(">i", marker, HEADER_SIZE - 4)[0]

"""The sieve, case by case: markers, control batches, shrunk batches, what is passed over and what is passed through."""

from __future__ import annotations

import struct
from typing import Final

import pytest

from app.sieve import CorruptBatchError, DeadBatch, Inflater, Sieve, Sifted
from app.sieve.sift import Search
from tests.sieve.batches import (
    ATTRIBUTES_AT,
    CRC_AT,
    HEADER_SIZE,
    LAST_DELTA_AT,
    LOG_APPEND_TIME,
    MARKER_SIZE,
    TRANSACTIONAL,
    Entry,
    batch,
    control,
    legacy,
    patched,
    record,
    sealed,
    simple,
)
from tests.sieve.framings import COMPRESSED, FRAMINGS, LZ4, ZSTD, Framing
from tests.sieve.searches import NEEDLE, everything, nothing, plain
from tests.sieve.stock import READ_UNCOMMITTED, Fetch, parse

LIMIT: Final = 1 << 16
NOISE: Final = b"of no interest " * 20
HIT: Final = b"/usr/sbin/exim4 -bd"


def sift(data: bytes, search: Search | None = None, limit: int = LIMIT) -> Sifted:
    """Sift for the needle."""
    return Sieve(search or plain(), Inflater(limit)).sift(data)


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
def test_of_a_batch_only_its_hits_are_left(framing: Framing) -> None:
    """They keep their offsets; the batch is uncompressed then, and keeps its last offset."""
    sifted = sift(simple(100, NOISE, HIT, NOISE, HIT, NOISE, framing=framing))

    parsed = parse(Fetch(bytes(sifted.data), 100))
    assert [(101, HIT), (103, HIT)] == [(one.offset, one.value) for one in parsed.records]
    assert 105 == parsed.position == sifted.next_offset
    assert (1, 0, 2) == (sifted.batches, sifted.dropped, sifted.kept)
    assert HIT in bytes(sifted.data)


def test_a_batch_of_nothing_but_hits_is_left_as_it_is() -> None:
    """It is not even written anew: the same bytes, compressed as they were."""
    data = simple(0, HIT, HIT, framing=ZSTD) + simple(2, HIT, framing=LZ4)

    assert data is sift(data).data
    assert Sifted(data, 2, 0, 3, 3) == sift(data)


def test_dropped_batches_at_the_end_leave_one_marker() -> None:
    """A marker carries the last offset of the last one, so that the position gets past them all."""
    data = simple(0, HIT) + simple(1, NOISE) + simple(2, NOISE, NOISE, framing=ZSTD)
    sifted = sift(data)

    assert data[: len(simple(0, HIT))] == sifted.data[:-MARKER_SIZE]
    assert 4 == parse(Fetch(bytes(sifted.data))).position == sifted.next_offset
    assert (3, 2, 1) == (sifted.batches, sifted.dropped, sifted.kept)
    assert MARKER_SIZE == len(sift(data, nothing).data)


def test_dropped_batches_before_a_hit_leave_nothing() -> None:
    """What comes behind them carries the position on."""
    last = simple(3, HIT)

    assert last == sift(simple(0, NOISE) + simple(1, NOISE, NOISE) + last).data


def test_control_batches_always_stay() -> None:
    """Without its abort marker, a producer's next transaction would be taken for aborted too."""
    abort = control(1, 7, commit=False)
    aborted = batch(0, [record(Entry(HIT), 0)], producer=7, flags=TRANSACTIONAL)
    again = batch(2, [record(Entry(HIT), 0)], producer=7, flags=TRANSACTIONAL)
    noise = batch(0, [record(Entry(NOISE), 0)], producer=7, flags=TRANSACTIONAL)

    for first in (aborted, noise):
        fetch = Fetch(first + abort + again + control(3, 7, commit=True), aborted=((7, 0),))
        parsed = parse(fetch, sift(fetch.data).data)
        assert [2] == parsed.offsets
        assert 4 == parsed.position
    assert abort == sift(abort, nothing).data


def test_a_shrunk_batch_keeps_its_attributes() -> None:
    """All of them but the codec: its transaction, its producer, and whose clock its time is."""
    records = [record(Entry(NOISE, after=5), 0), record(Entry(HIT, after=6), 1)]
    flags = TRANSACTIONAL | LOG_APPEND_TIME
    data = batch(0, records, flags=flags, producer=7, time=1000, max_time=1234, framing=ZSTD)
    shrunk = bytes(sift(data).data)

    assert flags == struct.unpack_from(">h", shrunk, ATTRIBUTES_AT)[0]
    (kept,) = parse(Fetch(shrunk)).records
    assert (1234, 1) == (kept.timestamp, kept.timestamp_type)
    assert not parse(Fetch(shrunk, aborted=((7, 0),))).records
    assert [1] == parse(Fetch(shrunk, 0, READ_UNCOMMITTED, ((7, 0),))).offsets


def test_a_hit_across_the_border_of_two_records_is_none() -> None:
    """A needle must lie in one record, but the record behind such a border is still looked at."""
    first, second, third = (record(Entry(value), delta) for delta, value in enumerate((b"ab", HIT, b"cd")))
    border = first[-2:] + second[:2]

    assert MARKER_SIZE == len(sift(batch(0, [first, second, third]), plain(border)).data)
    data = batch(0, [first, second, record(Entry(border), 2)])
    assert [2] == parse(Fetch(bytes(sift(data, plain(border)).data))).offsets


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
def test_a_needle_in_the_last_bytes_is_found(framing: Framing) -> None:
    """A record ends with its headers, so a needle in the last of them is the batch's last bytes."""
    records = [record(Entry(NOISE), 0), record(Entry(b"", headers=(("name", NEEDLE),)), 1)]

    assert [1] == parse(Fetch(bytes(sift(batch(0, records, framing=framing)).data))).offsets


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("size", [0, 300])
@pytest.mark.parametrize("first", [HIT, NOISE])
def test_older_formats_are_passed_through(magic: int, size: int, first: bytes) -> None:
    """From the first message of an older format on, however short; batches before it are sifted."""
    old = legacy(magic, 2, [Entry(b"x" * size)]) + legacy(magic, 3, [Entry(None)])
    parsed = parse(Fetch(bytes(sift(simple(0, first, NOISE) + old).data)))

    assert [*([0] if first is HIT else []), 2, 3] == parsed.offsets
    assert 4 == parsed.position
    assert old == sift(old).data


def test_the_position_passes_dropped_batches_before_a_cut_message() -> None:
    """A message of an older format that is cut off can't carry the position, so a marker does."""
    old = legacy(1, 1, [Entry(b"x" * 300)])

    assert 1 == parse(Fetch(bytes(sift(simple(0, NOISE) + old[:-1]).data))).position


@pytest.mark.parametrize("cut", [0, 1, 16, 17, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + 1])
def test_a_batch_that_is_cut_off_is_left_out(cut: int) -> None:
    """Unless it is all there is: then a stock parser must see it, to tell that it can never be fetched."""
    part = simple(1, HIT)[:cut]

    assert part == sift(part).data
    assert Sifted(part) == sift(part)
    assert sift(simple(0, NOISE)).data == sift(simple(0, NOISE) + part).data
    assert simple(0, HIT) + part == sift(simple(0, HIT) + part).data


@pytest.mark.parametrize("framing", COMPRESSED, ids=lambda framing: framing.name)
def test_a_batch_beyond_the_limit_is_dead(framing: Framing) -> None:
    """It is passed over and named; its neighbours are sifted as ever."""
    data = simple(0, HIT) + simple(1, bytes(LIMIT), HIT, framing=framing) + simple(3, HIT)
    sifted = sift(data)

    assert [0, 3] == parse(Fetch(bytes(sifted.data))).offsets
    assert (DeadBatch(1, 2, f"it inflates to more than {LIMIT} bytes"),) == sifted.dead
    assert 3 == parse(Fetch(bytes(sift(data[: -len(simple(3, HIT))]).data))).position


def test_a_corrupt_batch_ends_the_sifting() -> None:
    """The error names the batch's base offset; it is passed over only if its base offset is among those to skip."""
    bad = bytearray(simple(1, HIT, HIT))
    bad[CRC_AT] ^= 1
    data = simple(0, HIT) + bytes(bad) + simple(3, HIT)
    with pytest.raises(CorruptBatchError, match="batch at offset 1: its CRC does not hold") as caught:
        Sieve(plain(), Inflater(LIMIT)).sift(data, skip={0, 2, 3})
    sifted = Sieve(plain(), Inflater(LIMIT)).sift(data, skip={1})

    assert (1, "its CRC does not hold") == (caught.value.base_offset, caught.value.reason)
    assert (DeadBatch(1, 2, "its CRC does not hold"),) == sifted.dead
    assert [0, 3] == parse(Fetch(bytes(sifted.data))).offsets


def test_a_corrupt_batch_that_is_passed_over_can_take_none_of_its_neighbours_along() -> None:
    """Its header is not to be believed either: it ends where the next batch begins, however far it says it goes."""
    bad = patched(simple(1, HIT, HIT), LAST_DELTA_AT, ">i", 1_000_000)
    bad = bad[:CRC_AT] + bytes(4) + bad[CRC_AT + 4 :]
    sifted = Sieve(plain(), Inflater(LIMIT)).sift(bad + simple(3, NOISE) + simple(4, HIT), skip={1})

    assert (DeadBatch(1, 2, "its CRC does not hold"),) == sifted.dead
    assert [4] == parse(Fetch(bytes(sifted.data), 1)).offsets


@pytest.mark.parametrize("payload", [b"", b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)], ids=["none", "xerial"])
def test_an_empty_batch_that_claims_records_is_corrupt(payload: bytes) -> None:
    """What a stock parser would stop at is not dropped as if it were noise."""
    data = sealed(7, payload, attributes=2 if payload else 0, last_delta=2, count=3)

    with pytest.raises(CorruptBatchError, match="it is empty and claims 3 records"):
        sift(data)


def test_a_set_grows_by_no_more_than_the_limit() -> None:
    """Hits are written uncompressed, so many small batches could become any number of bytes: some stay as they are."""
    size = LIMIT // 2
    data = b"".join(simple(2 * at, HIT + bytes(size), NOISE, framing=ZSTD) for at in range(20))
    sifted = sift(data)

    assert len(sifted.data) <= len(data) + LIMIT
    assert len(sifted.data) > len(data) + size
    parsed = parse(Fetch(bytes(sifted.data)))
    assert [2 * at for at in range(20)] == [one.offset for one in parsed.records if HIT in one.value]
    assert len(parsed.records) == sifted.kept


@pytest.mark.parametrize("search", [plain(), nothing, everything], ids=["needle", "nothing", "everything"])
def test_the_greatest_offset(search: Search) -> None:
    """The last offset that has a next one is fine; with one more, the batch is corrupt."""
    greatest = (1 << 63) - 2
    data = batch(greatest - 1, [record(Entry(HIT), 0), record(Entry(NOISE), 1)])

    assert greatest + 1 == parse(Fetch(bytes(sift(data, search).data), greatest - 1)).position
    with pytest.raises(CorruptBatchError):
        sift(patched(data, LAST_DELTA_AT, ">i", 2), search)


def test_an_empty_set_is_left_as_it_is() -> None:
    """There is nothing to sift, and nothing to carry an offset."""
    assert Sifted(b"") == sift(b"")

"""Bytes that no producer writes: the sieve names a corrupt or dead batch, and never does anything worse."""

from __future__ import annotations

import struct
import time
from random import Random
from typing import Final

import pytest

from app.sieve import CorruptBatchError, Inflater, Sieve, Sifted
from app.sieve.sift import Search
from tests.sieve.batches import (
    ATTRIBUTES_AT,
    COUNT_AT,
    CRC_AT,
    HEADER_SIZE,
    LAST_DELTA_AT,
    LENGTH_AT,
    MAGIC_AT,
    Entry,
    batch,
    patched,
    record,
    resealed,
    sealed,
    simple,
    varint,
)
from tests.sieve.framings import COMPRESSED, FRAMINGS, ZSTD, Framing
from tests.sieve.logs import random_log
from tests.sieve.searches import ESCAPES, NEEDLE, everything, nothing, plain
from tests.sieve.stock import Fetch, parse

LIMIT: Final = 1 << 18
SEARCHES: Final[tuple[Search, ...]] = (plain(), ESCAPES.first_hit, everything, nothing)
HIT: Final = record(Entry(NEEDLE), 0)
OTHER: Final = record(Entry(b"other"), 1)
SECONDS: Final = 5.0


class Every:
    """A container that has all there is: every corrupt batch is skipped."""

    def __contains__(self, _offset: object) -> bool:
        """Say yes."""
        return True


def survives(data: bytes) -> list[Sifted | CorruptBatchError]:
    """What each search makes of it; anything but a result or this one error ends the test."""
    results: list[Sifted | CorruptBatchError] = []
    started = time.process_time()
    for search in SEARCHES:
        inflater = Inflater(LIMIT)
        sieve = Sieve(search, inflater)
        for skip in ((), Every()):
            try:
                sifted = sieve.sift(data, skip)
            except CorruptBatchError as error:
                results.append(error)
            else:
                results.append(sifted)
                assert len(sifted.data) <= len(data) + LIMIT
            assert len(inflater._buffer) <= LIMIT
    assert time.process_time() - started < SECONDS
    return results


def corrupt(data: bytes) -> str:
    """The reason why a batch that holds a needle is corrupt, by an ordinary search."""
    survives(data)
    with pytest.raises(CorruptBatchError) as caught:
        Sieve(plain(), Inflater(LIMIT)).sift(data)
    return caught.value.reason


@pytest.mark.parametrize("length", [-(1 << 31), -50, -12, -1, 0, 1, HEADER_SIZE - 13])
def test_a_batch_shorter_than_its_header_is_corrupt(length: int) -> None:
    """A length that is negative or too small would send the walk back or on the spot."""
    data = bytearray(simple(5, NEEDLE))
    struct.pack_into(">i", data, LENGTH_AT, length)

    assert f"it claims {length} bytes" == corrupt(bytes(data))
    survives(bytes(data) * 3)


@pytest.mark.parametrize("length", [HEADER_SIZE + 50, 1 << 20, (1 << 31) - 1])
def test_a_batch_longer_than_the_set_is_cut_off(length: int) -> None:
    """It looks like one that the broker cut off, and is left for the stock parser to judge."""
    data = bytearray(simple(5, NEEDLE))
    struct.pack_into(">i", data, LENGTH_AT, length)

    assert Sifted(bytes(data)) == Sieve(plain(), Inflater(LIMIT)).sift(bytes(data))
    survives(bytes(data))


def test_a_batch_with_another_crc_is_corrupt() -> None:
    """Whatever bit was flipped behind the CRC, or in it."""
    data = simple(5, NEEDLE, b"x" * 30)
    for at in range(CRC_AT, len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 0x10
        assert "its CRC does not hold" == corrupt(bytes(flipped))


@pytest.mark.parametrize("magic", [*range(2), *range(3, 256, 23), 255])
def test_another_magic_is_passed_through(magic: int) -> None:
    """What is not known is not touched."""
    data = bytearray(simple(5, NEEDLE, b"other"))
    data[MAGIC_AT] = magic

    for result in survives(bytes(data)):
        assert isinstance(result, Sifted)
        assert bytes(data) == bytes(result.data)


@pytest.mark.parametrize("count", [-(1 << 31), -1, 0, 1, 3])
@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
def test_a_count_below_that_of_the_records_is_corrupt(count: int, framing: Framing) -> None:
    """Fewer than there are up to the last hit, none, a negative number."""
    records = [HIT, OTHER * 3 + record(Entry(NEEDLE), 2)]

    corrupt(batch(0, records, framing=framing, count=count))


@pytest.mark.parametrize("count", [3, 1 << 20, (1 << 31) - 1])
@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
def test_a_count_beyond_that_of_the_records(count: int, framing: Framing) -> None:
    """No loop over two thousand millions; what is behind the last hit is not looked at, and all hits are kept."""
    data = batch(0, [HIT, record(Entry(NEEDLE), 1)], framing=framing, count=count)

    survives(data)
    assert [0, 1] == parse(Fetch(bytes(Sieve(plain(), Inflater(LIMIT)).sift(data).data))).offsets
    with pytest.raises(CorruptBatchError):
        Sieve(everything, Inflater(LIMIT)).sift(batch(0, [HIT, OTHER + b"\0"], framing=framing, count=count))


@pytest.mark.parametrize(
    "payload",
    [
        b"\x80" + HIT,
        varint(-1) + HIT,
        varint(-len(HIT)) + HIT,
        varint(0) + HIT,
        varint(len(HIT) + 1) + HIT,
        varint((1 << 31) - 1) + HIT,
        varint(-(1 << 31)) + HIT,
        varint((1 << 34) - 1) + HIT,
        varint((1 << 62) - 1) + HIT,
        varint(-(1 << 62)) + HIT,
        bytes((HIT[0] | 0x80, 0x80, 0x80, 0x80, 0x80, 0)) + HIT[1:],
        HIT[:-1],
        HIT + b"\0",
        HIT + b"\x80",
        HIT + HIT,
        HIT + b"exim4",
        b"exim4",
        b"\xff" * 20 + NEEDLE,
    ],
    ids=range(18),
)
@pytest.mark.parametrize("framing", [FRAMINGS[0], ZSTD], ids=["none", "zstd"])
def test_broken_records_are_corrupt(payload: bytes, framing: Framing) -> None:
    """Lengths that are negative, nothing, too long, no number or an over-long one; bytes behind the records."""
    survives(sealed(0, framing.compress(payload), attributes=framing.codec))
    follow = payload + HIT * 2
    corrupt(sealed(0, framing.compress(follow), attributes=framing.codec, count=2))


def test_an_over_long_length_of_five_bytes_is_still_one() -> None:
    """As in the Java client: a length is up to five bytes, needed or not."""
    padded = bytes((HIT[0] | 0x80, 0x80, 0x80, 0x80, 0)) + HIT[1:]

    assert padded + HIT in bytes(Sieve(plain(), Inflater(LIMIT)).sift(batch(0, [padded, HIT, OTHER])).data)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_codec_is_corrupt(codec: int) -> None:
    """The three numbers that no codec has."""
    assert f"codec {codec} is unknown" == corrupt(sealed(0, HIT, attributes=codec))


@pytest.mark.parametrize("delta", [-(1 << 31), -1])
@pytest.mark.parametrize("base", [0, 5, (1 << 63) - 1])
def test_a_batch_that_ends_before_it_begins_is_corrupt(base: int, delta: int) -> None:
    """A negative last offset delta would turn the position back."""
    corrupt(patched(simple(base, NEEDLE), LAST_DELTA_AT, ">i", delta))


@pytest.mark.parametrize("base", [-(1 << 63), -1, (1 << 63) - 1, (1 << 63) - 5])
@pytest.mark.parametrize("value", [NEEDLE, b"other"])
def test_a_batch_outside_of_all_offsets_is_corrupt(base: int, value: bytes) -> None:
    """Its last offset, and the one behind it, must be numbers that an offset can be."""
    corrupt(patched(simple(base, value), LAST_DELTA_AT, ">i", 5))


@pytest.mark.parametrize("framing", COMPRESSED, ids=lambda framing: framing.name)
def test_cut_compressed_bytes_are_corrupt_or_dead(framing: Framing) -> None:
    """Wherever they end, and with anything behind them."""
    payload = framing.compress((HIT + OTHER) * 40)
    for cut in range(0, len(payload), max(len(payload) // 60, 1)):
        survives(sealed(0, payload[:cut], attributes=framing.codec, count=80))
    for tail in (b"\0", b"\xff" * 9, payload, payload[:9]):
        survives(sealed(0, payload + tail, attributes=framing.codec, count=80))


def test_flipped_bits_with_a_crc_that_holds() -> None:
    """Any few bits of any batch, in its header, its records or its compressed bytes."""
    for seed in range(400):
        random = Random(seed)
        for piece in random_log(random).pieces:
            if piece.data[MAGIC_AT] != 2 or len(piece.data) > 5_000:
                continue
            data = bytearray(piece.data)
            for _ in range(random.choice((1, 1, 2, 8))):
                data[random.randrange(ATTRIBUTES_AT, len(data))] ^= 1 << random.randrange(8)
            survives(resealed(bytes(data)) + simple(piece.last + 1, NEEDLE))


def test_random_bytes() -> None:
    """Noise as a record set, as a batch's records, and as compressed bytes of each codec."""
    random = Random(4)
    for _ in range(300):
        noise = random.randbytes(random.randrange(200)) + NEEDLE
        survives(noise)
        survives(sealed(0, noise, attributes=random.randrange(8), count=random.randrange(-3, 30)))


def test_a_batch_in_pieces() -> None:
    """Any number of bytes of a set, from its first on, and any from a place within."""
    data = simple(0, NEEDLE, b"other") + simple(2, b"other", framing=ZSTD)
    for at in range(len(data)):
        survives(data[:at])
        survives(data[at:])


def test_fields_of_all_ones_and_zeros() -> None:
    """Each field of the header at its limits, the CRC repaired."""
    data = simple(0, NEEDLE, b"other")
    for at, layout in ((0, ">q"), (ATTRIBUTES_AT, ">h"), (LAST_DELTA_AT, ">i"), (COUNT_AT, ">i")):
        for value in (0, 1, -1, *((1 << 8 * struct.calcsize(layout) - 1) - one for one in (1, 2))):
            survives(patched(data, at, layout, value) + data)

"""The inflater: every codec in every framing, one buffer, its limit."""

from __future__ import annotations

import struct
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.sieve.inflate import START_SIZE, InflatedTooLargeError, InflateError, Inflater
from tests.sieve.framings import (
    COMPRESSED,
    FRAMINGS,
    GZIP,
    LZ4,
    LZ4_LARGE,
    LZ4_LINKED,
    SNAPPY,
    XERIAL,
    ZSTD,
    Framing,
    lz4_block,
    lz4_frame,
    xxh32,
)

LIMIT: Final = 1 << 16
EACH: Final = pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
EACH_COMPRESSED: Final = pytest.mark.parametrize("framing", COMPRESSED, ids=lambda framing: framing.name)
SHARED: Final = Inflater(1 << 20)


def noise(size: int) -> bytes:
    """Bytes of which some compress and some don't."""
    return bytes(at * at % 251 ^ at >> 9 & 0xFF for at in range(size))


def lz4_of(*blocks: bytes) -> bytes:
    """A plain frame around blocks, which may be lies."""
    return lz4_frame(b"")[:7] + b"".join(blocks) + bytes(4)


@EACH
@pytest.mark.parametrize("size", [0, 1, 100, 4096, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_000])
def test_what_was_compressed_comes_back(framing: Framing, size: int) -> None:
    """Of any size, over one block or many."""
    content = noise(size)

    assert content == bytes(Inflater(1 << 20).inflate(framing.codec, memoryview(framing.compress(content))))


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=300), times=st.integers(1, 40), framing=st.sampled_from(FRAMINGS))
def test_nothing_of_an_earlier_batch_remains(content: bytes, times: int, framing: Framing) -> None:
    """One buffer takes contents of all codecs and sizes in turn."""
    whole = content * times

    assert whole == bytes(SHARED.inflate(framing.codec, memoryview(framing.compress(whole))))


def test_what_is_not_compressed_is_not_copied() -> None:
    """The payload itself is handed back, larger than the limit or not."""
    payload = memoryview(bytes(2 * LIMIT))

    assert payload is Inflater(LIMIT).inflate(0, payload)


@EACH_COMPRESSED
def test_a_view_is_good_until_the_next_call(framing: Framing) -> None:
    """The next content overwrites it, in the same memory: nothing is allocated for it."""
    inflater = Inflater(LIMIT)
    first = inflater.inflate(framing.codec, memoryview(framing.compress(b"a" * 1000)))
    assert b"a" * 1000 == first
    second = inflater.inflate(framing.codec, memoryview(framing.compress(b"b" * 999)))

    assert b"b" * 999 == second
    assert b"b" * 999 == first[:999]
    assert first.obj is second.obj


@EACH_COMPRESSED
def test_the_buffer_grows_to_what_is_needed(framing: Framing) -> None:
    """From its first size on by doubling, and not again for what fits."""
    inflater = Inflater(8 * START_SIZE)
    content = noise(1 << 12) * (START_SIZE >> 11)
    payload = memoryview(framing.compress(content))
    grown = inflater.inflate(framing.codec, payload)

    assert content == bytes(grown)
    assert 2 * START_SIZE <= len(inflater._buffer) <= 4 * START_SIZE
    assert grown.obj is inflater.inflate(framing.codec, payload).obj


@EACH_COMPRESSED
@pytest.mark.parametrize("limit", [1, 1000, LIMIT, LIMIT + 1, 3 * LIMIT])
def test_the_limit_is_exact(framing: Framing, limit: int) -> None:
    """As many bytes as the limit says fit, one more does not; what follows is inflated as ever."""
    inflater = Inflater(limit)
    full = noise(limit)

    assert full == bytes(inflater.inflate(framing.codec, memoryview(framing.compress(full))))
    with pytest.raises(InflatedTooLargeError, match=f"it inflates to more than {limit} bytes"):
        inflater.inflate(framing.codec, memoryview(framing.compress(noise(limit + 1))))
    assert full == bytes(inflater.inflate(framing.codec, memoryview(framing.compress(full))))
    assert len(inflater._buffer) <= limit


@EACH_COMPRESSED
def test_the_buffer_never_outgrows_a_limit_that_is_no_double(framing: Framing) -> None:
    """The last step of its growth is a smaller one, and enough for what just fits."""
    inflater = Inflater(START_SIZE + 5)
    content = b"x" * (START_SIZE + 5)

    assert content == bytes(inflater.inflate(framing.codec, memoryview(framing.compress(content))))
    with pytest.raises(InflatedTooLargeError):
        inflater.inflate(framing.codec, memoryview(framing.compress(content + b"x")))
    assert START_SIZE + 5 == len(inflater._buffer)


def test_a_limit_below_the_first_size_bounds_the_buffer_at_once() -> None:
    """Nothing is allocated that may not be used."""
    assert 10 == len(Inflater(10)._buffer)
    assert START_SIZE == len(Inflater(100 * START_SIZE)._buffer)


@EACH_COMPRESSED
def test_two_frames_are_read_as_one_or_not_at_all(framing: Framing) -> None:
    """Where a codec's streams may follow each other, the second is not lost."""
    payload = memoryview(framing.compress(b"one") + framing.compress(b"two"))

    try:
        inflated = bytes(Inflater(LIMIT).inflate(framing.codec, payload))
    except InflateError:
        assert framing in (SNAPPY, XERIAL)
    else:
        assert b"onetwo" == inflated


@pytest.mark.parametrize("codec", [-1, 5, 6, 7, 8])
def test_an_unknown_codec(codec: int) -> None:
    """Its number is named."""
    with pytest.raises(InflateError, match=f"codec {codec} is unknown"):
        Inflater(LIMIT).inflate(codec, memoryview(b"x"))


@pytest.mark.parametrize("framing", [GZIP, SNAPPY, LZ4, ZSTD], ids=lambda framing: framing.name)
@pytest.mark.parametrize("payload", [b"", b"\0" * 3, b"\xff" * 40, b"plain text that is not compressed"])
def test_what_no_codec_wrote(framing: Framing, payload: bytes) -> None:
    """It is refused, not taken for content."""
    with pytest.raises(InflateError):
        Inflater(LIMIT).inflate(framing.codec, memoryview(payload))


def test_a_block_that_begins_like_a_length_is_no_length() -> None:
    """Its first four bytes could be a length and what follows a block: two contents, of which one could be hidden."""
    block = b"\xf0\x00\x00\x00\xc0abcdefghijkl"
    payload = lz4_of(struct.pack("<I", len(block)) + block)

    assert b"\0\0\xc0abcdefghijkl" == bytes(Inflater(LIMIT).inflate(LZ4.codec, memoryview(payload)))


@pytest.mark.parametrize(
    "payload",
    [
        lz4_of(struct.pack("<I", 1 << 16) + b"abc"),
        lz4_of(struct.pack("<I", 0x7FFFFFFF) + b"abc"),
        lz4_of(struct.pack("<I", 0xFFFFFFFF) + b"abc"),
        lz4_of(struct.pack("<I", 0x80000000 | (1 << 16) + 1) + bytes((1 << 16) + 1)),
        lz4_of(struct.pack("<I", 3) + b"\xff\xff\xff"),
        lz4_of(lz4_block(bytes(1 << 17))),
        lz4_of(lz4_block(b"abc"))[:-4],
        lz4_of(lz4_block(b"abc"))[:-1],
        lz4_of(lz4_block(b"abc")) + b"\0",
        lz4_of(b"\1\0"),
        lz4_frame(b"abc", block_size=1 << 16)[:6],
        lz4_frame(b"abc")[:5] + b"\x30" + lz4_frame(b"abc")[6:],
        lz4_frame(b"abc", content_checksum=True)[:-1] + b"\0",
        lz4_frame(b"abc", block_checksum=True)[:-8] + bytes(8),
        lz4_frame(b"abc", content_size=True).replace(struct.pack("<Q", 3), struct.pack("<Q", 4)),
    ],
    ids=range(15),
)
@pytest.mark.parametrize("limit", [16, 1 << 18])
def test_an_lz4_frame_that_lies(payload: bytes, limit: int) -> None:
    """Blocks beyond the frame, beyond their own size, cut, no blocks at all; wrong checksums and sizes."""
    with pytest.raises((InflateError, InflatedTooLargeError)):
        Inflater(limit).inflate(LZ4.codec, memoryview(payload))


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\0", b"\0\0\0\5ab", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xffab"])
def test_a_xerial_frame_that_lies(tail: bytes) -> None:
    """A length that is cut, zero, negative, or leads outside."""
    payload = XERIAL.compress(b"abc") + tail

    with pytest.raises(InflateError, match="a snappy block"):
        Inflater(LIMIT).inflate(XERIAL.codec, memoryview(payload))


def test_an_lz4_block_that_looks_back_into_the_one_before() -> None:
    """A frame may say so without any checksum: then its blocks can't be read one by one."""
    blocks = (b"\x80ABCDEFGH", b"\x04\x08\x00\x5012345")  # eight letters; eight bytes from eight back, five digits
    descriptor = b"\x40\x40"
    head = lz4_frame(b"")[:4] + descriptor + bytes((xxh32(descriptor) >> 8 & 0xFF,))
    payload = head + b"".join(struct.pack("<I", len(block)) + block for block in blocks) + bytes(4)

    assert b"ABCDEFGHABCDEFGH12345" == bytes(Inflater(1 << 20).inflate(LZ4.codec, memoryview(payload)))


@pytest.mark.parametrize("framing", [LZ4, LZ4_LARGE, LZ4_LINKED], ids=lambda framing: framing.name)
def test_lz4_blocks_that_do_not_compress(framing: Framing) -> None:
    """They stand in their frame as they are, between others that do compress."""
    content = (noise(1 << 16) + bytes(1 << 16)) * 3

    assert content == bytes(Inflater(1 << 20).inflate(framing.codec, memoryview(framing.compress(content))))

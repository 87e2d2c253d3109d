"""Few bytes that become many: no more memory than the limit allows, and no more time than that takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from app.sieve import CorruptBatchError, DeadBatch, Inflater, Sieve
from tests.sieve.batches import Entry, batch, record, sealed, simple
from tests.sieve.framings import COMPRESSED, GZIP, LZ4_CHECKSUM, SNAPPY, XERIAL, ZSTD, Framing
from tests.sieve.searches import NEEDLE, plain

LIMIT: Final = 1 << 22
ROOT: Final = Path(__file__).parents[2]

STATUS: Final = Path("/proc/self/status")

# Sifts what it is sent, and prints by how many bytes its greatest size grew meanwhile. Not by `resource`: there a
# new process begins with the greatest size of the one that started it.
_MEASURE: Final = """
import pathlib, re, sys
from app.sieve import Inflater, Sieve
from tests.sieve.searches import plain
data = sys.stdin.buffer.read()
sieve = Sieve(plain(), Inflater(int(sys.argv[1])))
sieve.sift(data[:0])
size = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) * 1024
before = size()
sifted = sieve.sift(data)
print(size() - before, len(sifted.dead), sifted.batches)
"""


def zstd_bomb(window: int, blocks: int) -> bytes:
    """A frame of blocks of 128 KiB that are one byte repeated, with a window of 2 to that power."""
    block = (1 << 17) << 3 | 1 << 1
    blocks_but_last = (block.to_bytes(3, "little") + b"x") * (blocks - 1)
    return (
        b"\x28\xb5\x2f\xfd\0"
        + bytes(((window - 10) << 3,))
        + blocks_but_last
        + (block | 1).to_bytes(3, "little")
        + b"x"
    )


def bomb(framing: Framing) -> bytes:
    """A batch that inflates to many times the limit, less where its checksum is slow to make."""
    size = 2 * LIMIT if framing is LZ4_CHECKSUM else 16 * LIMIT
    return sealed(3, framing.compress(bytes(size)), attributes=framing.codec, last_delta=4, count=5)


MEASURED: Final = pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells a process its greatest size")


def growth(data: bytes) -> tuple[int, int, int]:
    """By how many bytes a process grows that sifts this, how many batches are dead, and of how many."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(LIMIT)], input=data, capture_output=True, check=True, cwd=ROOT, timeout=60
    )
    grown, dead, batches = map(int, done.stdout.split())
    return grown, dead, batches


@pytest.mark.parametrize("framing", COMPRESSED, ids=lambda framing: framing.name)
def test_a_bomb_is_a_dead_batch(framing: Framing) -> None:
    """It is passed over, its offsets are named, and what follows is sifted with the same buffer."""
    inflater = Inflater(LIMIT)
    sifted = Sieve(plain(), inflater).sift(bomb(framing) + simple(8, NEEDLE, b"x", framing=framing))

    assert (DeadBatch(3, 7, f"it inflates to more than {LIMIT} bytes"),) == sifted.dead
    assert 1 == sifted.kept
    assert len(inflater._buffer) <= LIMIT


@MEASURED
def test_bombs_take_no_more_memory_than_the_limit() -> None:
    """All codecs in turn: the buffer, the one it outgrew, and what a decoder keeps for itself."""
    data = b"".join(map(bomb, COMPRESSED))
    grown, dead, batches = growth(data)

    assert (len(COMPRESSED), len(COMPRESSED)) == (dead, batches)
    assert grown <= 3 * LIMIT


@MEASURED
@pytest.mark.parametrize("window", [17, 27])
def test_a_zstd_window_takes_no_more_memory_than_is_written(window: int) -> None:
    """A frame may ask for a window of 128 MiB; of that only what is written costs anything."""
    data = sealed(0, zstd_bomb(window, 2_000), attributes=ZSTD.codec)
    grown, dead, _batches = growth(data)

    assert 1 == dead
    assert grown <= 3 * LIMIT


@pytest.mark.parametrize("window", [28, 31, 41])
def test_a_zstd_window_beyond_what_decoders_grant_is_corrupt(window: int) -> None:
    """Nothing is allocated for it."""
    with pytest.raises(CorruptBatchError):
        Sieve(plain(), Inflater(LIMIT)).sift(sealed(0, zstd_bomb(window, 2), attributes=ZSTD.codec))


@pytest.mark.parametrize("framing", [SNAPPY, XERIAL], ids=["raw", "xerial"])
def test_a_snappy_size_that_is_a_lie_is_dead(framing: Framing) -> None:
    """It claims four gigabytes; the buffer grows to the limit once, and not beyond."""
    lie = b"\xff\xff\xff\xff\x0f" + b"\0a"
    header = framing.compress(b"x" * 50)[:16] + len(lie).to_bytes(4, "big")
    inflater = Inflater(LIMIT)
    sifted = Sieve(plain(), inflater).sift(sealed(0, (header if framing is XERIAL else b"") + lie, attributes=2))

    assert 1 == len(sifted.dead)
    assert LIMIT == len(inflater._buffer)


@MEASURED
def test_many_batches_of_hits_are_no_bomb_together() -> None:
    """Each is within the limit, and so small that a fetch brings thousands of them."""
    records = [record(Entry(NEEDLE + bytes(LIMIT - 1000)), 0), record(Entry(b"x"), 1)]
    one = batch(0, records, framing=ZSTD)
    grown, dead, batches = growth(one * 50)

    assert (0, 50) == (dead, batches)
    assert grown <= 8 * LIMIT


def test_one_batch_of_very_many_records() -> None:
    """As many as fit in the limit, all or every other of them hits: walked once, each looked at once."""
    hit, other = record(Entry(NEEDLE), 0), record(Entry(b""), 0)
    calls = 0
    find = plain()

    def search(buffer: memoryview, start: int, end: int) -> int:
        nonlocal calls
        calls += 1
        return find(buffer, start, min(end, start + 100))

    for records in ([hit] * 5_000, [hit, other] * 5_000):
        calls = 0
        Sieve(search, Inflater(LIMIT)).sift(batch(0, records, framing=GZIP))
        assert calls <= 2 * len(records) + 1

"""Candidate lines of large files: the needles are searched in whole chunks, so that other lines cost almost nothing."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from app.core.needles import Needles
from app.errors import InputError

CHUNK: Final = 1024 * 1024
"""Bytes read at once; small enough to stay in the processor's cache, large enough to make calls cheap."""


@dataclass(slots=True)
class Progress:
    r"""How far a file was read: lines (ended by `\n` or by the file's end) and bytes, after decompression."""

    lines: int = 0
    bytes: int = 0


@contextmanager
def open_lines(name: str) -> Iterator[IO[bytes]]:
    """Open a file of lines; `-` is standard input, `.gz` and `.zst` are decompressed.

    Raises:
        InputError: It can't be opened, or later: can't be read.
    """
    try:
        if name == "-":
            yield sys.stdin.buffer
            return
        with Path(name).open("rb") as file:
            if name.endswith(".gz"):
                yield cast(IO[bytes], gzip.GzipFile(fileobj=file))
            elif name.endswith(".zst"):
                yield cast(IO[bytes], zstd.ZstdFile(file))
            else:
                yield file
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{name} can't be read: {reason}") from None


def candidate_lines(source: IO[bytes], needles: Needles, progress: Progress) -> Iterator[tuple[int, bytes]]:
    r"""Every line that is a candidate, with its number (from 1), in order.

    Lines are raw bytes between `\n`, which belongs to none of them; a last line without one counts too. All
    other lines are only counted.

    Args:
        source: Where to read.
        needles: What makes a line a candidate.
        progress: Kept up to date while reading; after the end it counts the whole file.
    """
    buffer = bytearray(CHUNK)
    kept = 0  # bytes at the buffer's start that belong to an unfinished line
    while True:
        if kept == len(buffer):
            buffer.extend(bytes(len(buffer)))
        read = _read_into(source, memoryview(buffer)[kept:])
        end = kept + read
        progress.bytes += read
        if not read:
            if kept:
                progress.lines += 1
                line = bytes(memoryview(buffer)[:kept])
                if needles.is_candidate(line):
                    yield progress.lines, line
            return
        whole = buffer.rfind(b"\n", kept, end) + 1
        if not whole:
            kept = end
            continue
        yield from _candidates(buffer, whole, needles, progress)
        kept = end - whole
        buffer[:kept] = buffer[whole:end]


def _candidates(buffer: bytearray, end: int, needles: Needles, progress: Progress) -> Iterator[tuple[int, bytes]]:
    """Candidates among the whole lines of a buffer's first `end` bytes."""
    start = 0
    while start < end:
        hit = needles.first_hit(buffer, start, end)
        if hit < 0:
            progress.lines += buffer.count(b"\n", start, end)
            return
        line_start = buffer.rfind(b"\n", start, hit) + 1 or start
        line_end = buffer.find(b"\n", hit, end)
        progress.lines += buffer.count(b"\n", start, line_start) + 1
        line = bytes(memoryview(buffer)[line_start:line_end])
        start = line_end + 1
        if needles.is_candidate(line):
            yield progress.lines, line


def _read_into(source: IO[bytes], space: memoryview) -> int:
    """Read what is there, up to the space; 0 at the end."""
    if isinstance(source, io.BufferedIOBase | io.RawIOBase):
        return source.readinto(space) or 0
    data = source.read(len(space))
    space[: len(data)] = data
    return len(data)

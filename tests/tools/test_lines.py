"""Candidate lines: the same as a naive reader finds, for every chunk size, compression and line end."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast
from unittest.mock import patch

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.needles import Needles
from app.errors import InputError
from app.tools import lines as module
from app.tools.lines import Progress, candidate_lines, open_lines

NEEDLES = Needles(frozenset({"exim4"}))
EVERYTHING = Needles.all()
RECORDS = b"".join(b'{"exim4":%d}\n{"cron":%d}\n' % (n, n) for n in range(5000))


class Dribble(io.RawIOBase):
    """A source that gives a few bytes at a time, as a pipe may."""

    def __init__(self, content: bytes, most: int) -> None:
        """Give at most so many bytes a read."""
        self._content = io.BytesIO(content)
        self._most = most

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read less than was asked for."""
        return self._content.readinto(buffer[: self._most])


class OnlyRead:
    """A source without `readinto`."""

    def __init__(self, content: bytes) -> None:
        """Take the content."""
        self._content = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes."""
        return self._content.read(size)


def naive(content: bytes, needles: Needles) -> list[tuple[int, bytes]]:
    """Split at every line feed, number the lines, keep the candidates."""
    return [(number, line) for number, line in enumerate(_split(content), 1) if needles.is_candidate(line)]


def found(source: object, needles: Needles, progress: Progress | None = None) -> list[tuple[int, bytes]]:
    """Read the candidates of a source."""
    return list(candidate_lines(cast(IO[bytes], source), needles, progress or Progress()))


def read_file(path: Path, needles: Needles = NEEDLES) -> list[tuple[int, bytes]]:
    """Read the candidates of a file."""
    with open_lines(str(path)) as source:
        return found(source, needles)


def _split(content: bytes) -> list[bytes]:
    parts = content.split(b"\n")
    return parts if parts[-1] else parts[:-1]


_PIECES = st.sampled_from(
    [b"exim4", b"exi", b"m4", b"\n", b"\r\n", b"\n\n", b"\x00", b"x", b"\\u0065xim4", b"\\u00", b"\\u0065", b"a" * 40]
)
_CONTENTS = st.lists(_PIECES | st.binary(max_size=3), max_size=30).map(b"".join)


@settings(deadline=None)
@given(_CONTENTS, st.integers(1, 40), st.sampled_from([NEEDLES, EVERYTHING]), st.integers(1, 50))
def test_candidates_are_those_of_a_naive_reader(content: bytes, chunk: int, needles: Needles, most: int) -> None:
    """Same lines, same numbers, same counts, wherever chunks and reads happen to end."""
    with patch.object(module, "CHUNK", chunk):
        for source in (io.BytesIO(content), Dribble(content, most), OnlyRead(content)):
            progress = Progress()
            assert naive(content, needles) == found(source, needles, progress)
            assert Progress(len(_split(content)), len(content)) == progress


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [(1, b"")]),
        (b"\n\n", [(1, b""), (2, b"")]),
        (b"a", [(1, b"a")]),
        (b"a\n", [(1, b"a")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"a\r\nb\r\n", [(1, b"a\r"), (2, b"b\r")]),
        (b"a\x00b\n\x00", [(1, b"a\x00b"), (2, b"\x00")]),
        (b"a\rb\x0b\x0c\x1c\x85\n", [(1, b"a\rb\x0b\x0c\x1c\x85")]),
    ],
)
def test_only_a_line_feed_ends_a_line(content: bytes, expected: list[tuple[int, bytes]]) -> None:
    """Bytes are left as they are; the last line needs no line feed."""
    assert expected == found(io.BytesIO(content), EVERYTHING)


def test_escape_alone_is_no_candidate() -> None:
    """Where only an escape of a needle's character stands, the line is looked at and left out."""
    assert [(2, b"\\u0065xim4")] == found(io.BytesIO(b"\\u0065xam4\n\\u0065xim4\n\\u0065\n"), NEEDLES)


def test_line_longer_than_a_chunk_is_whole() -> None:
    """A line of several chunks is one line, and those after it keep their numbers."""
    long = b"x" * (3 * module.CHUNK) + b"exim4" + b"y" * module.CHUNK
    content = b"first\n" + long + b"\nlast exim4"

    assert [(2, long), (3, b"last exim4")] == found(io.BytesIO(content), NEEDLES)


def test_lines_are_numbered_across_chunks() -> None:
    """Lines that are no candidates are counted, also where a whole chunk holds none."""
    content = b"nothing\n" * 400_000 + b"exim4\n"
    progress = Progress()

    assert [(400_001, b"exim4")] == found(io.BytesIO(content), NEEDLES, progress)
    assert Progress(400_001, len(content)) == progress


def test_progress_is_kept_while_reading() -> None:
    """At each candidate the count of lines is that line's number."""
    progress = Progress()
    source: Iterator[tuple[int, bytes]] = candidate_lines(io.BytesIO(b"a\nexim4\nb\nexim4\nc\n"), NEEDLES, progress)

    assert [2, 4] == [progress.lines for _ in source]
    assert 5 == progress.lines


def _zstd(content: bytes) -> bytes:
    return zstd.compress(content)


def _streamed(content: bytes) -> bytes:
    compressor = zstd.ZstdCompressor()  # its frame does not tell the content's size
    return compressor.compress(content) + compressor.flush()


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("events.ndjson", bytes),
        ("events.gz", gzip.compress),
        ("events.ndjson.zst", _zstd),
        ("streamed.zst", _streamed),
    ],
)
def test_file_is_decompressed_by_its_name(name: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Plain, `.gz` and `.zst` files give the same lines."""
    path = tmp_path / name
    path.write_bytes(compress(RECORDS))

    assert naive(RECORDS, NEEDLES) == read_file(path)


@pytest.mark.parametrize(("name", "compress"), [("a.gz", gzip.compress), ("a.zst", _zstd), ("b.zst", _streamed)])
def test_file_of_several_frames_is_one_file(name: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Files that were put together (`cat a.zst b.zst`) are read to the end; a line may span two frames."""
    path = tmp_path / name
    cut = len(RECORDS) // 2 + 3
    path.write_bytes(compress(RECORDS[:cut]) + compress(b"") + compress(RECORDS[cut:]))

    assert naive(RECORDS, NEEDLES) == read_file(path)


@pytest.mark.parametrize(("name", "compress"), [("a.gz", gzip.compress), ("a.zst", _zstd), ("b.zst", _streamed)])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_truncated_file_is_an_error(
    name: str, compress: Callable[[bytes], bytes], share: float, tmp_path: Path
) -> None:
    """What is cut off in a compressed file is not taken for its end."""
    path = tmp_path / name
    whole = compress(RECORDS)
    path.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(InputError, match=f"{name} can't be read: .") as caught:
        read_file(path)
    assert "\n" not in str(caught.value)
    assert 3 == caught.value.exit_code


@pytest.mark.parametrize("name", ["a.gz", "a.zst"])
def test_truncation_in_a_later_frame_is_an_error(name: str, tmp_path: Path) -> None:
    """A whole first frame does not make the rest whole."""
    compress = gzip.compress if name.endswith("gz") else _zstd
    path = tmp_path / name
    path.write_bytes(compress(RECORDS) + compress(RECORDS)[:-9])

    with pytest.raises(InputError, match="can't be read"):
        read_file(path)


@pytest.mark.parametrize("name", ["a.gz", "a.zst"])
def test_file_of_another_format_is_an_error(name: str, tmp_path: Path) -> None:
    """A plain file under a compressed name, or one with rubbish behind, says that it can't be read."""
    path = tmp_path / name
    path.write_bytes(RECORDS)
    with pytest.raises(InputError, match="can't be read"):
        read_file(path)

    path.write_bytes((gzip.compress if name.endswith("gz") else _zstd)(RECORDS) + b"rubbish")
    with pytest.raises(InputError, match="can't be read"):
        read_file(path)


@pytest.mark.parametrize("name", ["missing.ndjson", "missing.gz", "."])
def test_file_that_is_not_there_is_an_error(name: str, tmp_path: Path) -> None:
    """A missing file and a directory, each with the system's reason."""
    with pytest.raises(InputError, match=r"can't be read: (No such file|Is a directory)"):
        read_file(tmp_path / name)


@pytest.mark.parametrize("name", ["empty.ndjson", "empty.gz"])
def test_empty_file_has_no_lines(name: str, tmp_path: Path) -> None:
    """No bytes, no lines, no error."""
    path = tmp_path / name
    path.write_bytes(b"" if name == "empty.ndjson" else gzip.compress(b""))

    assert [] == read_file(path, EVERYTHING)


def test_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads what is piped in."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(RECORDS)))
    with open_lines("-") as source:
        assert naive(RECORDS, NEEDLES) == found(source, NEEDLES)

"""What earlier versions wrote is read for good, and what is written stays readable for the version before.

The bytes here are those that releases wrote. One that no longer reads is a history that is lost at an upgrade: add
bytes for a new format, and change none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from app.core import state_format
from app.core.baseline import BaselineRecord, decode_baseline, encode_baseline, host_baseline_key
from app.core.new_terms import TermRecord, decode_record, encode_record, term_key
from app.core.process import Image, Process
from app.core.ring import Remembered, Ring
from app.core.state_format import StateFormat, StateFormatError
from tests.core.test_ring import DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable

_NOW: Final = 1_767_600_000_123_456_789
_SHA256: Final = bytes(range(32))
_FIELDS: Final = ("host.id", "process.name")

_TERM: Final = TermRecord(_NOW - 5, _NOW, 7, _NOW + 1, 3, 41, "/usr/bin/wget", _SHA256)
_BASELINE: Final = BaselineRecord(_NOW - 5, 12, _NOW + 1, 3, 41, 1)
_SHELL: Final = Image(_NOW, "sh", "/bin/sh", ("sh", "-c", "id"), "0", "root", "ab")
_PROCESS: Final = Process("e1", (_SHELL, Image(_NOW, "wget", is_told=True)), "e0", "12", "2026")

_LINEAGE: Final = StateFormat(Remembered, "lineage")
_TERM_BYTES: Final = (
    "0198cf1887c6d5c056cd10cf1887c6d5c056cd1507cf1887c6d5c056cd160329ad2f7573722f62696e2f77676574c420"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)
_BASELINE_BYTES: Final = "0196cf1887c6d5c056cd100ccf1887c6d5c056cd16032901"
_LINEAGE_BYTES: Final = (
    "019305cf1887c6d5c056cd1595a265319298cf1887c6d5c056cd15a27368a72f62696e2f736893a27368a22d63a26964"
    "a130a4726f6f74a26162c298cf1887c6d5c056cd15a477676574c090c0c0c0c3a26530a23132a432303236"
)


@pytest.mark.parametrize(
    ("written", "decode", "expected"),
    [
        (_TERM_BYTES, decode_record, _TERM),
        (_BASELINE_BYTES, decode_baseline, _BASELINE),
        (_LINEAGE_BYTES, _LINEAGE.decode, Remembered(5, _NOW, _PROCESS)),
    ],
    ids=["term", "baseline", "process"],
)
def test_format_1_is_read(written: str, decode: Callable[[bytes], object], expected: object) -> None:
    """Records as version 0.1.0 wrote them."""
    assert expected == decode(bytes.fromhex(written))


def test_keys_are_those_of_the_first_version() -> None:
    """A key that changes finds nothing of what was written: every known term would be new once more."""
    term = term_key("exim4_child", _FIELDS, ("mail01", "wget"))
    baseline = host_baseline_key("exim4_child", _FIELDS, "mail01")

    assert "01000b6578696d345f6368696c6443bfa8f4be6bfb5e0000066d61696c303100000477676574" == term.hex()
    assert "01ffff000b6578696d345f6368696c6443bfa8f4be6bfb5e6d61696c3031" == baseline.hex()
    assert [b"\x01P\x00\x06mail01e1"] == list(_ring({}))


def test_next_format_finds_what_this_one_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that raises the format reads this one's records under this one's keys, and writes its own."""
    database = _ring({})
    of_now = (term_key("r", _FIELDS, ("h", "sh")), encode_record(_TERM), encode_baseline(_BASELINE))
    _raise_format(monkeypatch, 1)

    assert of_now[0] == term_key("r", _FIELDS, ("h", "sh"))
    assert (_TERM, _BASELINE) == (decode_record(of_now[1]), decode_baseline(of_now[2]))
    assert b"\x02" == encode_record(_TERM)[:1]
    assert _PROCESS == Ring(database.get, "mail01", 16, _NOW).find("e1")


def test_older_version_reads_the_next_format_and_drops_what_was_appended() -> None:
    """Fields that are appended at any depth are left out, and are not in what it writes again."""
    image = [*msgspec.to_builtins(_SHELL), "later"]
    process = ["e1", [image], "e0", "12", "2026", ["later"]]
    later = b"\x02" + msgspec.msgpack.encode([5, _NOW, process, {"later": 1}])
    expected = Remembered(5, _NOW, msgspec.structs.replace(_PROCESS, images=(_SHELL,)))

    read = _LINEAGE.decode(later)

    assert expected == read
    assert b"\x01" + msgspec.msgpack.encode(expected) == _LINEAGE.encode(read)


def test_format_after_the_next_is_refused_until_its_version_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By this version, and not by the one before it."""
    two_later = b"\x03" + encode_record(_TERM)[1:]
    with pytest.raises(StateFormatError, match="of format 3, this version reads 1 to 2: start the version that wrote"):
        decode_record(two_later)
    _raise_format(monkeypatch, 1)

    assert _TERM == decode_record(two_later)


def _ring(database: DATABASE) -> DATABASE:
    """A host's processes as one event leaves them, without what is derived of them."""
    ring = Ring(database.get, "mail01", 16, _NOW)
    ring.remember(_PROCESS, None)
    return database | {key: value for key, value in ring.changes if value is not None}


def _raise_format(monkeypatch: pytest.MonkeyPatch, by: int) -> None:
    """Go on as the version would that has raised the format."""
    monkeypatch.setattr(state_format, "FORMAT", state_format.FORMAT + by)
    monkeypatch.setattr(state_format, "READABLE", range(state_format.OLDEST, state_format.FORMAT + 2))

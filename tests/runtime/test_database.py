"""Databases on disk: what is damage, what is not, and what becomes of it."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from app.errors import BrokenTableError, SettingsError
from app.runtime import database as module
from app.runtime.database import OFFSET_KEY, is_damage
from app.runtime.table_kind import LINEAGE
from tests.runtime.databases import databases_in, entry, fill, overwrite_with_noise, truncate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.runtime.database import Databases

ENTRIES = [entry(number, 10**18) for number in range(500)]


def _mark(databases: Databases) -> None:
    databases.mark(3, "a reason of yesterday")


def _cut(databases: Databases) -> None:
    truncate(databases.path(3))


def _without_current(databases: Databases) -> None:
    (databases.path(3) / "CURRENT").unlink()


def _without_table_file(databases: Databases) -> None:
    next(databases.path(3).glob("*.sst")).unlink()


def _a_file(databases: Databases) -> None:
    databases.path(3).rename(databases.path(3).with_suffix(".old"))
    databases.path(3).write_bytes(b"no directory")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Corruption: block checksum mismatch: stored = 1, computed = 2 in a/000009.sst", True),
        ("Corruption: Sst file size mismatch: a/000009.sst. Size recorded in manifest 9, actual size 4", True),
        ("IO error: No such file or directory: While open a file for random read: a/000009.sst", True),
        ("IO error: Input/output error: While pread offset 0 len 5: a/000009.sst", True),
        ("IO error: No space left on device: While appending to file: a/000009.log", False),
        ("IO error: While open a file for appending: a/000009.log: Permission denied", False),
        ("IO error: While open a file for random read: a/000009.sst: Too many open files", False),
        ("DB is closed", False),
        ("a Corruption of another kind", False),
    ],
)
def test_damage_is_told_from_the_trouble_of_the_machine(text: str, expected: bool) -> None:
    """By RocksDB's words, which are all that its binding hands on."""
    assert expected == is_damage(Exception(text))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_mark, "marked as damaged: a reason of yesterday"),
        (_cut, "size mismatch"),
        (_without_current, "CURRENT is missing"),
        (_without_table_file, "can't be opened: "),
        (_a_file, "can't be opened: "),
    ],
)
def test_what_can_not_be_opened_is_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Databases], None], reason: str
) -> None:
    """With one line that says which and why; nothing of the old one is left, and the next opening finds it sound."""
    databases = databases_in(tmp_path)
    fill(databases, 3, ENTRIES, offset=12)
    damage(databases)

    with caplog.at_level(logging.WARNING):
        opened = databases.open(3)
    entries = list(opened.items())
    opened.close()

    assert [] == entries
    (line,) = caplog.messages
    assert f"table database {databases.path(3)} is deleted and will be rebuilt" in line
    assert reason in line
    caplog.clear()
    databases.open(3).close()
    assert [] == caplog.messages
    assert [3] == databases.partitions()


def test_sound_database_is_opened_as_it_is(tmp_path: Path) -> None:
    """Its entries and its offset are there."""
    databases = databases_in(tmp_path)
    fill(databases, 0, ENTRIES, offset=12)
    opened = databases.open(0)

    assert b"12" == opened.get(OFFSET_KEY)
    assert ENTRIES == [(key, value) for key, value in opened.items() if key != OFFSET_KEY]
    opened.close()


def test_database_of_a_live_process_is_left_alone(tmp_path: Path) -> None:
    """Whoever holds it, this process or another: the message says so, and its files stay."""
    databases = databases_in(tmp_path)
    fill(databases, 0, ENTRIES)
    held = databases.open(0)
    with pytest.raises(SettingsError, match="held by a live process"):
        databases.open(0)
    program = f"""
from pathlib import Path
from app.runtime.table_kind import LINEAGE
from tests.runtime.databases import databases_in
databases_in(Path({str(tmp_path)!r})).open(0)
"""
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert "held by a live process" in other.stderr
    assert ENTRIES == list(held.items())
    held.close()


def test_partitions_are_those_with_a_database_or_a_mark(tmp_path: Path) -> None:
    """Whatever else lies there is none."""
    databases = databases_in(tmp_path)
    fill(databases, 11, [])
    fill(databases, 2, [])
    databases.mark(2, "a reason")
    databases.mark(5, "a reason")
    (tmp_path / "new_terms-backups").mkdir()
    (tmp_path / "other-1.db").mkdir()
    processes = databases_in(tmp_path, LINEAGE)
    fill(processes, 7, [])

    assert [2, 5, 11] == databases.partitions()
    assert [7] == processes.partitions()
    assert tmp_path / "lineage-7.db" == processes.path(7)


def test_damage_met_in_use_leaves_a_mark_and_ends_the_process(tmp_path: Path) -> None:
    """With an exit code of its own, and a line that says which database and what to do."""
    databases = databases_in(tmp_path)
    fill(databases, 1, ENTRIES)
    overwrite_with_noise(databases.path(1))
    program = f"""
from pathlib import Path
from app.runtime.table_kind import LINEAGE
from tests.runtime.databases import databases_in
databases = databases_in(Path({str(tmp_path)!r}))
opened = databases.open(1)
with databases.guarded(1):
    opened.get({ENTRIES[0][0]!r})
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert BrokenTableError.exit_code == ended.returncode, ended.stderr
    assert f"table database {databases.path(1)} is damaged: Corruption" in ended.stderr
    assert "Corruption" in (tmp_path / "new_terms-1.db.broken").read_text()


def test_other_errors_in_use_are_raised(tmp_path: Path) -> None:
    """They say nothing of the database."""
    databases = databases_in(tmp_path)
    with pytest.raises(ValueError, match="something else"), databases.guarded(1):
        raise ValueError("something else")

    assert [] == databases.partitions()


def test_what_rocksdb_logs_of_its_own_work_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default its log grows until the next start."""
    most = 65_536
    monkeypatch.setattr(module, "_LOG_BYTES", most)
    databases = databases_in(tmp_path)
    database = databases.open(3)

    for number in range(100):
        database.put(*entry(number, 10**18))
        database.flush()

    logs = [file.stat().st_size for file in databases.path(3).glob("LOG*")]
    database.close()
    assert 3 == len(logs)
    assert 2 * most > max(logs)

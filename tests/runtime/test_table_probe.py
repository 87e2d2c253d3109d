"""Databases on which RocksDB spins or crashes are found by a process of its own, and deleted."""

from __future__ import annotations

import logging
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from app.runtime.database import OFFSET_KEY
from app.runtime.table_probe import probe_tables
from tests.runtime.databases import databases_in, entry, fill

if TYPE_CHECKING:
    from pathlib import Path

# Stand for RocksDB: print what is opened, and fail at the database of a partition.
_CHILD = """
import os, sys, time
for path in sys.argv[1:]:
    print(path, flush=True)
    if path.endswith("-{partition}.db"):
        {does}
"""
_SPINS = "time.sleep(600)"
_CRASHES = "os.abort()"


def _filled(folder: Path, partitions: list[int]) -> list[int]:
    for partition in partitions:
        fill(databases_in(folder), partition, [entry(1, 7)])
    return databases_in(folder).partitions()


@pytest.mark.parametrize(
    ("does", "reason"), [(_SPINS, "did not end within 3 s"), (_CRASHES, "ended the process with signal 6")]
)
@pytest.mark.parametrize("partition", [0, 4, 7])
def test_database_that_is_not_opened_is_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, does: str, reason: str, partition: int
) -> None:
    """It alone, wherever it stands among the others, which are opened all the same."""
    partitions = _filled(tmp_path, [0, 4, 7])
    with caplog.at_level(logging.WARNING):
        probe_tables(databases_in(tmp_path), silence=3.0, child=_CHILD.format(partition=partition, does=does))

    assert [number for number in partitions if number != partition] == databases_in(tmp_path).partitions()
    ((*_, told),) = caplog.record_tuples
    assert f"new_terms-{partition}.db is deleted" in told
    assert reason in told


def test_program_that_fails_condemns_no_database(tmp_path: Path) -> None:
    """That it can't be run, or may not read something, is the machine's trouble and no damage."""
    partitions = _filled(tmp_path, [0, 4])
    probe_tables(databases_in(tmp_path), child="import sys; print(sys.argv[1], flush=True); raise SystemExit(1)")

    assert partitions == databases_in(tmp_path).partitions()


def test_sound_databases_are_left_as_they_are(tmp_path: Path) -> None:
    """RocksDB opens them, and so does the next one."""
    partitions = _filled(tmp_path, [0, 4])
    probe_tables(databases_in(tmp_path))
    opened = databases_in(tmp_path).open(4)
    found = opened.get(entry(1, 7)[0])
    opened.close()

    assert (partitions, entry(1, 7)[1]) == (databases_in(tmp_path).partitions(), found)


def test_database_without_its_beginning_is_not_begun_anew(tmp_path: Path) -> None:
    """Without CURRENT RocksDB would make an empty one of it: it is left to who looks for that."""
    _filled(tmp_path, [0])
    path = databases_in(tmp_path).path(0)
    (path / "CURRENT").unlink()
    before = sorted(file.name for file in path.iterdir())
    probe_tables(databases_in(tmp_path))

    assert before == sorted(file.name for file in path.iterdir())


def test_no_database_needs_no_process(tmp_path: Path) -> None:
    """A first start has nothing to open."""
    probe_tables(databases_in(tmp_path), child="raise SystemExit(7)")

    assert [] == databases_in(tmp_path).partitions()


def test_manifest_that_is_cut_anywhere_loses_nothing_in_silence(tmp_path: Path) -> None:
    """Cut between two records it is a sound older one: the database says a later offset than its entries reach."""
    entries = [entry(number, 7) for number in range(40)]
    sound = tmp_path / "sound"
    for life in range(4):
        # A copy of what is open is what a kill leaves: the next life makes a file of its log, the last log stays one.
        opened = databases_in(sound).open(0)
        for key, value in entries[10 * life : 10 * life + 10]:
            opened.put(key, value)
        opened.put(OFFSET_KEY, str(10 * life + 9).encode())
        sound = shutil.copytree(sound, tmp_path / f"life-{life}")
        opened.close()
    manifest = max(databases_in(sound).path(0).glob("MANIFEST-*"))
    fates = set()
    for length in range(0, manifest.stat().st_size, 5):
        cut = tmp_path / str(length)
        shutil.copytree(sound, cut)
        os.truncate(databases_in(cut).path(0) / manifest.name, length)
        probe_tables(databases_in(cut))
        opened = databases_in(cut).open(0)
        offset = opened.get(OFFSET_KEY)
        held = [entry for entry in entries if opened.get(entry[0]) == entry[1]]
        opened.close()
        fates.add(len(held))

        assert entries[: 0 if offset is None else int(offset) + 1] == held, f"cut at {length}"

    assert {0, 40} >= fates

"""Databases on which RocksDB spins or crashes are found by a process of its own, and deleted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

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
    ("does", "reason"), [(_SPINS, "did not end within 3 s"), (_CRASHES, "ended the process with -6")]
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

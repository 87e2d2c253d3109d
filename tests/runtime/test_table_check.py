"""The check of all databases before a worker joins: what is deleted, what is purged, and what stops the start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from app.core.baseline import BaselineRecord, encode_baseline, host_baseline_key
from app.core.state_format import StateFormatError
from app.errors import SettingsError
from app.runtime.database import OFFSET_KEY
from app.runtime.table_check import check_tables
from app.runtime.table_kind import LINEAGE
from tests.runtime.databases import (
    databases_in,
    entries_of,
    entry,
    fill,
    overwrite_with_noise,
    processes,
    truncate,
)

if TYPE_CHECKING:
    from pathlib import Path

    from app.runtime.database import Databases

NOW = 10**18
KEEP = 10**15
FRESH = [entry(number, NOW - KEEP) for number in range(300)]
NEWEST = entry(999, NOW)
EXPIRED = [entry(number, NOW - KEEP - 1) for number in range(300, 310)]


def _check(databases: Databases) -> None:
    check_tables(databases, KEEP, lambda: NOW)


def _entries(databases: Databases, partition: int) -> list[tuple[bytes, bytes]]:
    opened = databases.open(partition)
    found = [(key, value) for key, value in opened.items() if isinstance(key, bytes) and key != OFFSET_KEY]
    opened.close()
    return found


def test_expired_entries_are_purged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Only those, in every database; the offset stays, since the changelog has nothing that is missing."""
    databases = databases_in(tmp_path)
    fill(databases, 0, [*FRESH, *EXPIRED, NEWEST], offset=700)
    fill(databases, 4, [*EXPIRED[:3], NEWEST], offset=8)

    with caplog.at_level(logging.INFO):
        _check(databases)

    assert [*FRESH, NEWEST] == _entries(databases, 0)
    assert [NEWEST] == _entries(databases, 4)
    opened = databases.open(0)
    assert b"700" == opened.get(OFFSET_KEY)
    opened.close()
    (line,) = caplog.messages
    assert line.startswith("table new_terms checked: 2 databases with 315 entries, 13 of them purged, in ")


def test_clock_that_is_years_ahead_purges_nothing_that_is_needed(tmp_path: Path) -> None:
    """The present is taken to lie at most a week after the newest entry: the changelog would not be read again."""
    week = 7 * 24 * 3600 * 10**9
    needed, other = entry(1, NOW - KEEP + week), entry(2, NOW - KEEP + week - 1)
    databases = databases_in(tmp_path)
    fill(databases, 0, [needed, other, NEWEST], offset=700)
    check_tables(databases, KEEP, lambda: NOW + 10**18)

    assert [needed, NEWEST] == _entries(databases, 0)


def test_noise_is_found_by_reading(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A database that can be opened and not be read is deleted; the others stay as they are."""
    databases = databases_in(tmp_path)
    for partition in (0, 1, 2):
        fill(databases, partition, FRESH, offset=700)
    overwrite_with_noise(databases.path(1))
    truncate(databases.path(2))

    with caplog.at_level(logging.WARNING):
        _check(databases)

    noise, cut = sorted(caplog.messages)
    assert f"{databases.path(1)} is deleted and will be rebuilt from the changelog: Corruption" in noise
    assert f"{databases.path(2)} is deleted and will be rebuilt from the changelog: it can't be opened" in cut
    assert not databases.path(1).exists()
    assert FRESH == _entries(databases, 0)
    assert [] == _entries(databases, 2)


def test_unknown_format_stops_the_start_and_deletes_nothing(tmp_path: Path) -> None:
    """A newer version wrote it; the database is free again for that one."""
    databases = databases_in(tmp_path)
    key, value = entry(1, NOW)
    fill(databases, 0, [*FRESH, (key, b"\x63" + value[1:])])

    with pytest.raises(StateFormatError, match="format 99"):
        _check(databases)

    assert len(FRESH) == len(_entries(databases, 0))


def test_held_database_stops_the_start(tmp_path: Path) -> None:
    """And is not touched."""
    databases = databases_in(tmp_path)
    fill(databases, 0, FRESH)
    held = databases.open(0)
    with pytest.raises(SettingsError, match="held by a live process"):
        _check(databases)

    assert FRESH == list(held.items())
    held.close()


def test_baselines_stand_among_terms(tmp_path: Path) -> None:
    """They are of use for as long."""
    keys = [host_baseline_key("a-rule", ("host.id",), f"host-{number}") for number in range(2)]
    ages = (KEEP, KEEP + 1)
    kept, old = (
        (key, encode_baseline(BaselineRecord(1, 2, NOW - age, 3, 4, 0))) for key, age in zip(keys, ages, strict=True)
    )
    databases = databases_in(tmp_path)
    fill(databases, 0, [kept, old, NEWEST])
    _check(databases)

    assert sorted([kept, NEWEST]) == _entries(databases, 0)


def test_processes_are_purged_with_all_that_is_derived(tmp_path: Path) -> None:
    """Nothing is left of a host of which nothing was heard for long; the rings of others stay as they are."""
    databases = databases_in(tmp_path, LINEAGE)
    fresh = entries_of(processes("mail01", range(20), 8, NOW))
    edge = entries_of(processes("mail02", range(3), 8, NOW - KEEP))
    old = entries_of(processes("mail03", range(5), 8, NOW - KEEP - 1))
    fill(databases, 0, list((fresh | edge | old).items()), offset=700)
    _check(databases)

    assert fresh | edge == dict(_entries(databases, 0))


def test_slot_that_was_given_anew_stays(tmp_path: Path) -> None:
    """The expired process that had it before goes alone; its deletion was lost with a power cut."""
    databases = databases_in(tmp_path, LINEAGE)
    ring = processes("mail01", range(6), 4, NOW)
    (lost,) = processes("mail01", [99], 4, NOW - KEEP - 1)
    fill(databases, 0, list((entries_of([lost]) | entries_of(ring)).items()))
    assert lost in _entries(databases, 0)
    _check(databases)

    assert entries_of(ring) == dict(_entries(databases, 0))


def test_unknown_format_of_a_process_stops_the_start(tmp_path: Path) -> None:
    """As that of a term does."""
    databases = databases_in(tmp_path, LINEAGE)
    ((key, _),) = processes("mail01", [1], 4, NOW)
    fill(databases, 0, [(key, b"\x63")])

    with pytest.raises(StateFormatError, match="lineage table holds a record of format 99"):
        _check(databases)


def test_new_data_directory_is_no_matter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to check, and nothing to tell."""
    with caplog.at_level(logging.INFO):
        _check(databases_in(tmp_path / "not" / "there"))

    assert [] == caplog.messages

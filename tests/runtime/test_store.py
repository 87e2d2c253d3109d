"""A table's store: databases are there between being given and being revoked, and at no other time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import faust
import pytest
from faust.stores import rocksdb
from faust.types import TP

from app.core.state_format import StateFormatError
from app.runtime import store as store_module
from app.runtime.database import table_options
from app.runtime.settings import load_settings
from app.runtime.store import NotAssignedError, TableStore
from app.runtime.table import Change, ChangelogTable, LineageTable, NewTermsTable
from tests.runtime.databases import entries_of, processes

if TYPE_CHECKING:
    from pathlib import Path

CHANGELOG = "tests-new_terms-changelog"
PLACE = TP(CHANGELOG, 2)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> faust.App:
    """An application that never connects, while an event of partition 2 is processed."""
    event = SimpleNamespace(message=SimpleNamespace(partition=2))
    monkeypatch.setattr(store_module, "current_event", lambda: event)
    return faust.App("tests", datadir=str(tmp_path), store="rocksdb://")


@pytest.fixture
def table(app: faust.App) -> NewTermsTable:
    """Its table of terms."""
    return NewTermsTable(app, partitions=4, options=table_options(load_settings()))


@pytest.fixture
def remembered(app: faust.App) -> LineageTable:
    """Its table of processes."""
    return LineageTable(app, partitions=4, options=table_options(load_settings()))


def _given(table: ChangelogTable) -> TableStore:
    store = table.store
    store.give({2: store.databases.open(2)})
    return store


def test_entries_are_read_and_written_where_they_are_assigned(table: NewTermsTable) -> None:
    """By the partition of the event; with the offset of their changelog beside them."""
    store = _given(table)
    assert (None, False, None) == (table.get(b"key"), b"key" in store, store.persisted_offset(PLACE))

    store[b"key"] = b"value"
    store.set_persisted_offset(PLACE, 41)

    assert (b"value", True, 41) == (table.get(b"key"), b"key" in store, store.persisted_offset(PLACE))
    assert store.persisted_offset(TP(CHANGELOG, 3)) is None


def test_entry_of_another_partition_is_no_unknown_entry(table: NewTermsTable) -> None:
    """It would be judged new: that its database is not there is an error, which ends the worker."""
    store = cast(TableStore, table.data)

    with pytest.raises(NotAssignedError, match="partition 2"):
        table.get(b"key")
    with pytest.raises(NotAssignedError, match="partition 2"):
        store[b"key"] = b"value"
    assert [] == store.databases.partitions()


def test_revoke_closes_and_a_late_confirmation_opens_nothing(table: NewTermsTable) -> None:
    """The database is free for whoever opens it next, and holds what it held."""
    store = _given(table)
    store.set_persisted_offset(PLACE, 41)
    store.revoke_partitions(cast(Any, table), {TP("another-topic", 2)})
    assert 41 == store.persisted_offset(PLACE)

    store.revoke_partitions(cast(Any, table), {PLACE, TP(CHANGELOG, 3)})
    store.set_persisted_offset(PLACE, 42)

    assert store.persisted_offset(PLACE) is None
    opened = store.databases.open(2)
    assert b"41" == opened.get(rocksdb.Store.offset_key)
    opened.close()


def test_assignment_opens_nothing(table: NewTermsTable) -> None:
    """The group waits for that callback; the rebuild opens databases after it."""
    store = cast(TableStore, table.data)
    asyncio.run(store.on_rebalance({PLACE}, set(), {PLACE}, 1))

    assert [] == store.databases.partitions()


def test_stop_closes_everything(table: NewTermsTable) -> None:
    """What was not revoked before is free again as well."""
    store = _given(table)
    asyncio.run(store.stop())

    store.databases.open(2).close()


def test_what_is_taken_is_the_takers(table: NewTermsTable) -> None:
    """The store has it no more, until it is given back."""
    store = _given(table)
    taken = store.take([1, 2])

    assert [2] == list(taken)
    assert {} == store.take([2])
    store.give(taken)
    assert [2] == list(store.take([2]))
    taken[2].close()


def test_processes_are_written_with_what_is_derived_of_them(remembered: LineageTable) -> None:
    """And read; the changelog gets them alone, in order, with the deletion of the one that made room."""
    store = _given(remembered)
    changes = processes("mail01", range(4), 3, 10**18)
    due = remembered.apply(changes)

    assert [Change(2, key, value) for key, value in changes] == due
    assert 1 == sum(change.value is None for change in due)
    opened = store.take([2])[2]
    assert entries_of(changes) == dict(opened.items())
    store.give({2: opened})
    assert [None, *(value for _, value in changes[1:] if value is not None)] == [
        remembered.read(key) for key, value in changes if value is not None
    ]


def test_what_is_refused_is_not_written_by_half(remembered: LineageTable) -> None:
    """All entries go to the database at once: none of those before a broken one is there."""
    store = _given(remembered)
    changes = processes("mail01", range(2), 3, 10**18)
    with pytest.raises(StateFormatError):
        remembered.apply([*changes, (changes[0][0], b"\x63broken")])

    assert {} == dict(store.take([2])[2].items())


def test_processes_of_another_partition_are_not_unknown(remembered: LineageTable) -> None:
    """That their database is not there is an error, which ends the worker."""
    with pytest.raises(NotAssignedError, match="partition 2 of table lineage"):
        remembered.read(b"key")
    with pytest.raises(NotAssignedError, match="partition 2 of table lineage"):
        remembered.apply([(b"key", None)])
    assert [] == remembered.store.databases.partitions()


def test_tables_have_databases_of_their_own(table: NewTermsTable, remembered: LineageTable) -> None:
    """Of one partition, in one folder; a revoke of one's changelog leaves the other open."""
    terms, lineages = _given(table), _given(remembered)
    terms[b"key"] = b"value"
    terms.set_persisted_offset(PLACE, 41)
    lineages.revoke_partitions(cast(Any, remembered), {PLACE})
    terms.revoke_partitions(cast(Any, table), {PLACE})

    assert remembered.read(b"key") is None
    assert lineages.persisted_offset(TP(remembered.changelog_topic_name, 2)) is None
    assert ["lineage-2.db", "new_terms-2.db"] == sorted(path.name for path in terms.path.glob("*.db"))
    assert "tests-lineage-changelog" == remembered.changelog_topic_name
    asyncio.run(lineages.stop())

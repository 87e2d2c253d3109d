"""What recovery, table and store take for granted of Faust and of RocksDB's binding is still so."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import faust
import pytest
from faust.stores import rocksdb
from faust.tables import base
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from mode.services import ServiceTask
from rocksdict import Rdict

from app.runtime.database import OFFSET_KEY, table_options, tables_folder
from app.runtime.recovery import BulkRecovery, BulkTableManager
from app.runtime.settings import load_settings
from app.runtime.store import TableStore
from app.runtime.table import NewTermsTable
from tests.runtime.databases import databases_in, entry, fill, overwrite_with_noise

if TYPE_CHECKING:
    from pathlib import Path

_TASKS = ("_restart_recovery", "_slurp_changelogs", "_publish_stats")


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    """An application that never connects."""
    return faust.App("tests", datadir=str(tmp_path), store="rocksdb://", TableManager=BulkTableManager)


def _table(app: faust.App) -> NewTermsTable:
    table = NewTermsTable(app, partitions=4, options=table_options(load_settings()))
    app.tables.add(table)
    return table


def test_overridden_methods_take_what_they_took() -> None:
    """What is overridden has the signature it was overridden with."""
    rebalance = ["self", "assigned", "revoked", "newly_assigned", "generation_id"]
    expected = {
        (rocksdb.Store, "_get"): ["self", "key"],
        (rocksdb.Store, "_contains"): ["self", "key"],
        (rocksdb.Store, "_set"): ["self", "key", "value"],
        (rocksdb.Store, "_db_for_partition"): ["self", "partition"],
        (rocksdb.Store, "persisted_offset"): ["self", "tp"],
        (rocksdb.Store, "set_persisted_offset"): ["self", "tp", "offset"],
        (rocksdb.Store, "revoke_partitions"): ["self", "table", "tps"],
        (rocksdb.Store, "assign_partitions"): ["self", "table", "tps", "generation_id"],
        (rocksdb.Store, "stop"): ["self"],
        (base.Collection, "_new_store"): ["self"],
        (TableManager, "on_rebalance"): rebalance,
        (Recovery, "on_rebalance"): rebalance,
        (Recovery, "on_partitions_revoked"): ["self", "revoked"],
        (Recovery, "on_recovery_completed"): ["self", "generation_id"],
        (Recovery, "on_stop"): ["self"],
        (Recovery, "_wait"): ["self", "coro", "timeout"],
    }

    assert expected == {
        (owner, name): list(inspect.signature(getattr(owner, name)).parameters) for owner, name in expected
    }


def test_tasks_of_recovery_are_ours() -> None:
    """Faust starts each task once, ours in the place of its own, and has none that we don't know."""
    found = {name for name in dir(BulkRecovery) if isinstance(getattr(BulkRecovery, name), ServiceTask)}

    assert set(_TASKS) == found
    assert all(name in vars(BulkRecovery) for name in _TASKS)


def test_application_has_our_manager_recovery_and_store(app: faust.App) -> None:
    """Each is what Faust makes when it first needs it."""
    table: Any = _table(app)

    assert isinstance(app.tables, BulkTableManager)
    assert isinstance(app.tables.recovery, BulkRecovery)
    assert isinstance(table.data, TableStore)


def test_databases_are_where_faust_keeps_them(app: faust.App, tmp_path: Path) -> None:
    """The check before the start looks at the same files, and at the same key, as the stock store would."""
    table: Any = _table(app)

    assert app.conf.tabledir == tables_folder(tmp_path)
    assert table.data.partition_path(3) == table.data.databases.path(3)
    assert rocksdb.Store.offset_key == OFFSET_KEY


def test_recovery_opens_nothing_to_learn_of_an_offset(app: faust.App) -> None:
    """The stock recovery asks for it in the callback for which the group waits; the store says none and opens none."""
    table: Any = _table(app)

    assert "table.persisted_offset(tp)" in inspect.getsource(Recovery._add)
    assert table.persisted_offset(faust.types.TP("tests-new_terms-changelog", 0)) is None
    assert [] == list(table.data.databases.partitions())


def test_end_of_recovery_resumes_all_but_changelogs() -> None:
    """We call it as it is: it seeks, lets the flow go on, and says that the worker is ready."""
    source = inspect.getsource(Recovery.on_recovery_completed)

    assert "if not self._is_changelog_tp(tp)" in source
    order = [
        source.index(part)
        for part in (
            "self.app.consumer_generation_id != generation_id",
            "consumer.perform_seek()",
            "self.completed.set()",
            "consumer.resume_flow()",
            "self.app.on_rebalance_end()",
        )
    ]
    assert sorted(order) == order


def test_faust_opens_no_database_by_itself() -> None:
    """All openings of the stock store go through methods that are ours, or that nothing calls."""
    source = inspect.getsource(rocksdb.Store)
    functions = {name: inspect.getsource(one) for name, one in vars(rocksdb.Store).items() if inspect.isfunction(one)}
    opening = ("_open_for_partition(", "rocksdb_options.open(")
    callers = {name for name, text in functions.items() if any(call in text for call in opening)}

    assert {"_db_for_partition", "_open_for_partition", "backup_partition"} == callers
    assert 2 == source.count("rocksdb_options.open(")


def test_database_is_free_once_it_is_closed(tmp_path: Path) -> None:
    """Its lock is gone at once, and what was written is there."""
    options = rocksdb.RocksDBOptions().as_options
    database = Rdict(str(tmp_path / "a.db"), options=options())
    database.put(b"key", b"value")
    database.close()
    again = Rdict(str(tmp_path / "a.db"), options=options())

    assert b"value" == again.get(b"key")
    again.close()


def test_iterator_must_be_asked_for_damage(tmp_path: Path) -> None:
    """The binding's fast iterator ends at a damaged block as if it were the last; a slow one knows by its status."""
    databases = databases_in(tmp_path)
    fill(databases, 0, [entry(number, 10**18) for number in range(300)])
    overwrite_with_noise(databases.path(0))
    database = databases.open(0)
    slow = database.iter()
    slow.seek_to_first()

    assert [] == list(database.items())
    assert not slow.valid()
    with pytest.raises(Exception, match=r"^Corruption: block checksum mismatch") as raised:
        slow.status()
    assert Exception is raised.type

"""Recovery: what was rebuilt for an assignment that is over is never used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import faust
import pytest
from faust.tables.manager import TableManager
from faust.types import TP

from app.runtime.database import table_options
from app.runtime.recovery import BulkRecovery, BulkTableManager
from app.runtime.settings import load_settings
from app.runtime.table import LineageTable, NewTermsTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHANGELOG: Final = TP("tests-new_terms-changelog", 0)


class Database:
    """Stands for an open one."""

    closed = False

    def close(self) -> None:
        """Give it up."""
        self.closed = True


class Rebuilding:
    """Stands for a rebuild: one database, and something that happens meanwhile."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *_: object) -> None:
        self.opened = {0: Database()}
        self.abandoned = False

    def run(self) -> None:
        """Work in the thread."""
        self.meanwhile()

    def abandon(self) -> None:
        """It is not wanted any more."""
        self.abandoned = True

    def close(self) -> None:
        """Close what was opened."""
        self.opened[0].close()


@pytest.fixture
def recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BulkRecovery:
    """That of an application with two tables which never connects; one partition of each is assigned."""
    app = faust.App("tests", datadir=str(tmp_path), store="rocksdb://", TableManager=BulkTableManager)
    table = NewTermsTable(app, partitions=4, options=table_options(load_settings()))
    processes = LineageTable(app, partitions=4, options=table_options(load_settings()))
    app.tables.add(table)
    app.tables.add(processes)
    monkeypatch.setattr("app.runtime.recovery.Rebuild", Rebuilding)
    found = cast(BulkTableManager, app.tables).recovery
    found.actives_for_table[table] = {CHANGELOG}
    found.actives_for_table[processes] = {TP("tests-lineage-changelog", 0)}
    return found


def _rebuilt(recovery: BulkRecovery, meanwhile: Callable[[], None], at: int = 0) -> tuple[bool, list[bool]]:
    """Whether recovery goes on with what was rebuilt, and of each table whose rebuild began whether it has it.

    Args:
        recovery: Ours.
        meanwhile: What happens while a rebuild is under way.
        at: Which one that is.
    """
    made: list[Rebuilding] = []

    class Watched(Rebuilding):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            if len(made) == at:
                self.meanwhile = meanwhile
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.runtime.recovery.Rebuild", Watched)
        done = asyncio.run(recovery._rebuilt())
    stores: list[Any] = [table.data for table in recovery.tables.values()]
    there = [bool(store.take([0])) for store in stores[: len(made)]]
    assert there == [not rebuild.opened[0].closed for rebuild in made]
    return done, there


def test_rebuilt_databases_are_handed_over(recovery: BulkRecovery) -> None:
    """Nothing happened meanwhile."""
    assert (True, [True, True]) == _rebuilt(recovery, lambda: None)


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("event", ["abandoned", "another assignment"])
def test_databases_of_an_assignment_that_is_over_are_closed(recovery: BulkRecovery, event: str, at: int) -> None:
    """It was abandoned, or another recovery is due although nobody abandoned this one; of all tables."""
    meanwhile = recovery.abandon if event == "abandoned" else recovery.signal_recovery_start.set

    assert (False, [False] * (at + 1)) == _rebuilt(recovery, meanwhile, at)


def test_rebalance_abandons_before_databases_are_closed(
    recovery: BulkRecovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the thread would write to what is closed under it, and the next one wait for it."""
    steps: list[str] = []

    async def on_rebalance(*_: object) -> None:
        steps.append("databases are closed")

    monkeypatch.setattr(TableManager, "on_rebalance", on_rebalance)
    monkeypatch.setattr(recovery, "abandon", lambda: steps.append("abandoned"))
    asyncio.run(recovery.tables.on_rebalance(set(), set(), set(), 1))

    assert ["abandoned", "databases are closed"] == steps

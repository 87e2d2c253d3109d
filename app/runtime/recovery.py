"""Faust's recovery of tables after a rebalance, with a bulk rebuild in the place of its reading of changelogs.

What is different from the stock service, and why:

- **Databases are opened and rebuilt in a thread** (`app.runtime.rebuild`): ten times as fast, and no callback of the
  group waits for a disk.
- **Changelog partitions are never read by Faust's consumer.** What the stock service receives of a partition that it
  does not know it applies to the table it saw last.
- **A rebalance or a stop abandons the rebuild at once.** The next begins when the thread of the last has ended, so
  that no two write to a database.
- **Nothing is given up after a time.** Stock waits for a seek as long as for a request, and goes on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast

from aiokafka.errors import IllegalStateError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

from app.runtime.rebuild import Rebuild, RecoveryProgress
from app.runtime.store import TableStore

PRIVATE_NAMES: Final = (
    "faust.tables.manager.TableManager._recovery",
    "faust.tables.recovery.Recovery._generation_id",
    "faust.tables.recovery.Recovery._publish_stats",
    "faust.tables.recovery.Recovery._restart_recovery",
    "faust.tables.recovery.Recovery._set_recovery_started",
    "faust.tables.recovery.Recovery._slurp_changelogs",
    "faust.tables.recovery.Recovery._wait",
)


class BulkRecovery(Recovery):
    """Recovers the tables in bulk."""

    _rebuild: Rebuild | None = None

    def abandon(self) -> None:
        """End the rebuild that is under way, if any: its assignment is over."""
        if self._rebuild is not None:
            self._rebuild.abandon()

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """What is being rebuilt may belong to someone else in a moment."""
        self.abandon()
        super().on_partitions_revoked(revoked)

    async def on_stop(self) -> None:
        """The thread ends soon after."""
        self.abandon()
        await super().on_stop()

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):  # type: ignore[arg-type]  # any event will do
                break
            self.signal_recovery_start.clear()
            generation = self._generation_id
            try:
                self._set_recovery_started()
                if await self._rebuilt():
                    await self.on_recovery_completed(generation)
            except (RebalanceAgain, IllegalStateError):
                continue  # another signal comes
            except ServiceStopped:
                break

    async def _rebuilt(self) -> bool:
        """Whether all tables hold what their changelogs do; False where the assignment is over."""
        tables = cast(BulkTableManager, self.tables)
        ended: list[tuple[TableStore, Rebuild]] = []
        try:
            for table in list(tables.values()):
                store = cast(TableStore, table.data)
                partitions = sorted(tp.partition for tp in self.actives_for_table.get(table, ()))
                rebuild = self._rebuild = Rebuild(
                    tables.link,
                    self.app.conf.id,
                    table.changelog_topic.get_topic_name(),
                    store.databases,
                    store.take(partitions),
                    partitions,
                    tables.progress,
                )
                if partitions:
                    await asyncio.to_thread(rebuild.run)
                self._rebuild = None
                ended.append((store, rebuild))
                if rebuild.abandoned or self.signal_recovery_start.is_set():
                    return False
            # Together and last: what one table was given would stay open where the next one's rebuild is abandoned.
            for store, rebuild in ended:
                store.give(rebuild.opened)
            ended.clear()
        finally:
            for _, rebuild in ended:
                rebuild.close()
        return True

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Read nothing."""

    @Service.task
    async def _publish_stats(self) -> None:
        """The rebuild tells how it gets on."""

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        del timeout
        await super()._wait(coro)


class BulkTableManager(TableManager):
    """Faust's table manager, whose recovery is ours.

    Attributes:
        link: How to reach Kafka, for librdkafka; to be set before the start.
        progress: How rebuilds get on.
    """

    _recovery: BulkRecovery | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.link: Mapping[str, str | int] = {}
        self.progress = RecoveryProgress()

    @property
    def recovery(self) -> BulkRecovery:
        """The service, made when it is first asked for."""
        if self._recovery is None:
            self._recovery = BulkRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """End a rebuild before its databases are closed."""
        self.recovery.abandon()
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

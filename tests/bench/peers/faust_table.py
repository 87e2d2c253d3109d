"""Stock Faust rebuilding a table from its changelog: `… faust_table BROKERS SOURCE GROUP EVENTS FOLDER`.

The changelog is `GROUP-new_terms-changelog` with EVENTS records. The store is RocksDB by rocksdict with the worker's
options. From the assignment, when recovery begins, to the moment at which Faust says that it is ready.
"""

from __future__ import annotations

import asyncio
from typing import Any

import faust
import uvloop
from yarl import URL

from app.runtime.database import table_options
from app.runtime.settings import Settings
from app.runtime.table_kind import NEW_TERMS
from tests.bench.marks import Count
from tests.bench.peers import Task


class _App(faust.App):
    count: Count
    wanted: int

    def on_rebalance_end(self) -> None:
        """The table is recovered."""
        super().on_rebalance_end()
        self.count.add(self.wanted, 0)


def main() -> None:
    """Recover, and stay until ended."""
    task = Task.from_arguments()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = _App(
        task.group,
        broker=f"kafka://{task.brokers}",
        datadir=task.folder,
        store=URL("rocksdb://"),
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        stream_wait_empty=True,
    )
    app.count, app.wanted = Count(task.events), task.events
    options = table_options(Settings.model_construct())
    table: Any = faust.Table(app, name=NEW_TERMS.name, key_type=bytes, value_type=bytes, partitions=4, options=options)
    app.tables.add(table)
    source = app.topic(task.topic, key_serializer="raw", value_serializer="raw")

    async def look(stream: Any) -> None:
        async for _ in stream:
            pass

    app.agent(source, name="bench.look")(look)

    async def assigned(*_: Any, **__: Any) -> None:
        app.count.start()

    app.on_partitions_assigned.connect(assigned, weak=False)
    worker = faust.Worker(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()

"""Stock Faust with an agent that does nothing but count: what every record costs before a rule has seen it."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
import uvloop

from tests.bench.marks import Count
from tests.bench.peers import NEEDLE, Task


class _App(faust.App):
    count: Count

    def on_rebalance_end(self) -> None:
        """Records flow from here on; the same moment as the worker's ready line."""
        super().on_rebalance_end()
        self.count.start()


def main() -> None:
    """Read to the end."""
    task = Task.from_arguments()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = _App(
        task.group,
        broker=f"kafka://{task.brokers}",
        datadir=task.folder,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        # An idle leader topic would hold up the fetches of the busy one; this favours Faust.
        topic_disable_leader=True,
    )
    app.count = Count(task.events)
    source = app.topic(task.topic, key_serializer="raw", value_serializer="raw")

    async def look(stream: Any) -> None:
        async for value in stream:
            app.count.start()
            app.count.add(1, NEEDLE in value)

    app.agent(source, name="bench.look")(look)
    worker = faust.Worker(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()

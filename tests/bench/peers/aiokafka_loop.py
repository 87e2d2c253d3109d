"""A stock aiokafka loop that only tests for the needle."""

from __future__ import annotations

from typing import Any, Final

import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

from tests.bench.marks import Count, hold
from tests.bench.peers import NEEDLE, Task

_WAIT_MS: Final = 500


class _Started(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped here
    def __init__(self, count: Count) -> None:
        self._count = count

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Nothing is kept for a partition."""

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """The fetches begin."""
        if assigned:
            self._count.start()


async def read(task: Task) -> None:
    """Read to the end."""
    count = Count(task.events)
    consumer = AIOKafkaConsumer(bootstrap_servers=task.brokers, group_id=task.group, auto_offset_reset="earliest")
    consumer.subscribe([task.topic], listener=_Started(count))
    await consumer.start()
    done = False
    while not done:
        for records in (await consumer.getmany(timeout_ms=_WAIT_MS)).values():
            done = count.add(len(records), sum(NEEDLE in record.value for record in records))
    hold()


if __name__ == "__main__":
    uvloop.run(read(Task.from_arguments()))

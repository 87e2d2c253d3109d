"""A confluent-kafka (librdkafka) loop that only tests for the needle."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import Consumer

from tests.bench.marks import Count, hold
from tests.bench.peers import NEEDLE, Task

_AT_ONCE: Final = 1000
_BACKOFF_MS: Final = 10
"""By default librdkafka waits a second before it fetches again once its queue was full, and so idles most of the time:
39,000 events/s instead of 230,000 on lz4 (measured)."""


def main() -> None:
    """Read to the end."""
    task = Task.from_arguments()
    count = Count(task.events)
    settings = {
        "bootstrap.servers": task.brokers,
        "group.id": task.group,
        "auto.offset.reset": "earliest",
        "fetch.queue.backoff.ms": _BACKOFF_MS,
    }
    consumer = Consumer(settings)

    def assigned(*_: Any) -> None:
        count.start()

    consumer.subscribe([task.topic], on_assign=assigned)
    while True:
        messages = consumer.consume(_AT_ONCE, 0.5)
        found = sum(NEEDLE in (message.value() or b"") for message in messages)
        if count.add(len(messages), found):
            break
    hold()


if __name__ == "__main__":
    main()

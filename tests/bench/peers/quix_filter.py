"""Quix Streams with a filter over raw bytes; runs in a virtual environment of the bench's."""

from __future__ import annotations

from quixstreams import Application  # type: ignore[import-not-found, unused-ignore]  # not in the product's environment

from tests.bench.marks import Count, hold
from tests.bench.peers import NEEDLE, Task


def main() -> None:
    """Read to the end."""
    task = Task.from_arguments()
    count = Count(task.events)
    app = Application(
        broker_address=task.brokers,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        state_dir=task.folder,
        loglevel="WARNING",
    )

    def passes(value: bytes) -> bool:
        count.start()
        hit = NEEDLE in value
        if count.add(1, hit):
            hold()
        return hit

    app.dataframe(app.topic(task.topic, value_deserializer="bytes")).filter(passes)
    app.run()


if __name__ == "__main__":
    main()

"""Bytewax with a filter over raw bytes, one worker; runs in a virtual environment of the bench's."""

from __future__ import annotations

from typing import Any

import bytewax.operators as op  # type: ignore[import-not-found, unused-ignore]  # not in the product's environment
from bytewax.connectors.kafka import KafkaSource  # type: ignore[import-not-found, unused-ignore]
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found, unused-ignore]
from bytewax.testing import TestingSink, run_main  # type: ignore[import-not-found, unused-ignore]

from tests.bench.marks import Count, hold
from tests.bench.peers import NEEDLE, Task


def main() -> None:
    """Read to the end. Bytewax commits nothing to Kafka."""
    task = Task.from_arguments()
    count = Count(task.events)

    def passes(message: Any) -> bool:
        count.start()
        hit = NEEDLE in message.value
        if count.add(1, hit):
            hold()
        return hit

    flow = Dataflow("bench")
    # Tailing, as a service does; the process is ended when all was seen.
    messages = op.input("source", flow, KafkaSource(task.brokers.split(","), [task.topic]))
    op.output("sink", op.filter("filter", messages, passes), TestingSink([]))
    run_main(flow)


if __name__ == "__main__":
    main()

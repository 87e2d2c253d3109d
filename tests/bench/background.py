"""Sends ordinary events at a steady pace: `python -m tests.bench.background BROKERS TOPIC RATE SECONDS`."""

from __future__ import annotations

import sys
import time
from typing import Final

from confluent_kafka import Producer

from tests.bench.corpus import PARTITIONS, Events

_TICK_S: Final = 0.005
_DISTINCT: Final = 5003


def main() -> None:
    """Send as librdkafka does by default (linger 5 ms), compressed with lz4; prints the pace that was reached."""
    brokers, topic, rate, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    values = list(Events("large", _DISTINCT).stream(_DISTINCT, 0))[:-100]  # without the markers at the end
    producer = Producer({"bootstrap.servers": brokers, "compression.type": "lz4"})
    print("sending", flush=True)
    begun = time.monotonic()
    sent = 0
    while (elapsed := time.monotonic() - begun) < seconds:
        due = int(elapsed * rate)
        for number in range(sent, due):
            producer.produce(topic, value=values[number % len(values)], partition=number % PARTITIONS)
        sent = due
        producer.poll(0)
        time.sleep(_TICK_S)
    producer.flush(10)
    print(f"pace {sent / seconds:.0f}", flush=True)


if __name__ == "__main__":
    main()

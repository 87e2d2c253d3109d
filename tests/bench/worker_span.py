"""The worker's span, watched from outside: the product has no part in it.

It begins with the ready line, from which on source records are let in, and ends when the alerts of the markers,
which are the last records of each partition, can be read by a consumer: by then everything before them has been
scanned, forwarded, judged and acknowledged.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from tests.bench.corpus import MARKER, MARKERS, PARTITIONS, Source, delete
from tests.bench.marks import cpu_ticks
from tests.bench.measuring import DEADLINE_S, TICKS_A_SECOND, ContenderError, peak_rss
from tests.bench.results import Span
from tests.broker.installation import Installation
from tests.broker.waiting import wait_until
from tests.broker.worker import Worker, WorkerEndedError

_READY_S: Final = 60.0
_READY_PAUSE_S: Final = 0.01
_POLL_S: Final = 0.2
_ASK_S: Final = 20.0
_SHORT_WAIT_MS: Final = 50
_MARKER_NAME: Final = re.compile(rf"\b{MARKER}[0-9]+\b".encode())


def installation(brokers: str, topic: str, fetch_max_wait: int, link: Mapping[str, str] | None = None) -> Installation:
    """Topics of a new prefix, and settings for workers that read this source; the rest as users have it.

    Args:
        brokers: Kafka's address.
        topic: The source.
        fetch_max_wait: Milliseconds. As the worker gets ready, a fetch of its empty topics is under way, and the
            source has to wait for its end: half a second with the default, which belongs to the start-up.
        link: Settings of the link to Kafka; by default it is in the clear.
    """
    settings = {"SOURCE_TOPICS": topic, "FETCH_MAX_WAIT": str(fetch_max_wait), "SESSION_TIMEOUT": "30s", **(link or {})}
    made = Installation(brokers, f"bench-{uuid.uuid4().hex[:8]}", settings=settings)
    done = made.run("topics", "create")
    if done.returncode != 0:
        raise ContenderError(f"topics create: {done.stderr.strip()[-300:]}")
    return made


def alerts_consumer(brokers: str, made: Installation, offset: int = 0) -> Consumer:
    """A consumer of all alerts, in no group; it has the alerts as soon as they can be had."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench-watch", "enable.auto.commit": False})
    topic = made.names["alerts"]
    consumer.assign([TopicPartition(topic, partition, offset) for partition in range(PARTITIONS)])
    return consumer


def run_workers(
    brokers: str, source: Source, *, workers: int = 1, sieve: bool = True, link: Mapping[str, str] | None = None
) -> Span:
    """Run one worker or more over a source from its beginning.

    Several must join in one rebalance: the broker has to wait for them.

    Raises:
        ContenderError: One ended, was too slow, or forwarded something else than the matches.
    """
    with ExitStack() as stack:
        made = stack.enter_context(installation(brokers, source.topic, _SHORT_WAIT_MS, link))
        stack.callback(delete, brokers, made.names.values())
        consumer = alerts_consumer(brokers, made)
        stack.callback(consumer.close)
        started = [made.worker(sieve="true" if sieve else "false") for _ in range(workers)]
        try:
            return _watch(consumer, started, source, made)
        except (WorkerEndedError, TimeoutError) as error:
            raise ContenderError(" / ".join(str(error).splitlines()[-3:])[-400:]) from None


def _watch(consumer: Consumer, workers: list[Worker], source: Source, made: Installation) -> Span:
    pids = [worker.pid or 0 for worker in workers]
    begun, before = _wait_ready(workers, source)
    seen: set[bytes] = set()
    partitions: set[int | None] = set()
    deadline = time.monotonic() + DEADLINE_S
    while len(seen) < MARKERS:
        message = consumer.poll(_POLL_S)
        if message is not None and message.error() is None:
            found = _marker(message.value() or b"")
            seen |= found
            partitions |= {message.partition() for _ in found}
        elif time.monotonic() > deadline:
            raise ContenderError(f"{len(seen)} of {MARKERS} markers after {DEADLINE_S:g} s: {workers[0].tail()[-300:]}")
        elif message is None:
            for worker in workers:
                worker.check_running()
    ended = time.monotonic()
    spent = sum(cpu_ticks(pid) for pid in pids) - before
    peak = max(peak_rss(pid) for pid in pids)
    forwarded = sum(
        consumer.get_watermark_offsets(TopicPartition(made.names["matches"], number), timeout=_ASK_S)[1]
        for number in range(PARTITIONS)
    )
    # Alerts and matches are keyed alike: markers in all partitions of the one went through all of the other.
    if len(partitions) != PARTITIONS:
        raise ContenderError(
            f"the markers' hosts lie in {len(partitions)} of {PARTITIONS} partitions: take more markers"
        )
    if forwarded != source.matches:
        raise ContenderError(f"it forwarded {forwarded} matches of {source.matches}")
    return Span(source.events, ended - begun, spent / TICKS_A_SECOND, peak)


def _wait_ready(workers: list[Worker], source: Source) -> tuple[float, int]:
    """When the first was ready, and the CPU ticks of all of them, each as it was when that one was ready."""
    times: dict[int, tuple[float, int]] = {}

    def all_ready() -> bool:
        for number, worker in enumerate(workers):
            worker.check_running()
            if number not in times and f" {source.topic}:" in worker.output().partition("worker ready")[2]:
                times[number] = time.monotonic(), cpu_ticks(worker.pid or 0)
        return len(times) == len(workers)

    wait_until(all_ready, _READY_S, "ready lines", pause=_READY_PAUSE_S)
    return min(at for at, _ in times.values()), sum(ticks for _, ticks in times.values())


def _marker(alert: bytes) -> set[bytes]:
    found = _MARKER_NAME.search(alert)
    return {found[0]} if found else set()

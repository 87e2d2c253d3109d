"""Produce → alert, while ordinary events stream by."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Final

from confluent_kafka import Consumer, Producer

from tests.bench.corpus import PARTITIONS, delete, match
from tests.bench.marks import cpu_ticks
from tests.bench.measuring import TICKS_A_SECOND, ContenderError
from tests.bench.results import Latency
from tests.bench.worker_span import alerts_consumer, installation
from tests.broker.jars import REPOSITORY
from tests.broker.process import Child, Guard
from tests.broker.topics import Topic, create_topics
from tests.broker.waiting import wait_until

BACKGROUND: Final = 10_000
MATCHES_A_SECOND: Final = 10

_SETTLE_S: Final = 3.0
_DEFAULT_WAIT_MS: Final = 500
_LAST_S: Final = 10.0
_START_S: Final = 60.0
_NAME: Final = re.compile(rb"\blatency([0-9]+)\b")


def measure(brokers: str, seconds: float) -> Latency:
    """Send matches of new terms at a steady pace, each with a name of its own, and wait for each one's alert.

    The match is sent without linger, so that what is measured is the worker and Kafka.

    Raises:
        ContenderError: An alert did not come, or the background could not be sent.
    """
    topic = f"bench-latency-{uuid.uuid4().hex[:8]}"
    create_topics(brokers, Topic(topic, PARTITIONS))
    with ExitStack() as stack:
        made = stack.enter_context(installation(brokers, topic, _DEFAULT_WAIT_MS))
        stack.callback(delete, brokers, [topic, *made.names.values()])
        worker = made.worker()
        worker.wait_ready()
        alerts = alerts_consumer(brokers, made)
        stack.callback(alerts.close)
        background = _background(stack, brokers, topic, seconds + _SETTLE_S + 1)
        wait_until(lambda: "sending" in background.output(), _START_S, "the background")
        _play(brokers, topic, alerts, _SETTLE_S, first=10**6)
        before = cpu_ticks(worker.pid or 0)
        sent, came = _play(brokers, topic, alerts, seconds, first=0)
        share = (cpu_ticks(worker.pid or 0) - before) / TICKS_A_SECOND / seconds
        wait_until(lambda: not background.running, _START_S, "the background's end")
        pace = re.search(r"pace (\d+)", background.output())
    missing = sent.keys() - came.keys()
    if missing or pace is None:
        raise ContenderError(f"{len(missing)} of {len(sent)} alerts did not come; {background.tail()[-200:]}")
    took = sorted((came[number] - sent[number]) * 1000 for number in sent)
    hundredths = statistics.quantiles(took, n=100, method="inclusive")
    return Latency(float(pace[1]), len(took), statistics.median(took), hundredths[98], took[-1], share)


def _play(
    brokers: str, topic: str, alerts: Consumer, seconds: float, *, first: int
) -> tuple[dict[int, float], dict[int, float]]:
    """When each match was sent and when its alert came."""
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
    random = Random(first)
    sent: dict[int, float] = {}
    came: dict[int, float] = {}
    begun = time.monotonic()
    count = int(seconds * MATCHES_A_SECOND)
    while len(came) < count and time.monotonic() < begun + seconds + _LAST_S:
        now = time.monotonic()
        if len(sent) < count and now >= begun + len(sent) / MATCHES_A_SECOND:
            number = first + len(sent)
            value = match(random, number % 500, f"latency{number}", time.time_ns())
            sent[number] = time.monotonic()
            producer.produce(topic, value=value, partition=number % PARTITIONS)
            producer.poll(0)
        due = begun + len(sent) / MATCHES_A_SECOND
        message = alerts.poll(max(0.0, min(due - time.monotonic(), 0.1)) if len(sent) < count else 0.1)
        if message is not None and message.error() is None:
            found = _NAME.search(message.value() or b"")
            if found and int(found[1]) in sent:
                came.setdefault(int(found[1]), time.monotonic())
    producer.flush(_LAST_S)
    return sent, came


def _background(stack: ExitStack, brokers: str, topic: str, seconds: float) -> Child:
    folder = Path(tempfile.mkdtemp(prefix="eximwatch-bench-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    guard = Guard(folder)
    stack.callback(guard.close)
    child = Child(
        [sys.executable, "-m", "tests.bench.background", brokers, topic, str(BACKGROUND), str(seconds)],
        env=dict(os.environ),
        cwd=REPOSITORY,
        log=folder / "background.log",
        guard=guard,
    )
    child.start()
    stack.callback(child.kill)
    return child

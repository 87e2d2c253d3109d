"""A worker that is stuck, frozen or cut off ends by itself, says why, and loses nothing."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.broker.history import history, replayed
from tests.broker.installation import Installation
from tests.broker.sabotage import KINDS
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = pytest.mark.broker

_SETTINGS = {"SESSION_TIMEOUT": "3s", "WATCHDOG_TIMEOUT": "4s", "EFFECT_TIMEOUT": "3s"}
# Longer than the watchdog's limit and the session together.
_FROZEN_S = 9.0
_STUCK = {
    "no_fetch": "is read to offset",
    "never_done": "is not done although nothing is in process",
    "no_commit": "is committed to offset",
    "blocked_loop": "the worker's event loop has stood still",
}


@contextmanager
def _stream(kafka: Kafka | GivenKafka, prefix: str) -> Iterator[tuple[Installation, int]]:
    """An installation with a stream to judge, and the count of alerts due; their ids are compared at the end."""
    sent = history(31, 300, noise=300)
    expected = {alert.id for alert in replayed(sent)}
    with Installation(kafka.brokers, prefix, settings=_SETTINGS).create() as installation:
        installation.play(record.keyed for record in sent)
        yield installation, len(expected)
        assert expected == {alert.id for alert in installation.alerts()}
        assert [] == installation.dead_letters()


@pytest.mark.parametrize("kind", KINDS)
def test_worker_without_progress_ends_with_a_code_of_its_own(
    kafka: Kafka | GivenKafka, topic_prefix: str, kind: str
) -> None:
    """Something is to be done, Kafka answers and nothing moves: it ends, and a sound worker goes on from there."""
    with _stream(kafka, topic_prefix) as (installation, _):
        broken = installation.worker(command=("-m", "tests.broker.sabotage", kind, "worker"))
        broken.wait_ready()
        code = broken.wait_end(60)

        assert (9, True) == (code, _STUCK[kind] in broken.output()), broken.tail()
        installation.wait_caught_up(installation.worker())


def test_frozen_worker_ends_before_it_writes_again(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """It was frozen past its session and another one has its partitions: thawed, it must not write what is stale."""
    with _stream(kafka, topic_prefix) as (installation, due):
        frozen = installation.worker()
        installation.wait_alerts(due // 8, frozen)
        frozen.pause()
        other = installation.worker()
        installation.wait_caught_up(other)
        alerts = len(installation.alerts())
        frozen.resume()
        # Thawed, it has records in hand; with none it would only join the group again.
        code = frozen.wait_end(30)

        assert 10 == code, frozen.tail()
        assert "the last heartbeat that the group took is" in frozen.output()
        assert alerts == len(installation.alerts())


def test_idle_worker_stops_in_time_without_kafka(kafka: Kafka, topic_prefix: str) -> None:
    """Nothing is in hand, and nobody to leave the group at: it ends within the ten seconds all the same."""
    with _stream(kafka, topic_prefix) as (installation, _):
        worker = installation.worker(watchdog_timeout="60s")
        installation.wait_caught_up(worker)
        kafka.kill()
        worker.stop(10)
        kafka.restart()

        assert worker.exit_code in (0, 6)
        assert "Traceback" not in worker.output()


def test_idle_worker_outlives_a_broker_that_is_frozen_for_long(kafka: Kafka, topic_prefix: str) -> None:
    """Without Kafka there is no progress to be asked for: it waits past all its limits, and goes on."""
    sent = history(31, 300, noise=300)
    with Installation(kafka.brokers, topic_prefix, settings=_SETTINGS).create() as installation:
        installation.play(record.keyed for record in sent[:400])
        worker = installation.worker()
        installation.wait_caught_up(worker)
        kafka.pause()
        thawed_at = time.monotonic() + _FROZEN_S
        wait_until(lambda: time.monotonic() > thawed_at, 60, "the time for which Kafka is frozen")
        kafka.resume()
        installation.play(record.keyed for record in sent[400:])
        installation.wait_caught_up(worker)
        assert {alert.id for alert in replayed(sent)} == {alert.id for alert in installation.alerts()}

"""Workers that end in mid-stream, in order or not, lose no alert and raise none that was not due."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.broker.history import history, replayed
from tests.broker.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.worker import Worker

pytestmark = pytest.mark.broker

_MATCHES = 500
_STOP_S = 15
# A killed worker's partitions move after this.
_SETTINGS = {"SESSION_TIMEOUT": "3s"}


@contextmanager
def _stream(kafka: Kafka | GivenKafka, prefix: str, seed: int) -> Iterator[tuple[Installation, int]]:
    """An installation with a stream to judge, and the count of alerts due; their ids are compared at the end."""
    sent = history(seed, _MATCHES, noise=200)
    expected = {alert.id for alert in replayed(sent)}
    with Installation(kafka.brokers, prefix, settings=_SETTINGS).create() as installation:
        installation.play(record.keyed for record in sent)
        yield installation, len(expected)
        # At least once: repeated ids are fine, absent or other ones never.
        assert expected == {alert.id for alert in installation.alerts()}
        assert [] == installation.dead_letters()


def _next_worker(installation: Installation, ended: Worker, data: str) -> Worker:
    """The same worker started again, or another one that has to rebuild its state from the changelog."""
    if data == "another":
        return installation.worker()
    ended.start()
    return ended


@pytest.mark.parametrize("data", ["same", "another"])
def test_stopped_worker_goes_on_where_it_was(kafka: Kafka | GivenKafka, topic_prefix: str, data: str) -> None:
    """SIGTERM in mid-stream ends with 0 within 15 s; the next start, also without the data, goes on from there."""
    with _stream(kafka, topic_prefix, 11) as (installation, due):
        worker = installation.worker()
        installation.wait_alerts(due // 4, worker)
        assert 0 == worker.stop(_STOP_S)
        assert 0 < installation.lag()
        worker = _next_worker(installation, worker, data)
        installation.wait_caught_up(worker)
        assert 0 == worker.stop(_STOP_S)


@pytest.mark.parametrize("data", ["same", "another"])
def test_killed_worker_loses_nothing(kafka: Kafka | GivenKafka, topic_prefix: str, data: str) -> None:
    """SIGKILL in mid-stream, again and again: the next start repeats what was not committed, with equal ids."""
    with _stream(kafka, topic_prefix, 12) as (installation, due):
        worker = installation.worker()
        for part in (0.2, 0.6):
            installation.wait_alerts(int(due * part), worker)
            worker.kill()
            assert 0 < installation.lag()
            worker = _next_worker(installation, worker, data)
        installation.wait_caught_up(worker)


def test_partitions_of_a_killed_worker_move(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Of two workers one is killed in mid-stream; the other takes over its partitions with their state."""
    with _stream(kafka, topic_prefix, 13) as (installation, due):
        workers = [installation.worker(), installation.worker()]
        installation.wait_alerts(due // 4, *workers)
        killed, left = workers
        killed.kill()
        installation.wait_caught_up(left)
        installation.wait_shared([left])


def test_worker_joins_and_leaves_in_mid_stream(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """A rolling restart: partitions go to a second worker and come back while the stream goes on."""
    with _stream(kafka, topic_prefix, 14) as (installation, due):
        first = installation.worker()
        installation.wait_alerts(due // 8, first)
        second = installation.worker()
        installation.wait_alerts(due // 2, first, second)
        assert 0 == first.stop(_STOP_S)
        first.start()
        installation.wait_caught_up(first, second)

"""A worker that is stuck, frozen or cut off ends by itself, says why, and loses nothing."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.broker.history import history, replayed
from tests.broker.installation import Installation
from tests.broker.waiting import wait_until
from tests.broker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.records import Outgoing

pytestmark = pytest.mark.broker

_SETTINGS = {"SESSION_TIMEOUT": "3s", "WATCHDOG_TIMEOUT": "4s", "EFFECT_TIMEOUT": "3s"}
# Longer than the watchdog's limit and the session together.
_FROZEN_S = 9.0
_STUCK = {
    "no_fetch": "is read to offset",
    "never_done": "is not done although it is neither in process nor waiting for it",
    "no_commit": "is committed to offset",
    "blocked_loop": "the worker's event loop has stood still",
}


_HALF = 300


@contextmanager
def _stream(kafka: Kafka | GivenKafka, prefix: str) -> Iterator[tuple[Installation, list[Outgoing]]]:
    """An installation with half of a stream to judge, and the other half; alerts are compared at the end."""
    sent = history(31, 300, noise=300)
    with Installation(kafka.brokers, prefix, settings=_SETTINGS).create() as installation:
        installation.play(record.keyed for record in sent[:_HALF])
        yield installation, [record.keyed for record in sent[_HALF:]]
        assert {alert.id for alert in replayed(sent)} == {alert.id for alert in installation.alerts()}
        assert [] == installation.dead_letters()


@pytest.mark.parametrize("kind", _STUCK)
def test_worker_without_progress_ends_with_a_code_of_its_own(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path, kind: str
) -> None:
    """Something is to be done, Kafka answers and nothing moves: it ends, and a sound worker goes on from there."""
    with _stream(kafka, topic_prefix) as (installation, rest):
        command = ("-m", "tests.broker.sabotage", kind, "worker")
        broken = installation.worker(command=command, data_dir=str(tmp_path / "data"))
        installation.wait_caught_up(broken)
        (tmp_path / "data.break").touch()
        installation.play(rest)
        code = broken.wait_end(60)

        assert (9, True) == (code, _STUCK[kind] in broken.output()), broken.tail()
        installation.wait_caught_up(installation.worker())


def test_topic_that_the_client_was_not_told_of_is_no_idle_worker(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Its broker left the matches topic out of its answer: assigned without it, the worker would wait for ever."""
    sent = history(31, 100, noise=50)
    with Installation(kafka.brokers, topic_prefix, settings=_SETTINGS).create() as installation:
        (tmp_path / "data.break").touch()
        command = ("-m", "tests.broker.sabotage", "unknown_topic", "worker")
        broken = installation.worker(command=command, data_dir=str(tmp_path / "data"))
        code = broken.wait_end(60)
        installation.play(record.keyed for record in sent)
        installation.wait_caught_up(installation.worker())

        assert (9, True) == (code, "the worker's client knows nothing of topic" in broken.output()), broken.tail()
        assert {alert.id for alert in replayed(sent)} == {alert.id for alert in installation.alerts()}


def test_topic_that_the_client_is_told_of_later_is_read(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """The client asks again before the watchdog has enough, joins again, and the worker goes on."""
    sent = history(32, 100, noise=50)
    with Installation(kafka.brokers, topic_prefix, settings=_SETTINGS).create() as installation:
        (tmp_path / "data.break").touch()
        command = ("-m", "tests.broker.sabotage", "unknown_topic", "worker")
        worker = installation.worker(command=command, data_dir=str(tmp_path / "data"), watchdog_timeout="50s")
        worker.wait_ready()
        (tmp_path / "data.break").unlink()
        installation.play(record.keyed for record in sent)
        installation.wait_caught_up(worker)

        assert {alert.id for alert in replayed(sent)} == {alert.id for alert in installation.alerts()}


def test_kafka_that_is_gone_at_the_start_is_one_line(tmp_path: Path) -> None:
    """Also where it goes after the checks: code 5, and what failed."""
    settings = {"EXIMWATCH_BROKERS": "127.0.0.1:1", "EXIMWATCH_CHECK_TOPICS": "false"}
    with Worker({**settings, "EXIMWATCH_DATA_DIR": str(tmp_path / "data")}) as worker:
        code = worker.wait_end(60)

        assert (5, True) == (code, worker.tail().endswith("; start again, nothing is lost")), worker.tail()
        assert "Traceback" not in worker.output()


def test_frozen_worker_ends_before_it_writes_again(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """It was frozen past its session and another one has its partitions: thawed, it must not write what is stale."""
    with _stream(kafka, topic_prefix) as (installation, rest):
        # Thawed, it is past its other limits too, unless they are longer.
        frozen = installation.worker(effect_timeout="50s", watchdog_timeout="60s")
        installation.wait_alerts(20, frozen)
        frozen.pause()
        installation.play(rest)
        other = installation.worker()
        installation.wait_caught_up(other)
        alerts = len(installation.alerts())
        frozen.resume()
        # It has records in hand; with none it would only join the group again.
        code = frozen.wait_end(30)

        assert 10 == code, frozen.tail()
        assert "the last heartbeat that the group took is" in frozen.output()
        assert alerts == len(installation.alerts())


def test_idle_worker_stops_in_time_without_kafka(kafka: Kafka, topic_prefix: str) -> None:
    """Nothing is in hand, and nobody to leave the group at: it ends within the ten seconds all the same."""
    with _stream(kafka, topic_prefix) as (installation, rest):
        worker = installation.worker()
        installation.wait_caught_up(worker)
        kafka.kill()
        code = worker.stop(10)
        kafka.restart()

        assert (0, False) == (code, "Traceback" in worker.output()), worker.tail()
        installation.play(rest)
        worker.start()
        installation.wait_caught_up(worker)


def test_idle_worker_outlives_a_broker_that_is_frozen_for_long(kafka: Kafka, topic_prefix: str) -> None:
    """Without Kafka there is no progress to be asked for: it waits past all its limits, and goes on."""
    with _stream(kafka, topic_prefix) as (installation, rest):
        worker = installation.worker()
        installation.wait_caught_up(worker)
        kafka.pause()
        thawed_at = time.monotonic() + _FROZEN_S
        wait_until(lambda: time.monotonic() > thawed_at, 60, "the time for which Kafka is frozen")
        kafka.resume()
        installation.play(rest)
        installation.wait_caught_up(worker)

"""The worker with its sieve on and off: the same alerts, nothing lost, and nothing read twice without need."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.broker.history import history, replayed
from tests.broker.installation import Installation
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.worker import Worker

pytestmark = pytest.mark.broker

_COUNTS = re.compile(r"counts: scanned=(\d+) null=\d+ candidates=(\d+)")
_SETTINGS = {"SESSION_TIMEOUT": "3s"}


def _counts(worker: Worker) -> tuple[int, int]:
    """Scanned records and candidates by the worker's last word."""
    scanned, candidates = _COUNTS.findall(worker.output())[-1]
    return int(scanned), int(candidates)


@contextmanager
def _stream(
    kafka: Kafka | GivenKafka, prefix: str, sieve: str, matches: int, noise: int
) -> Iterator[tuple[Installation, int]]:
    """A stream to judge with the sieve on or off, and how many alerts are due; ids are compared at the end."""
    sent = history(21, matches, noise=noise)
    expected = {alert.id for alert in replayed(sent)}
    with Installation(kafka.brokers, prefix, settings={**_SETTINGS, "SIEVE": sieve}).create() as installation:
        installation.play(record.keyed for record in sent)
        yield installation, len(expected)
        assert expected == {alert.id for alert in installation.alerts()}
        assert [] == installation.dead_letters()


@pytest.mark.parametrize("sieve", ["true", "false"])
def test_each_record_is_judged_once_where_nothing_fails(
    kafka: Kafka | GivenKafka, topic_prefix: str, sieve: str
) -> None:
    """On or off, the alerts are those of `replay`, none of them twice, and the counts are those of the records."""
    with _stream(kafka, topic_prefix, sieve, 300, 3000) as (installation, due):
        worker = installation.worker()
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        assert due == len(installation.alerts())
        assert len(history(21, 300, noise=3000)) == sum(_counts(worker))


def test_stretch_without_matches_is_committed_to_its_end(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Where nothing matters offsets move all the same, and the next start reads none of it again."""
    with _stream(kafka, topic_prefix, "true", 0, 5000) as (installation, _):
        for expected in (5000, 0):
            worker = installation.worker()
            worker.wait_ready()
            installation.wait_caught_up(worker)
            assert 0 == worker.stop()
            assert (expected, 0) == _counts(worker)


def test_stop_in_mid_batch_goes_on_there(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """A worker that is stopped between two records of one batch goes on with the second one: nothing comes twice."""
    with _stream(kafka, topic_prefix, "true", 400, 0) as (installation, due):
        worker = installation.worker()
        for part in (0.2, 0.5, 0.8):
            installation.wait_alerts(int(due * part), worker)
            assert 0 == worker.stop()
            worker.start()
        installation.wait_caught_up(worker)
        assert due == len(installation.alerts())
        sources = [dict(match.headers) for match in installation.matches()]
        places = [(found["eximwatch.source.partition"], found["eximwatch.source.offset"]) for found in sources]
        assert sorted(set(places)) == sorted(places)


@pytest.mark.parametrize("sieve", ["true", "false"])
def test_broker_that_dies_twice_costs_nothing(kafka: Kafka, topic_prefix: str, sieve: str) -> None:
    """The worker waits for its broker, or ends and is started again; either way every alert comes."""
    with _stream(kafka, topic_prefix, sieve, 400, 400) as (installation, due):
        worker = installation.worker(effect_timeout="10s")

        def reached(count: int) -> bool:
            """As a supervisor does: a send that the dead broker never answered ends the worker in time."""
            if worker.exit_code is not None:
                worker.start()
            return len(installation.alerts()) >= count and (count < due or not installation.lag())

        for count in (due // 5, due * 3 // 5):
            wait_until(lambda count=count: reached(count), 120, f"{count} alerts")  # type: ignore[misc]
            kafka.kill()
            kafka.restart()
        wait_until(lambda: reached(due), 120, "the worker to catch up")


def test_stop_without_kafka_ends_in_time_and_loses_nothing(kafka: Kafka, topic_prefix: str) -> None:
    """What was begun can't be finished then: the worker ends hard, says so, and the next start goes on from there."""
    with _stream(kafka, topic_prefix, "true", 300, 300) as (installation, due):
        # Of the limits that end it that of an effect is the shortest here.
        worker = installation.worker(effect_timeout="5s", session_timeout="30s")
        installation.wait_alerts(due // 5, worker)
        kafka.kill()
        code = worker.stop()
        kafka.restart()

        assert 6 == code
        assert "could not be finished and committed within 5 s" in worker.output()
        worker.start()
        installation.wait_caught_up(worker)


@pytest.mark.parametrize("sieve", ["true", "false"])
def test_records_that_retention_took_are_told(kafka: Kafka | GivenKafka, topic_prefix: str, sieve: str) -> None:
    """A worker that was away too long says which offsets it never saw, by partition, and goes on with what is left."""
    noise = [record.keyed for record in history(21, 0, noise=400)]
    with Installation(kafka.brokers, topic_prefix, settings={**_SETTINGS, "SIEVE": sieve}).create() as installation:
        source = installation.source()
        worker = installation.worker()
        installation.play(noise)
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        committed = {place: offset for place, offset in installation.committed().items() if place[0] == source}
        ends = {(topic, partition): offset + 1 for topic, partition, offset in installation.play(noise)}
        _delete_records(kafka.brokers, ends)
        installation.play(noise)
        worker.start()
        installation.wait_caught_up(worker)

        expected = {
            f"gap: {topic}:{partition} offsets {committed[topic, partition]} to {end - 1} were deleted by retention"
            for (topic, partition), end in ends.items()
        }
        assert expected == {
            line.split("eximwatch: ")[1].removesuffix(" before they were read") for line in _gaps(worker)
        }


def _gaps(worker: Worker) -> list[str]:
    return [line for line in worker.output().splitlines() if "eximwatch: gap: " in line]


def _delete_records(brokers: str, ends: dict[tuple[str, int], int]) -> None:
    """As retention does: the log of each partition begins here from now on."""
    places = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
    admin = AdminClient({"bootstrap.servers": brokers})
    for deleted in admin.delete_records(places).values():
        deleted.result(30)


@pytest.mark.slow
@pytest.mark.parametrize("sieve", ["true", "false"])
def test_six_kills_lose_nothing(kafka: Kafka | GivenKafka, topic_prefix: str, sieve: str) -> None:
    """SIGKILL six times in mid-stream: repeated alerts have equal ids, none is missing."""
    with _stream(kafka, topic_prefix, sieve, 1200, 1200) as (installation, due):
        worker = installation.worker()
        for number in range(6):
            installation.wait_alerts(due * (number + 1) // 8, worker)
            worker.kill()
            worker.start()
        installation.wait_caught_up(worker, deadline=120)


@pytest.mark.slow
@pytest.mark.parametrize("sieve", ["true", "false"])
def test_workers_join_and_leave_five_times(kafka: Kafka | GivenKafka, topic_prefix: str, sieve: str) -> None:
    """A second worker comes and goes in mid-stream, five times: nothing is lost, nothing has another id."""
    with _stream(kafka, topic_prefix, sieve, 2000, 2000) as (installation, due):
        first = installation.worker()
        for number in range(5):
            installation.wait_alerts(due * (number + 1) // 8, first)
            second = installation.worker()
            second.wait_ready()
            assert 0 == second.stop(15)
        installation.wait_caught_up(first, deadline=120)

"""Workers on a real Kafka judge as `replay` does, whatever way the events come, and begin where they are told."""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from app.core.clock import format_time
from app.runtime.settings import Settings
from tests.broker.history import history, replayed
from tests.broker.installation import Installation
from tests.broker.records import Outgoing
from tests.events import event, raw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.seen import SeenAlert

pytestmark = pytest.mark.broker


def _by_id(alerts: Iterable[SeenAlert]) -> dict[str, object]:
    return {alert.id: alert.lasting for alert in alerts}


def _programs(alerts: Iterable[SeenAlert]) -> list[str]:
    return sorted(alert.term[1] for alert in alerts)


def _execution(program: str, time: str = "2026-01-05T08:00:00Z") -> bytes:
    return raw(event(program, time=time))


def test_two_workers_alert_as_replay_does(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Keyed by host over four partitions: the same ids once each, and documents that differ in time and source only."""
    sent = history(1, 300, noise=300)
    expected = replayed(sent)
    assert 60 < len(expected)
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        workers = [installation.worker(), installation.worker()]
        parts = installation.wait_shared(workers)
        installation.play(record.keyed for record in sent)
        installation.wait_caught_up(*workers)

        seen = installation.alerts()
        assert _by_id(expected) == _by_id(seen)
        assert len(expected) == len(seen)
        assert all(alert.key == alert.term[0].encode() for alert in seen)
        assert [] == installation.dead_letters()
        # Both had something to do: else one of them may judge by state that it never had.
        assert all(any((r.topic, r.partition) in part for r in installation.matches()) for part in parts)


def test_unkeyed_source_alerts_for_the_same_terms(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Where no term leaves its window, any spread over the partitions gives each new term its one alert."""
    sent = history(2, 200, noise=50, days=2)
    random = Random(2)
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        installation.play(Outgoing(None, record.value, (), random.randrange(4)) for record in sent)
        worker = installation.worker()
        installation.wait_caught_up(worker)

        assert Counter(alert.term for alert in replayed(sent)) == Counter(alert.term for alert in installation.alerts())


def test_two_source_topics_are_one_history(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Topics with partition counts of their own are judged at once, also by two workers of which one comes late."""
    sent = history(3, 200, noise=100)
    sources = {"mail": 3, "web": 5}
    with Installation(kafka.brokers, topic_prefix, sources=sources).create() as installation:
        workers = [installation.worker()]
        installation.wait_shared(workers)
        for parity, source in enumerate(sources):
            installation.play((record.keyed for record in sent if hash_of(record.host) % 2 == parity), source)
        workers.append(installation.worker())
        installation.wait_shared(workers)
        installation.wait_caught_up(*workers)

        seen = installation.alerts()
        assert {alert.id for alert in replayed(sent)} == {alert.id for alert in seen}
        assert {installation.source(name) for name in sources} == {
            alert.document["detector"]["source"]["topic"] for alert in seen
        }


def test_alert_from_start_learns_what_is_there(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """With `start`, matches from before the worker's start build history in silence; later ones are judged by it."""
    with Installation(kafka.brokers, topic_prefix, settings={"ALERT_FROM": "start"}).create() as installation:
        before = format_time(time.time_ns() - 10**9)
        installation.play([Outgoing(b"mail01", _execution("perl", before))])
        worker = installation.worker()
        installation.wait_caught_up(worker)
        assert [] == installation.alerts()

        now = format_time(time.time_ns())
        later = [("perl", now), ("id", before), ("sh", now)]
        installation.play(Outgoing(b"mail01", _execution(*one)) for one in later)
        installation.wait_caught_up(worker)
        assert ["sh"] == _programs(installation.alerts())


@pytest.mark.parametrize("start", ["latest", "time"])
def test_start_from_skips_what_was_before(kafka: Kafka | GivenKafka, topic_prefix: str, start: str) -> None:
    """A new group begins at the end or at a time; once it has offsets it goes on from these."""
    now = time.time_ns() // 10**6
    hour = 3_600_000
    start_from = start if start == "latest" else format_time((now - hour) * 10**6)
    with Installation(kafka.brokers, topic_prefix, settings={"START_FROM": start_from}).create() as installation:

        def play(program: str, timestamp: int) -> None:
            installation.play(Outgoing(None, _execution(program), (), number, timestamp) for number in range(4))

        play("early", now - 2 * hour)
        if start == "time":
            play("sh", now)
        worker = installation.worker()
        worker.wait_ready()
        if start == "latest":
            play("sh", now)
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        # Before the time, and not the latest either when the worker comes back.
        play("perl", now - 2 * hour)
        worker.start()
        installation.wait_caught_up(worker)

        assert ["perl", "sh"] == _programs(installation.alerts())


def test_start_from_leaves_a_group_with_offsets_alone(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """A partition that had nothing to commit before is no reason to begin a known group anew: nothing is skipped."""
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        installation.play([Outgoing(None, _execution("sh"), (), 0)])
        first = installation.worker()
        installation.wait_caught_up(first)
        assert 0 == first.stop()
        installation.play([Outgoing(None, _execution("perl"), (), 1)])
        second = installation.worker(start_from="latest")
        second.wait_ready()
        installation.wait_caught_up(second)

        assert ["perl", "sh"] == _programs(installation.alerts())


def test_worker_says_what_it_will_use(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Every setting and every rule stands in the log before the worker is ready."""
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        worker = installation.worker()
        worker.wait_ready()
        before = worker.output().partition("worker ready")[0]

    assert [] == [name for name in Settings.model_fields if f": {name} = " not in before]
    assert f": brokers = {kafka.brokers}\n" in before
    assert f": topic_prefix = {topic_prefix}\n" in before
    assert ": rule exim4_child version 1 sha256 " in before


def hash_of(text: str) -> int:
    """A small number that is the same in every run."""
    return sum(text.encode())

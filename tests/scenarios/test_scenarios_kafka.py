"""The same scenarios through Kafka: one worker raises what the core raises, however many partitions there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.broker.installation import Installation
from tests.broker.records import Outgoing
from tests.scenarios.core import play
from tests.scenarios.scenario import Scenario, load_all

if TYPE_CHECKING:
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.seen import SeenAlert
    from tests.scenarios.life import Event

pytestmark = pytest.mark.broker

_ALL: Final = load_all()


def test_worker_raises_what_the_files_say(kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path) -> None:
    """All scenarios at once, each on a host of its own: the written alerts, with the ids and words of the core's."""
    alerts = _through_kafka(kafka, topic_prefix, 4)

    for scenario in _ALL:
        assert sorted(scenario.wanted) == sorted(scenario.raised(alert) for alert in _of(scenario, alerts))
    assert _by_id(play((event for _, event in _arriving()), tmp_path)) == _by_id(alerts)


@pytest.mark.slow
def test_number_of_partitions_changes_no_alert(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """One, two and four partitions give the same alerts, but for when they were made and where the events stood."""
    one, two, four = (_by_id(_through_kafka(kafka, f"{topic_prefix}-{count}", count)) for count in (1, 2, 4))

    assert one
    assert one == two
    assert one == four


def _arriving() -> list[tuple[Scenario, Event]]:
    """The events of all scenarios in the order of their arrival, as from a fleet of hosts."""
    events = ((scenario, event) for scenario in _ALL for event in scenario.events)
    return sorted(events, key=lambda pair: pair[1].arrives_ns)


def _through_kafka(kafka: Kafka | GivenKafka, prefix: str, partitions: int) -> list[SeenAlert]:
    """What one worker raises over all scenarios, keyed by host: no dead letters, and each alert once."""
    with Installation(kafka.brokers, prefix, partitions=partitions).create() as installation:
        installation.play(Outgoing(scenario.host.encode(), event.value) for scenario, event in _arriving())
        installation.wait_caught_up(installation.worker())
        alerts = installation.alerts()
        assert [] == installation.dead_letters()
    assert len({alert.id for alert in alerts}) == len(alerts)
    return alerts


def _of(scenario: Scenario, alerts: list[SeenAlert]) -> list[SeenAlert]:
    return [alert for alert in alerts if alert.document["host"]["id"] == scenario.host]


def _by_id(alerts: list[SeenAlert]) -> dict[str, dict[str, Any]]:
    return {alert.id: alert.lasting for alert in alerts}

"""Another number of partitions: a second installation learns from the source beside the first, and takes over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

from app.core.clock import format_time
from tests.broker.history import Sent as Known
from tests.broker.history import replayed
from tests.broker.installation import PARTITIONS, Installation
from tests.broker.records import Outgoing
from tests.broker.steady import Steady, execution
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = [pytest.mark.broker, pytest.mark.slow]

_STOP_S: Final = 15
_DEADLINE_S: Final = 60
_MINUTE: Final = 60 * 10**9
_PROGRAMS: Final = 30


def test_second_installation_takes_over_without_a_gap(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """It reads what the source still has without an alert, alerts from a time on, and never on what was known.

    Until the first is stopped both alert, with the same ids.
    """
    source = {"SOURCE_TOPICS": f"{topic_prefix}.events", "SESSION_TIMEOUT": "6s"}
    with (
        Installation(kafka.brokers, topic_prefix, settings=source).create() as old,
        Installation(kafka.brokers, f"{topic_prefix}-2", settings=source, partitions=7).create() as new,
    ):
        begun = time.time_ns()
        known = [_execution(f"known-{number}", begun - 10 * _MINUTE) for number in range(_PROGRAMS)]
        first = old.worker()
        old.play(Outgoing(None, value) for value in known)
        old.wait_caught_up(first)
        assert _PROGRAMS == len(old.alerts())

        with Steady(old) as stream:
            old.wait_alerts(_PROGRAMS + 40, first)
            cutover = time.time_ns()
            second = new.worker(start_from=format_time(begun - 60 * _MINUTE), alert_from=format_time(cutover))
            new.wait_alerts(40, second)
            assert 0 == first.stop(_STOP_S)
            new.wait_alerts(len(new.alerts()) + 40, second)
        again = [_execution(f"known-{number}", time.time_ns()) for number in range(_PROGRAMS)]
        old.play(Outgoing(None, value) for value in again)
        ends = [_execution(f"end-{number}", time.time_ns()) for number in range(PARTITIONS)]
        old.play(Outgoing(None, value, partition=number) for number, value in enumerate(ends))
        due = {alert.id for alert in replayed(Known("", value) for value in ends)}
        wait_until(lambda: due <= {alert.id for alert in new.alerts()}, _DEADLINE_S, "the end of each partition")
        new.wait_caught_up(second)  # with its matches

        by_old = {alert.id for alert in old.alerts()}
        by_new = {alert.id for alert in new.alerts()}
        streamed = [one.value for one in stream.sent]
        assert {alert.id for alert in replayed(Known("", one) for one in (*known, *streamed, *ends))} == by_old | by_new
        assert by_old & by_new
        late = [one.value for one in stream.sent if one.at >= cutover]
        assert {alert.id for alert in replayed(Known("", one) for one in (*late, *ends))} == by_new
        assert [] == old.dead_letters() + new.dead_letters()


def _execution(program: str, at: int) -> bytes:
    return execution(program, "mail01", "exim4", at)

"""More workers and fewer, under a steady stream; prints for how long the slowest partition stood still."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

from app.core.clock import parse_iso_time
from tests.broker.installation import Installation, assigned
from tests.broker.steady import Steady, standstill
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = [pytest.mark.broker, pytest.mark.slow]

_STOP_S: Final = 15
_DEADLINE_S: Final = 90
_QUIET: Final = 40
"""Events after a change that are waited for, before the next."""


def test_workers_come_and_go_under_a_steady_stream(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """One, two, three, six on four partitions, a killed one, and one again: each event alerts once, none is lost.

    Those that get no partition say so and take over when others go.
    """
    with Installation(kafka.brokers, topic_prefix, settings={"SESSION_TIMEOUT": "10s"}).create() as installation:
        workers = [installation.worker()]
        installation.wait_shared(workers)
        marks: list[tuple[str, int, int]] = []

        def settle(what: str, begun: int) -> None:
            places = {(topic, n) for topic in (installation.source(), installation.names["matches"]) for n in range(4)}

            def shared() -> bool:
                parts = [assigned(worker) & places for worker in workers]
                return places == set().union(*parts) and len(places) == sum(map(len, parts))

            wait_until(shared, _DEADLINE_S, "all partitions to be with one worker each")
            marks.append((what, begun, time.time_ns()))
            many = len(stream.sent) + _QUIET
            wait_until(lambda: len(stream.sent) > many, _DEADLINE_S, "more of the stream")

        with Steady(installation) as stream:
            for number in (2, 3):
                begun = time.time_ns()
                workers.append(installation.worker())
                installation.wait_shared(workers)
                settle(f"{number - 1} to {number} workers", begun)
            begun = time.time_ns()
            workers += [installation.worker() for _ in range(3)]
            for worker in workers[3:]:
                worker.wait_ready(_DEADLINE_S)
            settle("3 to 6 workers", begun)
            idle = [worker for worker in workers if not assigned(worker)]
            assert 2 <= len(idle)
            assert all("worker ready; assigned nothing" in worker.output() for worker in idle)
            for number in range(5, 1, -1):
                begun = time.time_ns()
                assert 0 == workers.pop(0).stop(_STOP_S)
                settle(f"{number + 1} to {number} workers, stopped", begun)
            begun = time.time_ns()
            workers.pop(0).kill()
            settle("2 to 1 workers, killed (session of 10 s)", begun)
        installation.wait_caught_up(*workers)
        alerts = installation.alerts()
        taken = {alert.term[1]: parse_iso_time(alert.document["@timestamp"]) for alert in alerts}

        assert sorted(f"program-{one.number}" for one in stream.sent) == sorted(alert.term[1] for alert in alerts)
        assert [] == installation.dead_letters()
        for what, begun, ended in marks:
            during = [one for one in stream.sent if begun <= one.at < ended]
            print(f"{what}: {standstill(during, lambda one: taken[f'program-{one.number}']):.1f} s")

"""Source topics that are added and taken away while two workers run, which are started again one by one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.broker.installation import Installation, assigned
from tests.broker.records import Outgoing
from tests.broker.steady import execution
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.worker import Worker

pytestmark = [pytest.mark.broker, pytest.mark.slow]

_STOP_S: Final = 15
_DEADLINE_S: Final = 60
_EACH: Final = 40


@pytest.mark.parametrize("partitions", [4, 3], ids=["as the matches topic", "fewer"])
def test_source_topic_is_added_and_taken_away(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path, partitions: int
) -> None:
    """What stands in it from before is judged as well, in between by the worker that knows it; nothing comes twice."""
    sources = {"mail": 4, "web": partitions}
    with Installation(kafka.brokers, topic_prefix, sources=sources).create() as installation:
        mail, both = installation.source("mail"), ",".join(installation.source(name) for name in sources)
        web = {(installation.source("web"), number) for number in range(partitions)}
        due: set[str] = set()

        def play(*names: str) -> None:
            for name in names:
                programs = [f"{name}-{len(due) + number}" for number in range(_EACH)]
                values = [execution(program, f"host-{number % 16}", "exim4", time.time_ns())
                          for number, program in enumerate(programs)]  # fmt: skip
                installation.play((Outgoing(None, value) for value in values), name)
                due.update(programs)

        def start(number: int, topics: str) -> Worker:
            return installation.worker(data_dir=str(tmp_path / str(number)), source_topics=topics)

        def settled(*workers: Worker) -> None:
            """A stop that falls into a rebalance may end hard, without a loss: the procedure waits for its end."""
            places = {(topic, number) for topic in (mail, installation.names["matches"]) for number in range(4)}

            def shared() -> bool:
                parts = [assigned(worker) & places for worker in workers]
                return all(parts) and places == set().union(*parts) and len(places) == sum(map(len, parts))

            wait_until(shared, _DEADLINE_S, "all partitions to be with one worker each")

        def judged(expected: set[str], *workers: Worker) -> None:
            def done() -> bool:
                for worker in workers:
                    worker.check_running()
                return expected <= {alert.term[1] for alert in installation.alerts()}

            wait_until(done, _DEADLINE_S, "the alerts", pause=0.2)

        play("mail", "web")
        workers = [start(0, mail), start(1, mail)]
        settled(*workers)
        judged({one for one in due if one.startswith("mail")}, *workers)
        for topics in (both, mail):
            for number in (0, 1):
                assert 0 == workers[number].stop(_STOP_S), workers[number].output()
                workers[number] = start(number, topics)
                settled(*workers)
                play("mail", "web")
                judged({one for one in due if one.startswith("mail")}, *workers)
                if number == 0:  # one knows both: what stands in the second is its alone
                    knows = workers[0 if topics == both else 1]
                    judged(due, *workers)
                    assert web <= assigned(knows)
        terms = [alert.term[1] for alert in installation.alerts()]
        assert sorted(set(terms)) == sorted(terms)
        # The last part of what nobody reads any more.
        assert {"web"} == {one.partition("-")[0] for one in due - set(terms)}
        assert _EACH == len(due - set(terms))
        assert [] == installation.dead_letters()

"""One worker on the embedded broker, as the demo runs it: no Java, and the same alerts as `replay`."""

from __future__ import annotations

import json
from typing import Final

from app.tools.embedded_broker import EmbeddedBroker
from tests.broker.history import history, replayed
from tests.broker.records import produce, read_topic
from tests.broker.waiting import wait_until
from tests.broker.worker import Worker

_PARTITIONS: Final = 4
_SOURCE: Final = "process-events"
_DEADLINE_S: Final = 60
_STOP_S: Final = 15


def test_worker_on_the_embedded_broker_alerts_as_replay_does() -> None:
    """A small history gives the ids that `replay` gives, each once, and the worker ends in order."""
    sent = history(31, 60, noise=60)
    expected = sorted(alert.id for alert in replayed(sent))
    with EmbeddedBroker() as broker:
        changelogs = ("demo-new_terms-changelog", "demo-lineage-changelog")
        for name in (_SOURCE, "demo.matches", "demo.alerts", "demo.dead-letters", *changelogs):
            broker.create_topic(name, _PARTITIONS)
        settings = {
            "EXIMWATCH_BROKERS": broker.brokers,
            "EXIMWATCH_SOURCE_TOPICS": _SOURCE,
            "EXIMWATCH_TOPIC_PREFIX": "demo",
            "EXIMWATCH_PARTITIONS": str(_PARTITIONS),
            "EXIMWATCH_CHECK_TOPICS": "false",
            "EXIMWATCH_FETCH_MAX_WAIT": "20",
        }
        with Worker(settings) as worker:
            produce(broker.brokers, _SOURCE, [record.keyed for record in sent])

            def alerted() -> list[str]:
                worker.check_running()
                found = _ids(broker)
                return found if len(found) >= len(expected) else []

            wait_until(alerted, _DEADLINE_S, f"{len(expected)} alerts", pause=0.2)
            assert 0 == worker.stop(_STOP_S)
        assert expected == _ids(broker)


def _ids(broker: EmbeddedBroker) -> list[str]:
    records = read_topic(broker.brokers, "demo.alerts")
    return sorted(json.loads(record.value or b"")["kibana.alert.uuid"] for record in records)

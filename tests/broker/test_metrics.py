"""What a worker tells of itself, against what was played to it on a real Kafka."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from app.runtime.metrics import METRICS
from tests.broker.history import history, replayed
from tests.broker.installation import Installation
from tests.broker.records import Outgoing
from tests.broker.scrape import FREE_PORT, Series, ask, scrape
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.seen import SeenAlert
    from tests.broker.worker import Worker

pytestmark = pytest.mark.broker

_BROKEN = b'{"process": {"parent": {"name": "exim4"'


def _settled(worker: Worker, alerts: int) -> Series:
    """A scrape in which so many alerts are confirmed, and nothing is left to do."""

    def settled() -> Series | None:
        found = scrape(worker)
        lags = [value for name, value in found.items() if name[0] == "eximwatch_commit_lag_records"]
        is_over = lags and not any(lags) and alerts == _total(found, "eximwatch_alerts_total")
        return found if is_over else None

    return wait_until(settled, 60, f"{alerts} alerts and no lag in the metrics")


def _total(series: Series, name: str) -> float:
    return sum(value for labels, value in series.items() if labels[0] == name)


def _of(series: Series, name: str) -> dict[tuple[str, ...], float]:
    return {labels[1:]: value for labels, value in series.items() if labels[0] == name and value}


def _rule(alert: SeenAlert) -> str:
    return str(alert.document["kibana.alert.rule.rule_id"])


def test_metrics_count_what_was_played(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Scanned, candidates, matches, verdicts, alerts, dead letters, latencies and offsets are those of the records."""
    sent = history(71, 200, noise=300)
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        worker = installation.worker(http_listen=FREE_PORT)
        installation.play([record.keyed for record in sent] + [Outgoing(b"x", _BROKEN)])
        installation.wait_caught_up(worker)
        expected = replayed(sent)
        alerts = installation.alerts()
        found = _settled(worker, len(alerts))
        source = installation.source()

        assert len(sent) + 1 == found["eximwatch_scanned_events_total", source]
        assert 1 == found["eximwatch_dead_letters_total", "not_json"]
        assert len(expected) == len(alerts)
        told = [(alert.document["detector"]["assessment"]["level"], _rule(alert)) for alert in alerts]
        assert Counter(told) == _of(found, "eximwatch_alerts_total")
        new = {name[0]: value for name, value in _of(found, "eximwatch_verdicts_total").items() if name[1] == "new"}
        assert Counter(map(_rule, alerts)) == new
        matches = _of(found, "eximwatch_matches_total")
        verdicts: Counter[str] = Counter()
        for (rule, _), value in _of(found, "eximwatch_verdicts_total").items():
            verdicts[rule] += int(value)
        assert {rule: value for (rule,), value in matches.items()} == verdicts
        for since in ("clock", "source", "match"):
            assert len(alerts) == found["eximwatch_alert_latency_seconds_count", since]
        assert found["eximwatch_scanned_bytes_total", source] > 0
        assert found["eximwatch_batches_total", "kept", source] > 0
        assert len(installation.matches()) == found["eximwatch_forwarded_total",]
        committed = {
            (topic, int(number)): at for (number, topic), at in _of(found, "eximwatch_committed_offset").items()
        }
        assert {place: at for place, at in installation.committed().items() if at} == committed
        assert 1 == found["eximwatch_ready",]
        assert found["eximwatch_table_entries", "new_terms"] > 0
        assert found["eximwatch_table_bytes", "lineage"] > 0
        assert 0 <= found["eximwatch_heartbeat_age_seconds",] < 6
        assert (200, {"status": "ok"}) == (ask(worker, "/readyz")[0], {"status": ask(worker, "/readyz")[1]["status"]})
        assert 200 == ask(worker, "/livez")[0]
        declared = {metric.name for metric in METRICS}
        assert declared - {"eximwatch_alert_latency_seconds"} <= {labels[0] for labels in found}


def test_partitions_that_went_elsewhere_are_told_by_their_new_worker(
    kafka: Kafka | GivenKafka, topic_prefix: str
) -> None:
    """A series of a partition that a worker has lost would stand still for ever, and look like lag."""
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        first = installation.worker(http_listen=FREE_PORT)
        installation.wait_shared([first])
        second = installation.worker(http_listen=FREE_PORT)
        shares = installation.wait_shared([first, second])

        def told(worker: Worker, share: set[tuple[str, int]]) -> bool:
            places = {
                (labels[2], int(labels[1])) for labels in scrape(worker) if labels[0] == "eximwatch_position_offset"
            }
            return share == places

        for worker, share in zip((first, second), shares, strict=True):
            wait_until(partial(told, worker, share), 30, "series of the partitions it has")
            assert len(share) == _total(scrape(worker), "eximwatch_assigned_partitions")
        assert 2 <= scrape(first)["eximwatch_rebalances_total",]


def test_busy_worker_answers_and_says_that_it_stands(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Its loop is blocked in the middle of a record: metrics and health come from threads of their own."""
    settings = {"HTTP_LISTEN": FREE_PORT, "WATCHDOG_TIMEOUT": "50s"}
    with Installation(kafka.brokers, topic_prefix, settings=settings).create() as installation:
        command = ("-m", "tests.broker.sabotage", "blocked_loop", "worker")
        worker = installation.worker(command=command, data_dir=str(tmp_path / "data"))
        worker.wait_ready()
        wait_until(lambda: 200 == ask(worker, "/readyz")[0], 30, "a worker that is ready")
        (tmp_path / "data.break").touch()
        installation.play(record.keyed for record in history(72, 20))

        def standing() -> float:
            return scrape(worker)["eximwatch_standing_seconds",]

        wait_until(lambda: standing() > 3, 60, "metrics that tell of the loop")
        status, body = ask(worker, "/livez")

        assert (200, "the worker's event loop") == (status, body["standing"])


def test_worker_is_not_ready_before_it_has_caught_up(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """With a lag over the bound it says how far it is behind, and is ready once it is not."""
    sent = history(73, 50, noise=50)
    with Installation(kafka.brokers, topic_prefix, settings={"READY_MAX_LAG": "0"}).create() as installation:
        installation.play(record.keyed for record in sent)
        worker = installation.worker(http_listen=FREE_PORT)
        before = ask(worker, "/readyz")
        installation.wait_caught_up(worker)
        wait_until(lambda: 200 == ask(worker, "/readyz")[0], 30, "a worker that is ready")

        assert (503, True) == (before[0], before[1]["status"] != "ok")


def test_events_that_retention_took_are_counted(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Deleted while the worker was down, before they were read, they are told as lost."""
    sent = [record.keyed for record in history(74, 40)]
    with Installation(kafka.brokers, topic_prefix, partitions=1).create() as installation:
        source = installation.source()
        worker = installation.worker(http_listen=FREE_PORT)
        installation.play(sent[:10])
        installation.wait_caught_up(worker)
        worker.stop(30)
        ends = installation.play(sent)
        admin = AdminClient({"bootstrap.servers": kafka.brokers, "log_level": 0})
        for future in admin.delete_records([TopicPartition(source, 0, ends[0][2] + 25)]).values():
            future.result(30)
        worker.start()
        wait_until(lambda: scrape(worker)["eximwatch_overtaken_records_total", source], 60, "the gap in the metrics")
        installation.wait_caught_up(worker)

        assert 25 == scrape(worker)["eximwatch_overtaken_records_total", source]

"""The metrics of a worker, made when they are asked for: from counters that are plain numbers until then."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from math import inf, isfinite
from typing import Any, Final

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from app.core.dead_letter import REASONS
from app.core.new_terms import Verdict
from app.runtime.counts import Latency
from app.runtime.metrics import LATENCY_BUCKETS, METRICS
from app.runtime.monitor import Monitor

Labels = tuple[str, ...]
Values = Mapping[Any, float] | Mapping[Any, Latency]
"""Series by the values of their labels, which are tuples of texts."""

_LEVELS: Final = ("low", "medium", "high", "critical")
_NONE: Final[Labels] = ()
_VERSION: Final = version("eximwatch")


def registry_of(monitor: Monitor) -> CollectorRegistry:
    """A registry with a worker's metrics, and with those of its process."""
    registry = CollectorRegistry()
    for collector in (WorkerCollector(monitor), PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    return registry


class WorkerCollector(Collector):
    """Makes every family that is declared, from its declaration."""

    def __init__(self, monitor: Monitor) -> None:
        """Bind to a worker."""
        self._monitor = monitor

    def describe(self) -> Iterable[Family]:
        """Names and labels, without a look at the worker."""
        return families({})

    def collect(self) -> Iterable[Family]:
        """All metrics as they are now."""
        return families(values_of(self._monitor))


def families(values: Mapping[str, Values]) -> Iterator[Family]:
    """The declared families with these values, by name and labels; one without values has no series.

    Raises:
        KeyError: A value has a name that is not declared.
    """
    unknown = values.keys() - {metric.name for metric in METRICS}
    if unknown:
        raise KeyError(f"not declared: {sorted(unknown)}")
    for metric in METRICS:
        series = values.get(metric.name, {})
        if metric.kind == "histogram":
            histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, latency in series.items():
                if isinstance(latency, Latency):
                    histogram.add_metric(labels, _cumulated(latency), sum_value=latency.total)
            yield histogram
            continue
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=metric.labels)
        for labels, value in series.items():
            if not isinstance(value, Latency):
                family.add_metric(labels, value)
        yield family


def values_of(monitor: Monitor) -> dict[str, Values]:
    """What is known of a worker, by metric.

    Rules, reasons and levels that are known of begin at 0: a series that begins with its first event has no increase.
    """
    values: dict[str, Values] = {}
    for part in _PARTS:
        values.update(part(monitor))
    return values


def _of_build(monitor: Monitor) -> dict[str, Values]:
    return {
        "eximwatch_build_info": {(_VERSION, platform.python_version()): 1},
        "eximwatch_rule_info": {(rule.id, str(rule.spec.version), rule.digest): 1 for rule in monitor.rules},
    }


def _of_source(monitor: Monitor) -> dict[str, Values]:
    fetched = monitor.fetched()
    batches: dict[Labels, float] = {}
    for topic, partitions in fetched.items():
        dropped = sum(counts.dropped for counts in partitions)
        batches[topic, "dropped"] = dropped
        batches[topic, "kept"] = sum(counts.batches for counts in partitions) - dropped
    return {
        "eximwatch_scanned_events_total": {(topic,): count for topic, count in monitor.read().items()},
        "eximwatch_scanned_bytes_total": {
            (topic,): sum(counts.received_bytes for counts in partitions) for topic, partitions in fetched.items()
        },
        "eximwatch_batches_total": batches,
        "eximwatch_overtaken_records_total": {(topic,): count for topic, count in monitor.lost().items()},
    }


def _of_judgement(monitor: Monitor) -> dict[str, Values]:
    counts = monitor.counts
    rules = [rule.id for rule in monitor.rules]
    verdicts = {(rule, verdict.value): counts.verdicts[rule, verdict.value] for rule in rules for verdict in Verdict}
    return {
        "eximwatch_null_records_total": {_NONE: counts.null},
        "eximwatch_candidates_total": {_NONE: counts.candidates},
        "eximwatch_forwarded_total": {_NONE: counts.forwarded},
        "eximwatch_members_without_host_total": {_NONE: counts.without_host},
        "eximwatch_matches_total": {(rule,): counts.matches[rule] for rule in rules},
        "eximwatch_verdicts_total": verdicts,
        "eximwatch_alerts_total": {(rule, level): counts.alerts[rule, level] for rule in rules for level in _LEVELS},
        "eximwatch_dead_letters_total": {(reason,): counts.dead_letters[reason] for reason in REASONS},
        "eximwatch_alert_latency_seconds": {(since,): latency for since, latency in counts.latencies.items()},
    }


def _of_partitions(monitor: Monitor) -> dict[str, Values]:
    snapshot, look = monitor.snapshot(), monitor.look()
    accounts = snapshot.sample.accounts
    labels = {place: (place[0], str(place[1])) for place in accounts}
    ends = {} if look is None else {place: look.ends[place] for place in accounts if place in look.ends}
    return {
        "eximwatch_position_offset": {labels[place]: account.position for place, account in accounts.items()},
        "eximwatch_committed_offset": {labels[place]: account.committed for place, account in accounts.items()},
        "eximwatch_last_stable_offset": {labels[place]: end for place, end in ends.items()},
        "eximwatch_commit_lag_records": {
            labels[place]: max(0, end - accounts[place].committed) for place, end in ends.items()
        },
        "eximwatch_pending_age_seconds": {
            labels[place]: age for place, age in snapshot.pending.items() if place in labels
        },
        "eximwatch_in_flight_records": {_NONE: snapshot.in_flight},
        "eximwatch_rebalances_total": {_NONE: monitor.counts.rebalances},
        "eximwatch_assigned_partitions": {(topic,): count for topic, count in snapshot.assigned().items()},
        "eximwatch_ready": {_NONE: int(snapshot.sample.ready)},
        "eximwatch_table_entries": {(table,): count for table, count in snapshot.entries.items()},
    }


def _of_process(monitor: Monitor) -> dict[str, Values]:
    recovery, look, free, age = monitor.recovery, monitor.look(), monitor.free_bytes(), monitor.heartbeat_age()
    return {
        "eximwatch_recovery_active": {_NONE: int(recovery.active)},
        "eximwatch_recovery_done_records": {_NONE: recovery.done},
        "eximwatch_recovery_expected_records": {_NONE: recovery.total},
        "eximwatch_table_bytes": {(table,): size for table, size in monitor.table_bytes().items()},
        "eximwatch_data_free_bytes": {} if free is None else {_NONE: free},
        "eximwatch_heartbeat_age_seconds": {} if age is None else {_NONE: age},
        "eximwatch_kafka_answers": {} if look is None else {_NONE: int(look.answers)},
        "eximwatch_standing_seconds": {} if look is None else {_NONE: look.standing.seconds},
    }


_PARTS: Final[tuple[Callable[[Monitor], Mapping[str, Values]], ...]] = (
    _of_build,
    _of_source,
    _of_judgement,
    _of_partitions,
    _of_process,
)


def _cumulated(latency: Latency) -> list[tuple[str, float]]:
    """Buckets as Prometheus wants them: each with all that are shorter."""
    total = 0
    cumulated: list[tuple[str, float]] = []
    for bound, count in zip((*LATENCY_BUCKETS, inf), latency.buckets, strict=True):
        total += count
        cumulated.append((str(bound) if isfinite(bound) else "+Inf", total))
    return cumulated

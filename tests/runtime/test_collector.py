"""Metrics as they are scraped, against their declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.core.dead_letter import REASONS
from app.runtime.collector import families, registry_of
from app.runtime.counts import Counts, Latency
from app.runtime.metrics import LATENCY_BUCKETS, METRICS
from app.runtime.monitor import Monitor
from app.runtime.rules import load_rules
from app.runtime.settings import PACKAGED_RULES, load_settings

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000


def _monitor(data_dir: Path) -> Monitor:
    return Monitor(load_settings(data_dir=data_dir), load_rules((PACKAGED_RULES,)), Counts())


def _scraped(monitor: Monitor) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = generate_latest(registry_of(monitor)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_declared_metric_is_made_with_its_kind(tmp_path: Path) -> None:
    """A scrape has the families that are declared, of the declared kinds, and no other of ours."""
    text = generate_latest(registry_of(_monitor(tmp_path))).decode()
    kinds = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE eximwatch_")}

    assert {metric.name: metric.kind for metric in METRICS} == kinds


def test_label_names_are_those_declared(tmp_path: Path) -> None:
    """Every series has the labels of its declaration."""
    declared = {metric.name: set(metric.labels) for metric in METRICS}
    of_histograms = {f"{metric.name}{end}": metric.name for metric in METRICS for end in ("_bucket", "_sum", "_count")}
    found = [
        (declared[of_histograms.get(name, name)], {label for label, _ in labels} - {"le"})
        for name, labels in _scraped(_monitor(tmp_path))
        if name.startswith("eximwatch_")
    ]

    assert found
    assert [expected for expected, _ in found] == [labels for _, labels in found]


def test_value_that_is_not_declared_is_refused() -> None:
    """A name that is made up in the code can't be scraped."""
    with pytest.raises(KeyError, match="eximwatch_surprise_total"):
        list(families({"eximwatch_surprise_total": {(): 1}}))


def test_counters_of_known_labels_begin_at_zero(tmp_path: Path) -> None:
    """An alert rule over an increase sees the first one: its series was there before."""
    scraped = _scraped(_monitor(tmp_path))
    of_reasons = [scraped["eximwatch_dead_letters_total", (("reason", reason),)] for reason in REASONS]
    alert = scraped["eximwatch_alerts_total", (("level", "critical"), ("rule", "exim4_child"))]
    lost = scraped["eximwatch_overtaken_records_total", (("topic", "process-events"),)]
    read = scraped["eximwatch_scanned_events_total", (("topic", "process-events"),)]

    assert (0.0, 0.0, 0.0, [0.0] * len(REASONS)) == (alert, lost, read, of_reasons)


def test_latency_is_cumulated_in_its_buckets(tmp_path: Path) -> None:
    """Every bucket holds what is shorter as well; what is longer than all, or in the future, is not lost."""
    monitor = _monitor(tmp_path)
    latency = monitor.counts.latencies["clock"]
    for begin in (100 * SECOND, 97 * SECOND, 105 * SECOND, 0):
        latency.observe(begin, 100 * SECOND)
    latency.observe(None, 100 * SECOND)
    scraped = _scraped(monitor)
    name, since = "eximwatch_alert_latency_seconds", ("since", "clock")
    found = [scraped[f"{name}_bucket", (("le", bound), since)] for bound in ("0.005", "2.5", "5.0", "60.0", "+Inf")]

    assert [2.0, 2.0, 3.0, 3.0, 4.0] == found
    assert (4.0, 103.0) == (scraped[f"{name}_count", (since,)], scraped[f"{name}_sum", (since,)])
    assert LATENCY_BUCKETS == tuple(sorted(LATENCY_BUCKETS))


def test_bound_of_a_bucket_belongs_to_it() -> None:
    """`le` means less or equal."""
    latency = Latency()
    latency.observe(0, 5 * SECOND)

    assert 1 == latency.buckets[LATENCY_BUCKETS.index(5.0)]

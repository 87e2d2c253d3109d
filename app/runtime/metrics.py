"""Every metric, declared once: name, kind, labels, unit and meaning. The documentation's table is made of this.

No label has values without a bound: topics, partitions, rules, verdicts and reasons are few; hosts and programs not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]

LATENCY_BUCKETS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
    3600.0,
)
"""Upper bounds of the alert latency's histogram, in seconds: from a good day's milliseconds to a backlog of hours."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a worker.

    Attributes:
        name: As it is scraped; a counter's ends in `_total`.
        kind: Prometheus's kind.
        labels: Names of its labels.
        unit: What one of it is.
        help: What it tells.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    help: str


_PLACE: Final = ("topic", "partition")

METRICS: Final = (
    Metric("eximwatch_build_info", "gauge", ("version", "python"), "1", "The version that runs."),
    Metric("eximwatch_rule_info", "gauge", ("rule", "version", "sha256"), "1", "A rule that is loaded."),
    Metric(
        "eximwatch_scanned_events_total", "counter", ("topic",), "records", "Source records read past, parsed or not."
    ),
    Metric(
        "eximwatch_scanned_bytes_total",
        "counter",
        ("topic",),
        "bytes",
        "Record batches received of source topics, as compressed.",
    ),
    Metric(
        "eximwatch_batches_total",
        "counter",
        ("topic", "outcome"),
        "batches",
        "Record batches that the sieve `dropped` or `kept`.",
    ),
    Metric(
        "eximwatch_null_records_total",
        "counter",
        (),
        "records",
        "Source records without a value that the sieve kept; skipped.",
    ),
    Metric("eximwatch_candidates_total", "counter", (), "records", "Source records that were decoded."),
    Metric("eximwatch_forwarded_total", "counter", (), "records", "Records written to the matches topic."),
    Metric(
        "eximwatch_members_without_host_total",
        "counter",
        (),
        "records",
        "Executions of exim4's family that match no rule and name no host; nothing is kept of them.",
    ),
    Metric(
        "eximwatch_matches_total",
        "counter",
        ("rule",),
        "records",
        "Source records that match a rule's query and have its term.",
    ),
    Metric(
        "eximwatch_verdicts_total",
        "counter",
        ("rule", "verdict"),
        "terms",
        "Verdicts: `known`, `new`, `learning` or `replayed`.",
    ),
    Metric(
        "eximwatch_alerts_total",
        "counter",
        ("rule", "level"),
        "alerts",
        "Alerts that Kafka confirmed, by the level of their assessment.",
    ),
    Metric("eximwatch_dead_letters_total", "counter", ("reason",), "records", "Dead letters that Kafka confirmed."),
    Metric(
        "eximwatch_alert_latency_seconds",
        "histogram",
        ("since",),
        "seconds",
        "Time to an alert's confirmation since the event's `clock`, the source record's timestamp (`source`) or the "
        "match's append (`match`).",
    ),
    Metric("eximwatch_position_offset", "gauge", _PLACE, "offset", "The offset that is read next."),
    Metric(
        "eximwatch_committed_offset", "gauge", _PLACE, "offset", "The offset that is committed: all before it is done."
    ),
    Metric(
        "eximwatch_last_stable_offset",
        "gauge",
        _PLACE,
        "offset",
        "The end of what can be read, as the watchdog last heard.",
    ),
    Metric("eximwatch_commit_lag_records", "gauge", _PLACE, "offsets", "Last stable offset less the committed one."),
    Metric(
        "eximwatch_overtaken_records_total",
        "counter",
        ("topic",),
        "offsets",
        "Offsets that retention deleted before they were read: events that nobody judged.",
    ),
    Metric(
        "eximwatch_pending_age_seconds",
        "gauge",
        _PLACE,
        "seconds",
        "For how long the first record that is not done has been so; 0 if all are.",
    ),
    Metric("eximwatch_in_flight_records", "gauge", (), "records", "Records whose effects are not confirmed."),
    Metric("eximwatch_rebalances_total", "counter", (), "rebalances", "Assignments that this worker was given."),
    Metric("eximwatch_assigned_partitions", "gauge", ("topic",), "partitions", "Partitions that this worker has now."),
    Metric("eximwatch_ready", "gauge", (), "0 or 1", "Partitions are assigned and their tables recovered."),
    Metric("eximwatch_recovery_active", "gauge", (), "0 or 1", "A table is being rebuilt."),
    Metric(
        "eximwatch_recovery_done_records",
        "gauge",
        (),
        "records",
        "Changelog records applied by the rebuilds since the start.",
    ),
    Metric(
        "eximwatch_recovery_expected_records",
        "gauge",
        (),
        "records",
        "Changelog records that these rebuilds have to apply, as far as known.",
    ),
    Metric(
        "eximwatch_table_entries",
        "gauge",
        ("table",),
        "entries",
        "Entries of a table in this worker's partitions, as RocksDB estimates.",
    ),
    Metric("eximwatch_table_bytes", "gauge", ("table",), "bytes", "Size of a table on this worker's disk."),
    Metric("eximwatch_data_free_bytes", "gauge", (), "bytes", "Space left on the data directory's file system."),
    Metric(
        "eximwatch_heartbeat_age_seconds",
        "gauge",
        (),
        "seconds",
        "Age of the last heartbeat that the group took; effects are refused over 0.8 of the session timeout.",
    ),
    Metric("eximwatch_kafka_answers", "gauge", (), "0 or 1", "Kafka answered the watchdog's last question."),
    Metric(
        "eximwatch_standing_seconds",
        "gauge",
        (),
        "seconds",
        "For how long the longest has stood that must move; at `watchdog_timeout` the worker ends.",
    ),
)
"""All of them. The client library adds its `process_…` and `python_…` metrics."""

"""Prometheus takes our files, every alarm is tried and explained, and no query names what is not measured."""

from __future__ import annotations

import subprocess
from collections import Counter

from app.runtime.metrics import METRICS
from tests.deploy.monitoring import (
    FOREIGN,
    PROMETHEUS,
    alarms,
    dashboard_queries,
    foreign_labels,
    metrics_of,
    recorded,
    unit_tests,
)
from tests.deploy.tools import promtool

DECLARED = {metric.name for metric in METRICS}

NOT_ON_THE_DASHBOARD: dict[str, str] = {}
"""Metrics that no panel shows, each with the reason."""

RUNBOOK_ADDRESS = "https://runbook.example.test/RUNBOOK.md"


def _check(*arguments: str) -> None:
    done = subprocess.run(
        [promtool(), *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=120, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_prometheus_takes_the_configuration() -> None:
    """The scrape configuration and the rules that it names are valid."""
    _check("check", "config", "prometheus.yaml")
    _check("check", "rules", "alerts.yaml")


def test_alarms_fire_on_their_symptoms_and_are_silent_otherwise() -> None:
    """The alarms' own unit tests hold: healthy hours, a rolling upgrade, and each symptom."""
    _check("test", "rules", "alerts_test.yaml")


def test_every_alarm_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """The group is named for the alarm; it expects nothing first, then this alarm alone with its severity."""
    wanted = {alarm.name: alarm.labels["severity"] for alarm in alarms()}
    fired: dict[str, str] = {}
    silent: set[str] = set()
    for group in unit_tests():
        name = group["name"].split(":")[0]
        for test in group["promql_expr_test"]:
            if test["exp_samples"]:
                severity = wanted.get(name)
                labels = f'{{alertname="{name}", severity="{severity}"}}'
                assert [labels] == [sample["labels"] for sample in test["exp_samples"]]
                fired[name] = str(severity)
            else:
                silent.add(name)
    assert wanted == fired
    assert set(wanted) <= silent


def test_every_alarm_says_what_is_wrong_how_urgent_it_is_and_where_help_stands() -> None:
    """Names are unique; summary and description are sentences, the address ends in the runbook's heading."""
    assert {} == {name: count for name, count in Counter(alarm.name for alarm in alarms()).items() if count > 1}
    for alarm in alarms():
        assert alarm.labels["severity"] in {"page", "ticket"}
        assert f"{RUNBOOK_ADDRESS}#{alarm.name.lower()}" == alarm.annotations["runbook_url"]
        assert not alarm.annotations["summary"].endswith(".")
        assert alarm.annotations["description"].endswith(".")


def test_alarms_name_only_what_is_measured() -> None:
    """Every metric is declared, with the labels that are selected by."""
    for query in [*(alarm.query for alarm in alarms()), *recorded().values()]:
        assert set() == metrics_of(query) - DECLARED - FOREIGN
        assert [] == list(foreign_labels(query))


def test_the_dashboard_names_only_what_is_measured() -> None:
    """Every metric is declared or recorded, with the labels that are selected by."""
    for query in dashboard_queries():
        assert metrics_of(query)
        assert set() == metrics_of(query) - DECLARED - FOREIGN
        assert [] == list(foreign_labels(query))


def test_the_dashboard_shows_all_that_is_measured() -> None:
    """A metric that no panel shows is listed with the reason."""
    shown = set().union(*map(metrics_of, dashboard_queries()))
    assert DECLARED - shown == set(NOT_ON_THE_DASHBOARD)

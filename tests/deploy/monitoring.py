"""What the monitoring files say: alarms, queries and the metrics they name, the runbook's entries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from app.runtime.metrics import METRICS
from tests.broker.jars import REPOSITORY
from tests.deploy import dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMETHEUS: Final = REPOSITORY / "deploy" / "prometheus"
RUNBOOK: Final = REPOSITORY / "deploy" / "RUNBOOK.md"

FOREIGN: Final = {"up", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"} | {
    "process_open_fds",
    "ALERTS",
}
"""Metrics that are not ours: Prometheus's own, and those that its client library adds of the process."""

_NAME: Final = re.compile(r"\b(?:eximwatch[a-z_:]+|process_[a-z_]+|up\b|ALERTS\b)")
_SELECTOR: Final = re.compile(r"\b(eximwatch_[a-z_]+|up)\{([^}]*)\}")
_STRING: Final = re.compile(r'"[^"]*"')
_SUFFIX: Final = re.compile(r"_(?:bucket|count|sum)$")
_EVERYWHERE: Final = {"job", "instance", "le"}


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm as Prometheus reads it."""

    name: str
    query: str
    labels: dict[str, str]
    annotations: dict[str, str]


def rules() -> list[dict[str, Any]]:
    """All rules of all groups."""
    document = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def alarms() -> list[Alarm]:
    """All alarms."""
    return [
        Alarm(rule["alert"], rule["expr"], rule["labels"], rule["annotations"]) for rule in rules() if "alert" in rule
    ]


def recorded() -> dict[str, str]:
    """The names of recording rules, each with its query."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def unit_tests() -> list[dict[str, Any]]:
    """The groups of the alarms' unit tests."""
    document = yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text(encoding="utf-8"))
    groups: list[dict[str, Any]] = document["tests"]
    return groups


def dashboard_queries() -> list[str]:
    """All queries of all panels."""
    found = dashboard.panels(dashboard.load())
    return [dashboard.expression(target["expr"]) for panel in found for target in panel.get("targets", ())]


def metrics_of(query: str) -> set[str]:
    """The metrics that a query names: recorded ones by what they are recorded from, histograms by their own name."""
    known, found = recorded(), set[str]()
    for name in _NAME.findall(_STRING.sub("", query)):
        if name in known:
            found |= metrics_of(known[name])
        else:
            found.add(_SUFFIX.sub("", name) if _SUFFIX.sub("", name) in _histograms() else name)
    return found


def foreign_labels(query: str) -> Iterator[str]:
    """Labels in a query's selectors that the metric does not have, as `metric: label`."""
    labels = {metric.name: {*metric.labels, *_EVERYWHERE} for metric in METRICS} | {"up": _EVERYWHERE}
    for name, selector in _SELECTOR.findall(query):
        for label in re.findall(r"([a-z_]+)\s*[=!]", _STRING.sub('""', selector)):
            if label not in labels.get(_SUFFIX.sub("", name), labels.get(name, set())):
                yield f"{name}: {label}"


def _histograms() -> set[str]:
    return {metric.name for metric in METRICS if metric.kind == "histogram"}


def runbook() -> str:
    """The runbook's text."""
    return RUNBOOK.read_text(encoding="utf-8")


def entries() -> dict[str, str]:
    """The runbook's entries by alarm: what stands below each heading that is an alarm's name."""
    parts = re.split(r"^#{2,3} (.+)$", runbook(), flags=re.MULTILINE)
    return {name: text for name, text in zip(parts[1::2], parts[2::2], strict=True) if name.startswith("Eximwatch")}

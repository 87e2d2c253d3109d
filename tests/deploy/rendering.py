"""The chart rendered with sets of values, each once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from app.runtime.settings import ENV_PREFIX, PACKAGED_RULES
from tests.deploy.chart import CHART
from tests.deploy.helm_tool import helm

Values = dict[str, Any]
Manifest = dict[str, Any]

NAMESPACE: Final = "detection"

TLS_AND_LOGIN: Final[Values] = {
    "settings": {
        "brokers": "kafka-1.example.test:9093, kafka-2.example.test:9094",
        "tls": True,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "eximwatch",
    },
    "kafka": {
        "ca": {"secret": "kafka-ca"},
        "clientCertificate": {"secret": "worker-certificate"},
        "password": {"secret": "worker-login"},
    },
}
RULES: Final[Values] = {"rules": {path.name: path.read_text() for path in sorted(PACKAGED_RULES.glob("*.toml"))}}

SETS: Final[dict[str, Values]] = {
    "defaults": {},
    "tls-and-login": TLS_AND_LOGIN,
    "rules": RULES,
    "single": {"replicas": 1, "settings": {"partitions": 1, "replication_factor": 1}},
    "everything": {
        **TLS_AND_LOGIN,
        **RULES,
        "replicas": 12,
        "image": {"repository": "registry.example.test/eximwatch", "digest": "sha256:" + "a" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "settings": {**TLS_AND_LOGIN["settings"], "table_cache_bytes": 16_777_216, "skip_corrupt": ["events:0:7"]},
        "topics": {
            "job": "create",
            "username": "admin",
            "password": {"secret": "admin-login", "key": "word"},
            "clientCertificate": {"secret": "admin-certificate"},
        },
        "storage": {"size": "50Gi", "className": "local"},
        "metrics": {"port": 8080},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "runbookUrl": "https://wiki.test/x/"},
        "networkPolicy": {
            "metricsFrom": [{"namespaceSelector": {}}],
            "kafkaTo": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
            "kafkaPorts": [9093, 30001],
        },
        "podDisruptionBudget": {"maxUnavailable": "25%"},
        "serviceAccount": {"name": "watcher", "annotations": {"example.test/of": "detection"}},
        "podAnnotations": {"example.test/seen": "true"},
        "podLabels": {"team": "detection"},
        "priorityClassName": "high",
        "nodeSelector": {"disk": "local"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
    },
}
"""Values by name. `everything` has no value left at its default that turns something on."""


def call(*arguments: str, values: Values, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """Helm on the chart with these values."""
    # Built by Go it takes itself for a very old Kubernetes.
    command: list[str | Path] = [
        helm(),
        *arguments,
        chart,
        "--kube-version",
        "1.33",
        "--namespace",
        NAMESPACE,
        "--values",
        "-",
    ]
    return subprocess.run(
        command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=120, check=False
    )


def render(values: Values, *, release: str = "eximwatch", chart: Path = CHART) -> list[Manifest]:
    """What these values make, in Helm's order."""
    done = call("template", release, values=values, chart=chart)
    assert 0 == done.returncode, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


@cache
def manifests(name: str) -> list[Manifest]:
    """What a set of values makes. It is shared: nobody changes it."""
    return render(SETS[name])


def only(kind: str, made: list[Manifest]) -> Manifest:
    """The one manifest of a kind."""
    (found,) = (manifest for manifest in made if manifest["kind"] == kind)
    return found


def pods(made: list[Manifest]) -> Iterator[Manifest]:
    """The pod templates: the workers', and the job's where there is one."""
    for manifest in made:
        if manifest["kind"] in {"StatefulSet", "Job"}:
            yield manifest["spec"]["template"]


def environment(pod: Manifest) -> dict[str, str]:
    """The variables of a pod's only container; each stands there once, with a value and not with a reference."""
    (container,) = pod["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert len(container["env"]) == len(variables)
    assert all(name.startswith(ENV_PREFIX) for name in variables)
    return variables

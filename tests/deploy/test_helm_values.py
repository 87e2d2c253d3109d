"""Values: what the chart repeats of the project is as it is there; what makes no sense is refused, and says why."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from app.runtime.settings import Settings
from tests.deploy.chart import CHART, NEVER_SET, SET_BY_CHART, repeated
from tests.deploy.rendering import RULES, TLS_AND_LOGIN, Values, call, render

pytestmark = pytest.mark.xdist_group("helm")

LOGIN: dict[str, Any] = TLS_AND_LOGIN["settings"]
PASSWORD = {"password": {"secret": "worker-login"}}
CERTIFICATE = {"clientCertificate": {"secret": "worker-certificate"}}

REFUSED: dict[str, tuple[Values, str]] = {
    "unknown": ({"replica": 2}, "additional properties 'replica' not allowed"),
    "unknown setting": ({"settings": {"broker": "kafka:9092"}}, "additional properties 'broker' not allowed"),
    "password as a setting": ({"settings": {"sasl_password": "x"}}, "'sasl_password' not allowed"),
    "password as a value": ({"kafka": {"password": {"value": "x"}}}, "at '/kafka/password'"),
    "set by the chart": ({"settings": {"data_dir": "/data"}}, "additional properties 'data_dir' not allowed"),
    "no list of brokers": ({"settings": {"brokers": 9092}}, "at '/settings/brokers'"),
    "no brokers": ({"settings": {"brokers": []}}, "at '/settings/brokers'"),
    "no port of a broker": ({"settings": {"brokers": ["kafka"]}}, "name ports in networkPolicy.kafkaPorts"),
    "text for truth": ({"settings": {"tls": "yes"}}, "at '/settings/tls': got string, want boolean"),
    "mechanism": ({"settings": {"sasl_mechanism": "OAUTHBEARER"}}, "at '/settings/sasl_mechanism': value must be one"),
    "duration": ({"settings": {"session_timeout": "30"}}, "at '/settings/session_timeout': '30' does not match"),
    "too many partitions": ({"settings": {"partitions": 10_001}}, "maximum: got 10,001, want 10,000"),
    "workers without work": ({"replicas": 13}, "13 workers for 12 partitions"),
    "fewer partitions": ({"settings": {"partitions": 2}}, "3 workers for 2 partitions"),
    "partitions not given": ({"replicas": 13, "settings": {"partitions": None}}, "13 workers for 12 partitions"),
    "no worker": ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
    "half a worker": ({"replicas": 1.5}, "at '/replicas': got number, want integer"),
    "no time to stop": ({"terminationGracePeriodSeconds": 10}, "minimum: got 10, want 11"),
    "name of a rule's file": ({"rules": {"mine.yaml": "id = 'x'"}}, "'mine.yaml' not allowed"),
    "rule that is no text": ({"rules": {"mine.toml": {"id": "x"}}}, "got object, want string"),
    "job": ({"topics": {"job": "delete"}}, "value must be one of 'none', 'check', 'create'"),
    "port of root": ({"metrics": {"port": 80}}, "minimum: got 80, want 1,024"),
    "size": ({"storage": {"size": "10 GB"}}, "at '/storage/size'"),
    "digest": ({"image": {"digest": "latest"}}, "at '/image/digest'"),
    "name of a secret": ({"kafka": {"ca": {"secret": "Kafka CA"}}}, "at '/kafka/ca/secret'"),
    "budget of nothing": ({"podDisruptionBudget": {"maxUnavailable": 0}}, "at '/podDisruptionBudget/maxUnavailable'"),
    "certificates without TLS": ({"kafka": CERTIFICATE}, "do nothing without TLS"),
    "login without TLS": (
        {"settings": {"sasl_mechanism": "PLAIN", "sasl_username": "u"}, "kafka": PASSWORD},
        "would log in in the clear",
    ),
    "login without user": (
        {"settings": {"tls": True, "sasl_mechanism": "PLAIN"}, "kafka": PASSWORD},
        "belong together",
    ),
    "login without password": ({"settings": LOGIN}, "name its secret in kafka.password.secret"),
    "password without login": ({"kafka": PASSWORD}, "set settings.sasl_mechanism"),
    "job's user without password": ({**TLS_AND_LOGIN, "topics": {"username": "admin"}}, "topics.password.secret"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_make_no_sense_are_refused_with_a_reason(name: str) -> None:
    """By the schema or by the templates, before anything reaches Kubernetes."""
    values, reason = REFUSED[name]
    done = call("template", "eximwatch", values=values)
    assert 0 != done.returncode
    assert reason in done.stderr


def test_what_may_be_odd_is_taken() -> None:
    """Bounds and spellings at the edge of what is refused."""
    odd: Values = {
        "replicas": 4,
        "settings": {
            "brokers": "a:1, b:2",
            "partitions": 4,
            "session_timeout": "1h30m",
            "allow_sasl_without_tls": True,
        },
        "terminationGracePeriodSeconds": 11,
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "global": {"of": "a chart above"},
    }
    assert render(odd)


@pytest.mark.parametrize("name", ["values.schema.json", "Chart.yaml", "files/alerts.yaml"])
def test_what_the_chart_repeats_is_what_the_project_says(name: str) -> None:
    """Settings, version and alarms. `python -m tests.deploy.chart` writes them."""
    assert repeated()[name] == (CHART / name).read_text()


def test_every_setting_is_for_the_operator_or_set_by_the_chart_or_refused() -> None:
    """A new setting gets into the schema by itself; no name is left over from one that is gone."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(Settings.model_fields) == set(schema["properties"]["settings"]["properties"]) | SET_BY_CHART | NEVER_SET


def test_the_schema_is_strict_and_knows_every_value() -> None:
    """A value of values.yaml is described, an object that is described has no room for others."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set() == set(values) ^ set(schema["properties"]) - {"global"}

    def closed(part: dict[str, Any], path: str) -> None:
        if "properties" in part:
            assert part.get("additionalProperties") is False, path
            for name, inner in part["properties"].items():
                closed(inner, f"{path}/{name}")

    closed(schema, "")


def test_every_value_is_used() -> None:
    """A value that no template reads would promise what does not happen."""
    templates = "".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))
    for name in yaml.safe_load((CHART / "values.yaml").read_text()):
        assert re.search(rf'\.Values\.{name}\b|"{name}" "/', templates), name


def test_the_readme_shows_values_that_are_taken() -> None:
    """What an operator copies first: it makes the job, the monitor and the alarms, and no secret is missing a name."""
    (shown,) = re.findall(r"<!-- values -->\n```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)
    made = {manifest["kind"] for manifest in render(yaml.safe_load(shown))}
    assert {"Job", "ServiceMonitor", "PrometheusRule", "StatefulSet"} <= made


def test_notes_say_what_is_left_to_do(tmp_path: Path) -> None:
    """Which topics, where to look, and what this release does not bring."""
    chart = shutil.copytree(CHART, tmp_path / "eximwatch")
    notes = chart / "templates" / "NOTES.txt"  # Helm shows them only when it talks to a cluster
    (chart / "templates" / "notes.yaml").write_text(
        '{{- define "notes" -}}' + notes.read_text() + '{{- end -}}\nkind: Notes\nof: {{ include "notes" . | quote }}\n'
    )

    def shown(values: Values) -> str:
        return str(next(it["of"] for it in render(values, chart=chart) if it["kind"] == "Notes"))

    bare = shown({})
    assert "3 worker(s) of eximwatch 0.1.0, topics eximwatch.*" in bare
    assert "kubectl -n detection logs eximwatch-0 --previous" in bare
    assert "The topics must be there" in bare
    assert "No alarms are installed" in bare
    full = shown(
        {
            **RULES,
            "topics": {"job": "check"},
            "serviceMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True},
        }
    )
    for left in ("The topics must", "Nothing scrapes", "No alarms"):
        assert left not in full

"""What the Helm chart repeats of the project: version, settings, alarms. `python -m tests.deploy.chart` writes them."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, Final

from app.core.duration import parse_duration
from app.runtime.settings import Settings
from tests.broker.jars import REPOSITORY

CHART: Final = REPOSITORY / "deploy" / "helm" / "eximwatch"
ALERTS: Final = REPOSITORY / "deploy" / "prometheus" / "alerts.yaml"

SET_BY_CHART: Final = frozenset(
    {"data_dir", "http_listen", "rules", "tls_ca", "tls_cert", "tls_key", "sasl_password_file"}
)
"""Settings that follow from other values."""

NEVER_SET: Final = frozenset({"sasl_password"})
"""A password in values ends up in the release's history."""

_DURATION: Final = "^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$"


def settings_schema() -> dict[str, Any]:
    """The schema of the value `settings`: each setting of a worker that an operator may give here."""
    declared = Settings.model_json_schema()["properties"]
    allowed = {name: _setting(it) for name, it in declared.items() if name not in SET_BY_CHART | NEVER_SET}
    return {"type": "object", "additionalProperties": False, "properties": allowed}


def project_version() -> str:
    """The version in pyproject.toml."""
    version: str = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    return version


def repeated() -> dict[str, str]:
    """The chart's files that repeat something, by name, as they must be."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema["properties"]["settings"] = settings_schema()
    chart = (CHART / "Chart.yaml").read_text()
    return {
        "values.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        "Chart.yaml": re.sub(r"(?m)^appVersion: .*$", f'appVersion: "{project_version()}"', chart),
        "files/alerts.yaml": ALERTS.read_text(),
    }


def _setting(declared: dict[str, Any]) -> dict[str, Any]:
    """A setting's schema: a list may be one text with commas, and what is None by default is left out to be so."""
    described = {"description": declared["description"]}
    choices = [choice for choice in declared.get("anyOf", [declared]) if choice["type"] != "null"]
    kind = choices[0]
    if kind["type"] == "array":
        text = {"type": "string", "minLength": 1}
        least = 0 if declared["default"] == [] else 1
        return {**described, "anyOf": [text, {"type": "array", "items": text, "minItems": least}]}
    kept = {key: kind[key] for key in ("enum", "minimum", "maximum", "minLength", "pattern") if key in kind}
    if kind["type"] == "string" and _is_duration(declared.get("default")):
        kept |= {"minLength": 1, "pattern": _DURATION}
    return {**described, "type": kind["type"], **kept}


def _is_duration(default: object) -> bool:
    try:
        return isinstance(default, str) and parse_duration(default) > 0
    except ValueError:
        return False


if __name__ == "__main__":
    for name, text in repeated().items():
        (CHART / name).write_text(text)

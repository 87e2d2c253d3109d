"""Helm, and the schemas of what Prometheus's operator adds to Kubernetes: installed once below `.tools`."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.tools import TOOLS, InstallError, locked, run

HELM_VERSION: Final = "v3.22.0"
OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.93.1"

_DEFINITIONS: Final = {
    "ServiceMonitor": "monitoring.coreos.com_servicemonitors.yaml",
    "PrometheusRule": "monitoring.coreos.com_prometheusrules.yaml",
}
_DOWNLOAD_DEADLINE_S: Final = 120


def helm() -> Path:
    """Helm from the PATH, else built by Go; the test is skipped where it can't be had."""
    found = _helm()
    if isinstance(found, str):
        pytest.skip(f"no helm: {found}")
    return found


def operator_schema(kind: str) -> dict[str, Any]:
    """The schema of a kind of Prometheus's operator, from its Go module; the test is skipped where it can't be had."""
    folder = _definitions()
    if isinstance(folder, str):
        pytest.skip(f"no definitions of prometheus-operator: {folder}")
    definition = yaml.safe_load((folder / _DEFINITIONS[kind]).read_text())
    (version,) = definition["spec"]["versions"]
    schema: dict[str, Any] = _closed(version["schema"]["openAPIV3Schema"])
    return schema


@cache
def _helm() -> Path | str:
    """Where it is, or why it is not: tried once a process, since a proxy that does not answer takes its time."""
    found = shutil.which("helm")
    if found:
        return Path(found)
    target = TOOLS / "bin" / "helm"
    try:
        with locked("helm"):
            if not target.is_file():
                _build_helm(target)
    except InstallError as error:
        return str(error)
    return target


@cache
def _definitions() -> Path | str:
    """The folder of the definitions, or why there is none."""
    folder = TOOLS / "prometheus-operator"
    try:
        with locked("prometheus-operator"):
            if not folder.is_dir():
                _copy_definitions(folder)
    except InstallError as error:
        return str(error)
    return folder


def _build_helm(target: Path) -> None:
    """Built beside the target and moved there whole: who is interrupted leaves no half of it."""
    with tempfile.TemporaryDirectory(dir=TOOLS, prefix="helm.part-") as folder:
        run("env", f"GOBIN={folder}", "go", "install", f"helm.sh/helm/v3/cmd/helm@{HELM_VERSION}", cwd=TOOLS)
        target.parent.mkdir(exist_ok=True)
        (Path(folder) / "helm").rename(target)


def _copy_definitions(folder: Path) -> None:
    try:
        done = subprocess.run(
            ["go", "mod", "download", "-json", OPERATOR],
            cwd=TOOLS,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_DEADLINE_S,
            check=False,
        )
    except FileNotFoundError:
        raise InstallError("go is not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise InstallError(f"{OPERATOR} did not come in {_DOWNLOAD_DEADLINE_S} s") from None
    if done.returncode:
        raise InstallError(done.stdout.strip()[-400:])
    source = Path(json.loads(done.stdout)["Dir"]) / "example" / "prometheus-operator-crd"
    with tempfile.TemporaryDirectory(dir=TOOLS, prefix="prometheus-operator.part-") as part:
        for name in _DEFINITIONS.values():
            shutil.copyfile(source / name, Path(part) / name)
        shutil.copytree(part, folder)


def _closed(schema: Any) -> Any:
    """The schema with unknown fields refused, which the API server would drop or, asked strictly, refuse."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(part) for key, part in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and "type" in schema and not open_ended:
        closed.setdefault("additionalProperties", False)
    return closed

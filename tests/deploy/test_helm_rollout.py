"""What the chart does over time: volumes that stay, upgrades that are taken, rules and settings that change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from app.runtime.rules import load_rules
from app.runtime.settings import PACKAGED_RULES
from app.tools.cli import cli
from tests.deploy.chart import CHART
from tests.deploy.rendering import RULES, SETS, Manifest, environment, manifests, only, pods, render

pytestmark = pytest.mark.xdist_group("helm")


def test_each_worker_has_a_volume_that_outlives_it() -> None:
    """The data directory lies on a claim of the set's template, which is kept when the set shrinks or goes."""
    spec = only("StatefulSet", manifests("everything"))["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert ("50Gi", "local") == (claim["spec"]["resources"]["requests"]["storage"], claim["spec"]["storageClassName"])
    (container,) = spec["template"]["spec"]["containers"]
    (mount,) = (it for it in container["volumeMounts"] if it["name"] == claim["metadata"]["name"])
    directory = PurePosixPath(environment(spec["template"])["EXIMWATCH_DATA_DIR"])
    assert PurePosixPath(mount["mountPath"]) in directory.parents
    assert {"whenDeleted": "Retain", "whenScaled": "Retain"} == spec["persistentVolumeClaimRetentionPolicy"]


def test_what_a_set_can_not_change_does_not_follow_the_version(tmp_path: Path) -> None:
    """Kubernetes refuses an upgrade that changes a set's selector, service or claims."""
    chart = shutil.copytree(CHART, tmp_path / "eximwatch")
    (chart / "Chart.yaml").write_text(
        (CHART / "Chart.yaml").read_text().replace('"0.1.0"', '"0.2.0"').replace("version: 0.1.0", "version: 0.2.0")
    )
    before = only("StatefulSet", manifests("defaults"))["spec"]
    after = only("StatefulSet", render({}, chart=chart))["spec"]
    assert before["template"] != after["template"]
    for key in ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"):
        assert before[key] == after[key]


def _mounted(data: dict[str, str], folder: Path) -> Path:
    """A folder as the kubelet mounts a ConfigMap: names that lead through `..data` to the files."""
    version = folder / "..2026_11_24"
    version.mkdir(parents=True)
    (folder / "..data").symlink_to(version.name)
    for name, text in data.items():
        (version / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")
    return folder


def test_rules_arrive_as_they_were_given(tmp_path: Path) -> None:
    """Each byte: the digest of a rule is what tells that workers differ. The job has them before the release."""
    shipped = {path.name: path.read_text() for path in PACKAGED_RULES.glob("*.toml")}
    for name in ("rules", "everything"):
        for number, manifest in enumerate(it for it in manifests(name) if it["kind"] == "ConfigMap"):
            assert shipped == manifest["data"]
            folder = _mounted(manifest["data"], tmp_path / f"{name}{number}")
            assert [rule.spec for rule in load_rules([PACKAGED_RULES])] == [rule.spec for rule in load_rules([folder])]
    for pod in pods(manifests("everything")):
        (container,) = pod["spec"]["containers"]
        (volume,) = (it for it in pod["spec"]["volumes"] if it["name"] == "rules")
        (mount,) = (it for it in container["volumeMounts"] if it["name"] == "rules")
        assert environment(pod)["EXIMWATCH_RULES"] == mount["mountPath"]
        assert volume["configMap"]["name"] in {
            it["metadata"]["name"] for it in manifests("everything") if it["kind"] == "ConfigMap"
        }


def _differences(left: Any, right: Any, path: str = "") -> list[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        keys = sorted(left.keys() | right.keys())
        return [it for key in keys for it in _differences(left.get(key), right.get(key), f"{path}/{key}")]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [it for n, pair in enumerate(zip(left, right, strict=True)) for it in _differences(*pair, f"{path}/{n}")]
    return [] if left == right else [path]


def _by_name(made: list[Manifest]) -> dict[str, Manifest]:
    return {f"{it['kind']} {it['metadata']['name']}": it for it in made}


def test_another_rule_makes_other_pods_and_changes_nothing_else() -> None:
    """The rule's file, and the annotation that has its digest."""
    name = "exim4_child.toml"
    changed = render({"rules": {**RULES["rules"], name: RULES["rules"][name] + "# another remark\n"}})
    assert [
        f"/ConfigMap eximwatch-rules/data/{name}",
        "/StatefulSet eximwatch/spec/template/metadata/annotations/eximwatch/rules-sha256",
    ] == _differences(_by_name(manifests("rules")), _by_name(changed))


def test_another_setting_makes_other_pods_and_changes_nothing_else() -> None:
    """Settings stand in the pod's template: nobody has to remember to restart."""
    name = "/StatefulSet eximwatch/spec/template/spec/containers/0/env/2/value"
    changed = render({"settings": {"brokers": ["other:9092"]}})
    assert [name] == _differences(_by_name(manifests("defaults")), _by_name(changed))


def test_commands_are_those_that_there_are() -> None:
    """The worker's and the job's command lead through the command line to a command, which takes them as they are."""
    made = {job: render({"topics": {"job": job}}) for job in ("check", "create")}
    for manifest in [*made["check"], *made["create"]]:
        for pod in pods([manifest]):
            (container,) = pod["spec"]["containers"]
            program, *words = container["command"]
            assert "eximwatch" == program
            command: Any = cli
            for word in words:
                command = command.commands[word]
            assert not hasattr(command, "commands")


def test_the_job_comes_before_the_workers_and_logs_in_as_who_may() -> None:
    """A hook that needs nothing of the release, with a login of its own where one is given, else the worker's."""
    job = only("Job", manifests("everything"))
    assert "pre-install,pre-upgrade" == job["metadata"]["annotations"]["helm.sh/hook"]
    pod = job["spec"]["template"]
    assert "default" == pod["spec"]["serviceAccountName"]
    assert "admin" == environment(pod)["EXIMWATCH_SASL_USERNAME"]
    assert {"kafka-ca", "admin-login", "admin-certificate"} == {
        it["secret"]["secretName"] for it in pod["spec"]["volumes"] if "secret" in it
    }
    worker = only("StatefulSet", manifests("everything"))["spec"]["template"]
    assert "eximwatch" == environment(worker)["EXIMWATCH_SASL_USERNAME"]
    same = only("Job", render({**SETS["tls-and-login"], "topics": {"job": "create"}}))["spec"]["template"]
    assert "eximwatch" == environment(same)["EXIMWATCH_SASL_USERNAME"]
    assert "worker-login" in json.dumps(same["spec"]["volumes"])


def test_names_fit_whatever_the_release_is_called() -> None:
    """The longest name that Helm allows: pods, their claims and a set's revision stay within 63 characters."""
    made = render({**RULES, "topics": {"job": "create"}}, release="r" * 53)
    name = only("StatefulSet", made)["metadata"]["name"]
    assert 63 >= max(len(f"{name}-9999"), len(f"data-{name}-9999"), len(f"{name}-" + "0" * 11))
    assert 63 >= max(len(it["metadata"]["name"]) for it in made)
    assert 63 >= max(len(label) for it in made for label in it["metadata"]["labels"].values())

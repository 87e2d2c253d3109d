"""The chart's manifests: valid for Kubernetes, of one piece, and such that a worker starts in them."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from app.runtime.link import check_link
from app.runtime.settings import Settings, load_settings
from app.runtime.stop import STOP_S
from tests.deploy.chart import ALERTS, SET_BY_CHART
from tests.deploy.helm_tool import operator_schema
from tests.deploy.rendering import SETS, Manifest, call, environment, manifests, only, pods, render
from tests.deploy.tools import promtool

pytestmark = pytest.mark.xdist_group("helm")

KUBERNETES = ("1.27", "1.33", "1.37")
OPERATOR_KINDS = {"ServiceMonitor", "PrometheusRule"}


def _selects(selector: dict[str, str], pod: Manifest) -> bool:
    return set(selector.items()) <= set(pod["metadata"]["labels"].items())


@pytest.mark.parametrize("name", SETS)
def test_helm_has_nothing_to_say_against_the_chart(name: str) -> None:
    """`helm lint`, where warnings count."""
    done = call("lint", "--strict", values=SETS[name])
    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize("name", SETS)
def test_kubernetes_takes_every_manifest(name: str) -> None:
    """From the oldest version that the chart allows to new ones; a field that they do not know is refused."""
    for manifest in manifests(name):
        if manifest["kind"] not in OPERATOR_KINDS:
            for version in KUBERNETES:
                kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    """The schemas are strict, so that the test before this one sees a misspelt field."""
    wrong = copy.deepcopy(only("StatefulSet", manifests("defaults")))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 15
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(wrong, KUBERNETES[0], strict=True)


@pytest.mark.parametrize("kind", sorted(OPERATOR_KINDS))
def test_the_operator_of_prometheus_takes_what_is_meant_for_it(kind: str) -> None:
    """Against the schema that the operator installs; a field that it does not know is refused."""
    manifest = only(kind, manifests("everything"))
    assert "prometheus" == manifest["metadata"]["labels"]["release"]
    validator = jsonschema.Draft202012Validator(operator_schema(kind))
    assert [] == [error.message for error in validator.iter_errors(manifest)]
    assert not validator.is_valid({**manifest, "spec": {**manifest["spec"], "group": []}})


def test_what_needs_the_operator_is_off_unless_asked_for() -> None:
    """A cluster without these kinds would refuse the whole release."""
    assert not OPERATOR_KINDS & {manifest["kind"] for manifest in manifests("defaults")}


@pytest.mark.parametrize("name", SETS)
def test_the_environment_is_one_that_a_worker_accepts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is a setting, values are read as they were meant, and the link's settings go together."""
    given = SETS[name].get("settings", {})
    for pod in pods(manifests(name)):
        with monkeypatch.context() as context:
            for variable, value in environment(pod).items():
                context.setenv(variable, value)
            settings = load_settings()
        check_link(settings)
        assert given.get("partitions", 12) == settings.partitions
        assert given.get("table_cache_bytes", 8_388_608) == settings.table_cache_bytes
        assert given.get("tls", False) is settings.tls
        assert tuple(given.get("skip_corrupt", ())) == settings.skip_corrupt
        assert {"kafka-1.example.test:9093" if given.get("tls") else "kafka:9092"} <= set(settings.brokers)


def test_the_chart_sets_what_it_refuses_in_settings() -> None:
    """Each setting that follows from other values is set, with everything on."""
    variables = environment(only("StatefulSet", manifests("everything"))["spec"]["template"])
    assert set() == {f"EXIMWATCH_{name.upper()}" for name in SET_BY_CHART} - set(variables)


@pytest.mark.parametrize("name", SETS)
def test_no_secret_passes_through_the_chart(name: str) -> None:
    """Secrets are named and mounted as files: none is made, none stands in a variable."""
    made = manifests(name)
    assert "Secret" not in {manifest["kind"] for manifest in made}
    for pod in pods(made):
        assert "EXIMWATCH_SASL_PASSWORD" not in environment(pod)
        (container,) = pod["spec"]["containers"]
        assert "envFrom" not in container
        files = {
            f"{mount['mountPath']}/{item['path']}"
            for mount in container["volumeMounts"]
            for volume in pod["spec"]["volumes"]
            if volume["name"] == mount["name"] and "secret" in volume
            for item in volume["secret"]["items"]
        }
        wanted = ("TLS_CA", "TLS_CERT", "TLS_KEY", "SASL_PASSWORD_FILE")
        assert files == {environment(pod)[f"EXIMWATCH_{it}"] for it in wanted if f"EXIMWATCH_{it}" in environment(pod)}


@pytest.mark.parametrize("name", SETS)
def test_pods_have_no_right_that_they_do_not_need(name: str) -> None:
    """Kubernetes's `restricted` standard, a root that can't be written, no token, no variables of services."""
    for pod in pods(manifests(name)):
        spec = pod["spec"]
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert 10001 == spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"]
        assert "RuntimeDefault" == spec["securityContext"]["seccompProfile"]["type"]
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        } == container["securityContext"]
        assert not spec["automountServiceAccountToken"]
        assert not spec["enableServiceLinks"], "a service's EXIMWATCH_… variables would refuse the worker's start"
        assert {"persistentVolumeClaim", "hostPath"}.isdisjoint({key for it in spec["volumes"] for key in it})
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", SETS)
def test_probes_and_services_meet_the_port_that_the_worker_opens(name: str) -> None:
    """Liveness and start ask for progress, readiness for readiness; all by the name of the one port."""
    made = manifests(name)
    pod = only("StatefulSet", made)["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert f"0.0.0.0:{port['containerPort']}" == environment(pod)["EXIMWATCH_HTTP_LISTEN"]
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert {"path": path, "port": port["name"]} == container[probe]["httpGet"]
    (service_port,) = only("Service", made)["spec"]["ports"]
    assert port["name"] == service_port["targetPort"]
    (ingress,) = only("NetworkPolicy", made)["spec"]["ingress"]
    assert [{"protocol": "TCP", "port": port["containerPort"]}] == ingress["ports"]
    if name == "everything":
        (endpoint,) = only("ServiceMonitor", made)["spec"]["endpoints"]
        assert (service_port["name"], "/metrics") == (endpoint["port"], endpoint["path"])


def test_kubernetes_is_the_last_to_end_a_worker() -> None:
    """A stop has its time; the liveness probe gives up only after the watchdog should have ended the worker."""
    spec = only("StatefulSet", manifests("defaults"))["spec"]["template"]["spec"]
    assert STOP_S + 1 < spec["terminationGracePeriodSeconds"]
    (container,) = spec["containers"]
    liveness = container["livenessProbe"]
    watchdog = int(str(Settings.model_fields["watchdog_timeout"].default).removesuffix("s"))
    assert 2 * watchdog < liveness["periodSeconds"] * liveness["failureThreshold"]


@pytest.mark.parametrize("name", SETS)
def test_what_selects_workers_selects_them_and_nothing_else(name: str) -> None:
    """Set, budget, service, spread and monitor mean the workers; the network's policy means the job too."""
    made = manifests(name)
    stateful = only("StatefulSet", made)
    worker, *others = pods([stateful, *(it for it in made if it["kind"] == "Job")])
    service = only("Service", made)
    selectors = [
        stateful["spec"]["selector"]["matchLabels"],
        only("PodDisruptionBudget", made)["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
    ]
    if name != "everything":  # that one has a constraint of its own
        selectors += [it["labelSelector"]["matchLabels"] for it in worker["spec"]["topologySpreadConstraints"]]
    for selector in selectors:
        assert _selects(selector, worker)
        assert not any(_selects(selector, other) for other in others)
    assert service["metadata"]["name"] == stateful["spec"]["serviceName"]
    if name == "everything":
        assert _selects(only("ServiceMonitor", made)["spec"]["selector"]["matchLabels"], service)
        assert 1 == len(others)
    policy = only("NetworkPolicy", made)["spec"]["podSelector"]["matchLabels"]
    assert all(_selects(policy, pod) for pod in (worker, *others))


def test_workers_may_reach_names_and_kafka_and_nothing_else() -> None:
    """The ports of the brokers that are given, or those that are named; peers where they are named."""
    ports = {
        name: [
            [it["port"] for it in rule["ports"]] for rule in only("NetworkPolicy", manifests(name))["spec"]["egress"]
        ]
        for name in ("defaults", "tls-and-login", "everything")
    }
    assert {
        "defaults": [[53, 53], [9092]],
        "tls-and-login": [[53, 53], [9093, 9094]],
        "everything": [[53, 53], [9093, 30001]],
    } == ports
    assert [{"ipBlock": {"cidr": "192.0.2.0/24"}}] == only("NetworkPolicy", manifests("everything"))["spec"]["egress"][
        1
    ]["to"]
    closed = only("NetworkPolicy", render({"networkPolicy": {"metricsFrom": []}}))["spec"]
    assert [] == closed["ingress"]


def test_alarms_are_the_projects_and_point_at_the_runbook_that_is_named(tmp_path: Path) -> None:
    """Whole, templates of theirs untouched; Prometheus takes them."""
    spec = only("PrometheusRule", manifests("everything"))["spec"]
    assert yaml.safe_load(ALERTS.read_text().replace("https://runbook.example.test", "https://wiki.test/x")) == spec
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(spec))
    subprocess.run([promtool(), "check", "rules", tmp_path / "alerts.yaml"], check=True, capture_output=True)


def test_scraped_workers_have_the_job_and_the_names_that_alarms_go_by() -> None:
    """A pod that is made anew has another address; its restarts must be those of one instance."""
    (endpoint,) = only("ServiceMonitor", manifests("everything"))["spec"]["endpoints"]
    assert [
        {"targetLabel": "job", "replacement": "eximwatch"},
        {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"},
    ] == endpoint["relabelings"]

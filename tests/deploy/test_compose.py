"""The compose file: it is whole, shut off from the network, and its commands do what they are there for."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import pytest
import yaml
from compose_spec import PyCompose

from app.runtime.settings import Settings
from app.tools.cli import cli
from tests.broker.installation import Installation
from tests.broker.jars import REPOSITORY
from tests.broker.process import Child, Guard

if TYPE_CHECKING:
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

FILE: Final = REPOSITORY / "deploy" / "compose.yaml"
SERVICES: Final[dict[str, dict[str, Any]]] = yaml.safe_load(FILE.read_text())["services"]
OURS: Final = {name: service for name, service in SERVICES.items() if service["image"].startswith("eximwatch:")}
WORKERS: Final = [name for name, service in OURS.items() if service["command"] == ["worker"]]


def test_the_specification_takes_it() -> None:
    """Every key and value is one of the compose specification's."""
    # Merge keys are YAML's business, and this reader of the specification does not know them.
    compose = PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(FILE.read_text())))
    compose.validate()
    assert SERVICES.keys() == (compose.to_spec().services or {}).keys()
    assert ["worker-1", "worker-2"] == WORKERS


def test_every_mounted_file_is_there() -> None:
    """And every volume is declared; what is ours in the checkout is mounted for reading only."""
    declared = yaml.safe_load(FILE.read_text())["volumes"]
    used = set()
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source, _, rest = mount.partition(":")
            if source.startswith("."):
                assert (FILE.parent / source).exists(), mount
                assert rest.endswith(":ro"), mount
            else:
                assert source not in used, f"{source} is shared"
                used.add(source)
    assert declared.keys() == used
    for service in OURS.values():
        assert (FILE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_variables_are_settings_and_workers_agree() -> None:
    """Whatever two workers of one installation must have alike is alike; the topics' job has it as well."""
    known = {f"EXIMWATCH_{name.upper()}" for name in Settings.model_fields}
    for name, service in OURS.items():
        assert service["environment"].keys() <= known, name
    first, second = (SERVICES[name] for name in WORKERS)
    assert {**first, "volumes": ()} == {**second, "volumes": ()}
    assert SERVICES["topics"]["environment"].items() <= first["environment"].items()


def test_every_condition_can_come_true() -> None:
    """Who waits for health waits for a service that tells of it; who waits for an end, for one that ends."""
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            awaited = SERVICES[other]
            if wait["condition"] == "service_healthy":
                assert awaited["healthcheck"]["test"], (name, other)
            else:
                assert "service_completed_successfully" == wait["condition"]
                assert "always" != awaited["restart"], (name, other)


def test_commands_are_the_command_lines() -> None:
    """Each is parsed as the program would, up to but without running it; so is the health check."""
    commands = [service["command"] for service in OURS.values()]
    checks = [service["healthcheck"]["test"] for service in OURS.values() if "test" in service["healthcheck"]]
    assert all(["CMD", "eximwatch"] == check[:2] for check in checks)
    for arguments in [*commands, *(check[2:] for check in checks)]:
        _parse(arguments)
    with pytest.raises(click.UsageError):
        _parse(["topics", "create", "--no-such-flag"])


def _parse(arguments: list[str]) -> None:
    command: click.Command = cli
    context = click.Context(cli, info_name="eximwatch")
    rest = list(arguments)
    while isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
    command.make_context(" ".join(arguments), rest, parent=context)


def test_nothing_is_published_beyond_this_machine() -> None:
    """Nothing here has a password."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert 3 == len(ports)
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


def test_our_containers_may_do_nothing_more() -> None:
    """No capability, no new one, no write but to their volume."""
    for name, service in OURS.items():
        assert service["read_only"] is True, name
        assert ["ALL"] == service["cap_drop"], name
        assert ["no-new-privileges:true"] == service["security_opt"], name
    for name in WORKERS:
        assert "always" == SERVICES[name]["restart"]
        assert "15s" == SERVICES[name]["stop_grace_period"]
        assert [f"{name}:/var/lib/eximwatch"] == SERVICES[name]["volumes"]


def test_images_are_named_by_version_and_whoever_runs_has_a_bound() -> None:
    """`latest` would be another program tomorrow; one that takes all memory would take the others' too."""
    for name, service in SERVICES.items():
        _, _, tag = service["image"].partition(":")
        assert tag[:1].lstrip("v").isdigit() or tag[1:2].isdigit(), name
        assert "mem_limit" in service or "topics" == name, name


def test_prometheus_asks_every_worker_at_its_port() -> None:
    """Its targets are the workers' names here, at the port that the image listens on."""
    config = yaml.safe_load((FILE.parent / "prometheus" / "prometheus.yaml").read_text())
    (job,) = config["scrape_configs"]
    (targets,) = job["static_configs"]
    assert [f"{name}:9464" for name in WORKERS] == targets["targets"]
    dockerfile = (FILE.parent / "Dockerfile").read_text()
    assert "EXIMWATCH_HTTP_LISTEN=0.0.0.0:9464" in dockerfile


@pytest.mark.broker
def test_services_raise_alerts_together(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """The very command lines and variables, on another Kafka: topics are made, both workers share, attacks alert."""
    source = f"{topic_prefix}.events"
    changed = {
        "EXIMWATCH_BROKERS": kafka.brokers,
        "EXIMWATCH_SOURCE_TOPICS": source,
        "EXIMWATCH_TOPIC_PREFIX": topic_prefix,
        "EXIMWATCH_HTTP_LISTEN": "127.0.0.1:0",
    }
    with Installation(kafka.brokers, topic_prefix, settings=_settings("worker-1")) as installation:
        arguments = SERVICES["topics"]["command"]
        made = installation.run(*arguments, **{name.removeprefix("EXIMWATCH_"): text for name, text in changed.items()})
        assert 0 == made.returncode, made.stderr
        workers = [installation.worker() for _ in WORKERS]
        installation.wait_shared(workers)
        command = [source if "process-events" == word else word for word in SERVICES["producer"]["command"]]
        folder = Path(tempfile.mkdtemp(prefix="eximwatch-producer-"))
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("EXIMWATCH_")}
        guard = Guard(folder)
        producer = Child(
            [sys.executable, "-m", "app", *command],
            env={**inherited, "EXIMWATCH_BROKERS": kafka.brokers},
            cwd=REPOSITORY,
            log=folder / "log",
            guard=guard,
        )
        producer.start()
        try:
            installation.wait_alerts(11, *workers)
            assert producer.running, producer.tail()
        finally:
            producer.kill()
            told = producer.output()
            guard.close()
        installation.wait_caught_up(*workers)
        hosts = {alert.document["host"]["name"] for alert in installation.alerts()}
        # Ordinary work was learned, on all four mail servers.
        assert 1 == len(hosts)
        assert "an attack on " + hosts.pop() in told
        assert [0, 0] == [worker.stop() for worker in workers]


def _settings(service: str) -> dict[str, str]:
    named = {name.removeprefix("EXIMWATCH_"): text for name, text in SERVICES[service]["environment"].items()}
    return {name: text for name, text in named.items() if name not in ("BROKERS", "SOURCE_TOPICS")}

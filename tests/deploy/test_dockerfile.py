"""The image, as far as it can be told without a container engine: its file, its commands, what they make."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from app.runtime.settings import Settings
from tests.broker.history import history
from tests.broker.installation import PARTITIONS, Installation
from tests.broker.jars import REPOSITORY
from tests.broker.settings import free_ports
from tests.deploy import sealed
from tests.deploy.dockerfile import USER, Context, Player, as_plain_user, own, stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = pytest.mark.xdist_group("image")  # made once, not by each process of a run

DOCKERFILE: Final = REPOSITORY / "deploy" / "Dockerfile"
PLACES: Final = ("/opt/eximwatch", "/var/lib/eximwatch", "/build")


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """What the file's commands make, in an empty directory that the plain user owned while they ran."""
    # Not below the directory of temporary files, of which a test's process has none; nor one that only we may enter.
    root = Path(tempfile.mkdtemp(prefix="eximwatch-image-", dir="/var/tmp"))
    root.chmod(0o755)
    try:
        tools = root / "tools"
        tools.mkdir()
        (tools / "python").symlink_to(_python(root))
        inherited = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        base = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(root / "home"), **inherited}
        for place in ("home", "build", "opt", "var/lib"):
            (root / place).mkdir(parents=True)
        own(root)
        context = Context(REPOSITORY, DOCKERFILE.with_name("Dockerfile.dockerignore").read_text())
        player = Player(root, context, REPOSITORY, PLACES)
        for stage in stages(DOCKERFILE.read_text()):
            player.play(stage, base)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _python(work: Path) -> str:
    """A Python that the plain user may run; ours may lie in somebody's home."""
    for found in (sys._base_executable, "/usr/bin/python3", "/usr/local/bin/python3"):  # type: ignore[attr-defined]
        probe = [found, "-c", "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"]
        if Path(found).exists() and 0 == as_plain_user(probe, {"PATH": "/usr/bin:/bin"}, work).returncode:
            return str(found)
    pytest.skip("no Python 3.11 with venv that a plain user may run")


def _environment(image: Path) -> dict[str, str]:
    """The image's own, with no home and no time zone."""
    final = stages(DOCKERFILE.read_text())[-1]
    player = Player(image, Context(REPOSITORY, ""), REPOSITORY, PLACES)
    named = {name: player.mapped(value) for name, value in final.environment().items()}
    return {**named, "PATH": f"{image}/opt/eximwatch/bin:/usr/bin:/bin"}


def _command(*arguments: str) -> list[str]:
    return [*stages(DOCKERFILE.read_text())[-1].listed("ENTRYPOINT"), *arguments]


def test_hadolint_has_nothing_to_say() -> None:
    """Every rule of hadolint's is on."""
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stdout)


def test_variables_are_settings() -> None:
    """A misspelt one would keep every worker from starting."""
    named = {name for name in stages(DOCKERFILE.read_text())[-1].environment() if name.startswith("EXIMWATCH_")}
    assert {"EXIMWATCH_DATA_DIR", "EXIMWATCH_HTTP_LISTEN", "EXIMWATCH_LOG_FORMAT"} == named
    assert named <= {f"EXIMWATCH_{name.upper()}" for name in Settings.model_fields}


def test_user_is_a_number_and_owns_the_volume() -> None:
    """A number can be checked by whoever runs the image; a volume that is new belongs to that user."""
    final = stages(DOCKERFILE.read_text())[-1]
    assert f"{USER}:{USER}" == final.last("USER")
    assert final.environment()["EXIMWATCH_DATA_DIR"] == final.last("VOLUME")
    assert any(f"--chown={USER}:{USER}" in text and text.endswith(final.last("VOLUME")) for _, text in final.steps)
    assert final.environment()["EXIMWATCH_HTTP_LISTEN"].endswith(f":{final.last('EXPOSE')}")


def test_context_holds_no_more_than_the_image_is_made_of() -> None:
    """No secret, history or cache of a checkout goes to a builder."""
    context = Context(REPOSITORY, DOCKERFILE.with_name("Dockerfile.dockerignore").read_text())
    assert context.shows(Path("app/tools/cli.py"))
    for name in (".git/config", ".venv/bin/python", "deploy/worker.env", "tests/conftest.py", "app/__pycache__/a.pyc"):
        assert not context.shows(Path(name)), name


def test_what_runs_has_neither_pip_nor_what_builds(image: Path) -> None:
    """Less to keep up to date: the second environment is the lock's, without the wheel's builder."""
    (packages,) = (image / "opt/eximwatch/lib").glob("python*/site-packages")
    there = {path.name.split("-")[0] for path in packages.glob("*.dist-info")}
    assert {"eximwatch", "faust_streaming", "rocksdict", "uvloop"} <= there
    assert not {"pip", "setuptools", "hatchling", "editables", "pluggy", "pathspec"} & there
    check = as_plain_user(
        [
            str(image / "build/tools/bin/python"),
            "-m",
            "pip",
            "--python",
            str(image / "opt/eximwatch/bin/python"),
            "check",
        ],
        {"PATH": "/usr/bin:/bin"},
        image,
    )
    assert 0 == check.returncode, check.stdout


def test_commands_run_without_home(image: Path) -> None:
    """As a user without a name or a home; the packaged rules and recording are in it."""
    environment = _environment(image)
    version = as_plain_user(_command("--version"), environment, image)
    settings = as_plain_user(_command("settings"), environment, image)
    (events,) = (image / "opt/eximwatch/lib").glob("python*/site-packages/app/recordings/events.ndjson")
    recording = as_plain_user(_command("replay", str(events)), environment, image)
    assert (0, 0, 0) == (version.returncode, settings.returncode, recording.returncode), recording.stdout
    assert "eximwatch, version 0.1.0" in version.stdout
    assert "http_listen = 0.0.0.0:9464" in settings.stdout
    assert "kibana.alert.uuid" in recording.stdout


@pytest.mark.broker
def test_worker_runs_in_it(kafka: Kafka | GivenKafka, topic_prefix: str, image: Path) -> None:
    """As process 1 over a root that can't be written it gets ready, is found well, has no child left, stops with 0."""
    sealed.require()
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        data = image / "var/lib/eximwatch"
        environment = {
            **_environment(image),
            "EXIMWATCH_BROKERS": kafka.brokers,
            "EXIMWATCH_TOPIC_PREFIX": topic_prefix,
            "EXIMWATCH_SOURCE_TOPICS": installation.source(),
            "EXIMWATCH_PARTITIONS": str(PARTITIONS),
            "EXIMWATCH_REPLICATION_FACTOR": "1",
            "EXIMWATCH_HTTP_LISTEN": f"127.0.0.1:{free_ports(1)[0]}",
        }
        command = _command(*stages(DOCKERFILE.read_text())[-1].listed("CMD"))
        check = json.loads(stages(DOCKERFILE.read_text())[-1].last("HEALTHCHECK").partition("CMD ")[2])
        assert 1 == as_plain_user(check, environment, image).returncode
        # The second start opens the databases in a process of its own beforehand.
        for _ in range(2):
            worker = _sealed(command, environment, data)
            try:
                worker.start()
                worker.wait_line("worker ready")
                installation.play(record.keyed for record in history(7, 20))
                installation.wait_caught_up()
                assert [] == worker.children()
                asked = as_plain_user(check, environment, image)
                assert 0 == asked.returncode, asked.stdout
                assert 0 == worker.stop(signal.SIGTERM), worker.output()
            finally:
                worker.close()
        assert (data / "installation.json").is_file()
        assert [] != installation.alerts()


def test_process_1_can_be_stopped_while_it_starts(image: Path) -> None:
    """Kafka does not answer, and nothing handles signals yet: it ends of SIGTERM as it would with another number."""
    sealed.require()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {**_environment(image), "EXIMWATCH_BROKERS": f"127.0.0.1:{silent.getsockname()[1]}"}
        worker = _sealed(_command("worker"), {**environment, "EXIMWATCH_HTTP_LISTEN": "none"}, image / "home")
        try:
            worker.start()
            worker.wait_line("exim4_unusual_path")
            assert 128 + signal.SIGTERM == worker.stop(signal.SIGTERM)
        finally:
            worker.close()


def _sealed(command: list[str], environment: dict[str, str], data: Path) -> sealed.Sealed:
    return sealed.Sealed(command, environment, data, Path(tempfile.mkdtemp(prefix="eximwatch-sealed-")))

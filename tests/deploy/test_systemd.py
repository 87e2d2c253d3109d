"""The systemd template: systemd takes it, it is shut off as far as the worker's work allows, and the worker runs so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from app.runtime.settings import Settings
from app.runtime.stop import STOP_S
from tests.broker.history import history
from tests.broker.installation import Installation
from tests.broker.jars import REPOSITORY
from tests.deploy.sandbox import allowed_calls, options

if TYPE_CHECKING:
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

UNIT: Final = REPOSITORY / "deploy" / "systemd" / "eximwatch@.service"
ENVIRONMENT: Final = REPOSITORY / "deploy" / "worker.env"
MOST_EXPOSED: Final = 1.5
"""Of ten; systemd calls up to about two OK. What is left is the network, which is the worker's work."""


def _analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def _here(tmp_path: Path) -> Path:
    """The template with a program that is on this machine."""
    copy = tmp_path / "eximwatch@.service"
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text()))
    return copy


def test_systemd_takes_it(tmp_path: Path) -> None:
    """Without a word, as an instance is loaded."""
    assert "" == _analyze("verify", str(_here(tmp_path)))


def test_it_is_shut_off(tmp_path: Path) -> None:
    """By systemd's own measure of what a service could do."""
    told = _analyze("security", "--offline=true", str(_here(tmp_path)))
    exposed = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert exposed is not None
    assert float(exposed[1]) <= MOST_EXPOSED


def test_variables_are_settings() -> None:
    """Of the template and of the file of variables; the template's own are those that differ from worker to worker."""
    known = {f"EXIMWATCH_{name.upper()}" for name in Settings.model_fields}
    texts = [word for value in options(UNIT.read_text())["Environment"] for word in value.split()]
    own = {word.partition("=")[0] for word in texts if word.startswith("EXIMWATCH_")}
    shared = set(re.findall(r"(?m)^#?(EXIMWATCH_\w+)=", ENVIRONMENT.read_text()))
    assert {"EXIMWATCH_DATA_DIR", "EXIMWATCH_SASL_PASSWORD_FILE"} == own
    assert own | shared <= known


def test_the_environment_file_is_read_by_the_worker() -> None:
    """Every line is `NAME=value` as systemd reads it, and the values are possible ones."""
    lines = [line for line in ENVIRONMENT.read_text().splitlines() if line and not line.startswith("#")]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXIMWATCH_")}
    named = dict(line.split("=", 1) for line in lines) | {"EXIMWATCH_SASL_PASSWORD_FILE": "/run/credentials/x"}
    done = subprocess.run(
        [sys.executable, "-m", "app", "settings"],
        env={**inherited, **named},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert "http_listen = 127.0.0.1:9464" in done.stdout
    assert "log_format = json" in done.stdout


def test_it_is_always_started_again_and_may_finish_its_stop() -> None:
    """No limit of starts, and more time to stop than the worker takes."""
    text = UNIT.read_text()
    said = options(text)
    assert "StartLimitIntervalSec=0" in text.partition("[Service]")[0]
    assert ["always"] == said["Restart"]
    assert int(said["TimeoutStopSec"][0].removesuffix("s")) > STOP_S + 2


def test_filter_takes_what_the_worker_has_no_use_for() -> None:
    """The order of its lines counts: what is taken away is gone, the one limit that a child of ours sets is back."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    calls = allowed_calls(options(UNIT.read_text())["SystemCallFilter"])
    assert {"read", "epoll_wait", "prlimit64", "execve"} <= calls
    assert not {"mount", "ptrace", "setuid", "chown", "bpf", "reboot", "init_module"} & calls


def test_the_stand_in_for_systemd_holds_what_it_says() -> None:
    """Else that the worker runs in it would say nothing: no such memory, no such call."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    tries = (
        "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
        "import os; os.chroot('/')",
        "import os; os.setuid(os.getuid())",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    )
    for program in tries:
        command = [sys.executable, "-m", "tests.deploy.sandbox", str(UNIT), sys.executable, "-c", program]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert "PermissionError" in done.stderr, (program, done.stderr)


def test_metrics_of_the_process_are_left() -> None:
    """Their library reads the boot time in /proc/stat and gives none without it; the alarm about restarts uses one."""
    assert options(UNIT.read_text()).get("ProcSubset", ["all"]) == ["all"]
    assert "process_start_time_seconds" in (REPOSITORY / "deploy" / "prometheus" / "alerts.yaml").read_text()


@pytest.mark.broker
def test_worker_runs_within_its_bounds(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Under its filter of system calls and without memory that is writable and executable, a restart among it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        installation.play(record.keyed for record in history(7, 100))
        worker = installation.worker(
            command=("-m", "tests.deploy.sandbox", str(UNIT), sys.executable, "-m", "app", "worker")
        )
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        # Opens the databases in a process of its own beforehand.
        worker.start()
        worker.wait_ready()
        assert "opened beforehand" not in worker.output()
        assert 0 == worker.stop()
        assert [] != installation.alerts()
        assert [] == installation.dead_letters()

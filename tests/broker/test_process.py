"""Processes and workers that tests start end as told, and are never left behind. No Kafka here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.broker.jars import REPOSITORY
from tests.broker.waiting import wait_until
from tests.broker.worker import Worker, WorkerEndedError

_POLITE = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("already starting", os.environ.get("EXIMWATCH_BROKERS"), os.environ.get("EXIMWATCH_OTHER"), flush=True)
print("worker ready", file=sys.stderr, flush=True)
while True:
    signal.pause()
"""
_DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
signal.pause()
"""
_BROKEN = "import sys; sys.exit('no such topic')"
_ORPHAN = """
import os, signal
from tests.broker.worker import Worker
worker = Worker({}, command=("-c", "import signal; print('ready'); signal.pause()"))
worker.start()
worker.wait_ready()
print(worker.pid, worker.log.parent, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _worker(script: str, env: dict[str, str] | None = None) -> Worker:
    return Worker(env or {}, command=("-c", script))


def test_worker_gets_the_settings_given_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the surrounding environment do not leak into a worker under test."""
    monkeypatch.setenv("EXIMWATCH_OTHER", "leaked")
    with _worker(_POLITE, {"EXIMWATCH_BROKERS": "here"}) as worker:
        worker.wait_ready(20)

        assert ["already starting here None", "worker ready"] == worker.output().splitlines()


def test_start_takes_more_settings_for_this_once() -> None:
    """They win over those that the worker has, and the next start has these again."""
    with _worker(_POLITE, {"EXIMWATCH_BROKERS": "here"}) as worker:
        for more, expected in (({"EXIMWATCH_BROKERS": "there"}, "there"), ({}, "here")):
            worker.kill()
            worker.start(more)
            worker.wait_ready(20)
            assert f"already starting {expected} None" in worker.output()


def test_stopped_worker_gives_its_exit_code_and_starts_again() -> None:
    """SIGTERM lets it end in its own way, also when frozen; a second start is ready anew."""
    with _worker(_POLITE) as worker:
        worker.wait_ready(20)
        worker.pause()

        assert 7 == worker.stop(20)
        worker.start()
        worker.wait_ready(20)
        worker.kill()
        assert -9 == worker.exit_code
        assert 2 == worker.log.read_text().count("worker ready")
        folder = worker.log.parent
    assert not folder.exists()


def test_worker_that_ends_early_tells_why() -> None:
    """Waiting for a worker that failed is over at once, with its exit code and last words."""
    with _worker(_BROKEN) as worker, pytest.raises(WorkerEndedError, match="ended with 1:\nno such topic"):
        worker.wait_ready(20)


def test_worker_that_ignores_sigterm_is_killed() -> None:
    """A stop that takes too long is an error, and the worker is gone after it."""
    with _worker(_DEAF) as worker:
        worker.wait_ready(20)
        with pytest.raises(TimeoutError, match="did not end within"):
            worker.stop(0.2)
        assert -9 == worker.exit_code


def test_worker_that_is_never_ready_says_so() -> None:
    """A wait without a ready line ends at its deadline with the output so far."""
    with _worker("import signal; print('recovering'); signal.pause()") as worker:
        wait_until(worker.output, 20, "its first line")
        with pytest.raises(TimeoutError, match=r"ready line.*ends:\nrecovering"):
            worker.wait_ready(0.1)


def test_killed_test_run_leaves_no_worker() -> None:
    """When the process that started a worker is killed outright, worker and directory go all the same."""
    command = [sys.executable, "-c", _ORPHAN]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert -9 == done.returncode, done.stderr
    pid, folder = done.stdout.split()

    def gone() -> bool:
        # An orphan that nothing reaps has an empty command line.
        cmdline = Path(f"/proc/{pid}/cmdline")
        ended = not cmdline.read_bytes() if cmdline.exists() else not _exists(int(pid))
        return ended and not Path(folder).exists()

    wait_until(gone, 10, "the worker's end")


def test_wait_says_for_what_and_what_came_last() -> None:
    """A wait in vain names its subject, its deadline and the last answer."""
    with pytest.raises(TimeoutError, match=r"waited 0 s for rain; the last answer was \[\]"):
        wait_until(list, 0, "rain")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

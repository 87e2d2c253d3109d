"""The worker as users run it, a process of its own, for tests that stop, kill and freeze it."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.broker.jars import REPOSITORY
from tests.broker.process import Child, Guard
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

COMMAND: Final = ("-m", "app", "worker")
READY: Final = r"\bready\b"

_OURS: Final = "EXIMWATCH_"
_READY_DEADLINE_S: Final = 60.0
_STOP_DEADLINE_S: Final = 30.0


class WorkerEndedError(Exception):
    """The worker ended while it was waited for; the message carries its exit code and last lines."""


class Worker:
    """One worker process, which `with` starts and never leaves behind; it may be ended and started again.

    Its data directory outlives its end, unless the environment given names none: then it gets one that
    goes with this object.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        log: Path | None = None,
        arguments: tuple[str, ...] = (),
        command: tuple[str, ...] = COMMAND,
        ready: str = READY,
    ) -> None:
        """Prepare only; see `start`.

        Args:
            env: Settings, such as `EXIMWATCH_BROKERS`. Those of our own environment are not passed on.
            log: File that all its output is appended to; by default one that goes with this object.
            arguments: Put after the command.
            command: What Python is to run.
            ready: Pattern of the line that says it has its partitions and its tables are recovered.
        """
        folder = Path(tempfile.mkdtemp(prefix="eximwatch-worker-"))
        self._guard = Guard(folder)
        self._ready = re.compile(ready)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        self._child = Child(
            [sys.executable, *command, *arguments],
            env={
                "PYTHONUNBUFFERED": "1",
                **inherited,
                f"{_OURS}DATA_DIR": str(folder / "data"),
                f"{_OURS}HTTP_LISTEN": "none",
                **env,
            },
            cwd=REPOSITORY,
            log=log or folder / "worker.log",
            guard=self._guard,
        )

    def __enter__(self) -> Self:
        """Start it, without waiting until it is ready."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill it if it runs, and remove what was its own."""
        self.close()

    @property
    def log(self) -> Path:
        """File with the output of all its starts."""
        return self._child.log

    @property
    def pid(self) -> int | None:
        """Id of the newest process."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._child.running

    @property
    def exit_code(self) -> int | None:
        """How the newest process ended, minus the signal's number for a signal; None while it runs."""
        return self._child.exit_code

    def output(self) -> str:
        """What it wrote since the newest start."""
        return self._child.output()

    def start(self, more: Mapping[str, str] | None = None) -> None:
        """Start it, for the first time or again with the same settings and data, and with more of them this once."""
        self._child.start(more)

    def wait_ready(self, deadline: float = _READY_DEADLINE_S) -> None:
        """Wait for the ready line of the newest start.

        Raises:
            WorkerEndedError: It ended before.
            TimeoutError: No such line within the deadline; the message carries its last lines.
        """

        def ready() -> bool:
            # Asked first, so that a line written just before the end is still seen.
            ended = not self.running
            found = any(self._ready.search(line) for line in self.output().splitlines())
            if ended and not found:
                self.check_running()
            return found

        try:
            wait_until(ready, deadline, "the worker's ready line")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; its output ends:\n{self.tail()}") from None

    def tail(self) -> str:
        """The last lines it wrote since the newest start, for messages."""
        return self._child.tail()

    def check_running(self) -> None:
        """Make sure that a wait for what it does is not in vain.

        Raises:
            WorkerEndedError: It has ended.
        """
        if not self.running:
            raise WorkerEndedError(f"the worker ended with {self.exit_code}:\n{self.tail()}")

    def wait_end(self, deadline: float) -> int:
        """Wait until it ends by itself, and return its exit code.

        Raises:
            TimeoutError: It still runs at the deadline.
        """
        wait_until(lambda: not self.running, deadline, "the worker's end")
        return self.exit_code or 0

    def stop(self, deadline: float = _STOP_DEADLINE_S) -> int:
        """SIGTERM, wait, and return the exit code.

        Raises:
            TimeoutError: It did not end within the deadline. It has been killed then.
        """
        return self._child.terminate(deadline)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._child.kill()

    def pause(self) -> None:
        """Freeze it (SIGSTOP), as a long pause of its machine would."""
        self._child.pause()

    def resume(self) -> None:
        """Thaw it (SIGCONT)."""
        self._child.resume()

    def close(self) -> None:
        """Kill it if it runs, and remove what was its own. May be called twice."""
        self._child.kill()
        self._guard.close()

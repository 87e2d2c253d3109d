"""Processes that tests start, and that end with the test run whatever happens to it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_TAIL_LINES: Final = 20

# Reads process ids; the newest one counts, an empty line means none. The pipe ends when the test run does, be
# it by SIGKILL. A killed process may write for a moment longer while its directory goes, hence the repeats.
_GUARD: Final = """
pid=
while read -r line; do pid=$line; done
for _ in 1 2 3 4 5 6 7 8 9 10; do
  alive=
  [ -n "$pid" ] && kill -9 "$pid" && alive=1
  rm -rf -- "$1" && [ -z "$alive" ] && break
  sleep 0.1
done
"""


class Guard:
    """A small shell beside us that kills the watched process and removes a directory once we are gone.

    A finaliser can't do this: it does not run when the test run is killed.
    """

    def __init__(self, folder: Path) -> None:
        """Start watching.

        Args:
            folder: Removed by `close`, or by the shell after our end.
        """
        self._folder = folder
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # An interrupt from the terminal goes to the whole group, and must not end the guard.
            start_new_session=True,
        )

    def watch(self, pid: int | None) -> None:
        """Kill this process after our end, instead of the one named before; None for no process."""
        if self._shell.stdin is None or self._shell.stdin.closed:
            return
        self._shell.stdin.write(b"\n" if pid is None else b"%d\n" % pid)
        self._shell.stdin.flush()

    def close(self) -> None:
        """Remove the directory and end the guard, after the watched process. May be called twice."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._shell.stdin is not None:
            self._shell.stdin.close()
        self._shell.wait()


class Child:
    """One command that can be started, frozen, ended and started again; its output goes to one file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        guard: Guard,
    ) -> None:
        """Prepare only; see `start`.

        Args:
            command: Program and arguments.
            env: Its whole environment.
            cwd: Its working directory.
            log: File that standard output and standard error are appended to.
            guard: Told of every process that is started.
        """
        self._command = list(command)
        self._env = dict(env)
        self._cwd = cwd
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self.log = log

    @property
    def pid(self) -> int | None:
        """The process's id, also after its end; None before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the newest process ended: its status, or minus the signal's number; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self, more: Mapping[str, str] | None = None) -> None:
        """Start the command, with more in its environment this once. It must not be running."""
        if self.running:
            raise RuntimeError(f"{self._command[0]} is running already as process {self.pid}")
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self._env, **(more or {})},
                cwd=self._cwd,
                # Ours to end, in our order; not the terminal's.
                start_new_session=True,
            )
        self._guard.watch(self._process.pid)

    def terminate(self, deadline: float) -> int:
        """SIGTERM, wait, and return the exit code. A frozen process is thawed first.

        Raises:
            TimeoutError: It did not end within the deadline. It has been killed then.
        """
        if self._process is None:
            raise RuntimeError(f"{self._command[0]} was never started")
        if self.running:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
            try:
                self._process.wait(deadline)
            except subprocess.TimeoutExpired:
                self.kill()
                message = f"{self._command[0]} did not end within {deadline:g} s of SIGTERM:\n{self.tail()}"
                raise TimeoutError(message) from None
            self._guard.watch(None)
        return self._process.returncode

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone. Nothing happens where none runs."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait()
        self._guard.watch(None)

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): its connections stay open, and nobody answers on them."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw the process (SIGCONT). It need not be frozen."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the running process."""
        if self._process is None or not self.running:
            raise RuntimeError(f"{self._command[0]} is not running, so it can't be sent {number.name}")
        self._process.send_signal(number)

    def output(self) -> str:
        """What was written since the newest start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self) -> str:
        """The last lines written since the newest start, for messages."""
        return "\n".join(self.output().splitlines()[-_TAIL_LINES:])

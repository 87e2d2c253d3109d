"""A command as the first process of a container has it: process 1, a root that can't be written, a plain user."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.broker.process import Child, Guard
from tests.broker.waiting import wait_until
from tests.deploy.dockerfile import plain

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence

# Every mount of this namespace but the data and the kernel's own; then root itself must fail to write.
_SEAL: Final = """
set -e
mount --bind "$1" "$1"
while read -r _ place kind _; do
  case "$place" in "$1"|/proc|/proc/*|/sys|/sys/*|/dev|/dev/*) continue;; esac
  mount -o remount,bind,ro "$place" 2>/dev/null || echo "not sealed: $place" >&2
done < /proc/self/mounts
if touch /tmp/sealed /var/tmp/sealed 2>/dev/null; then echo "the root can be written" >&2; exit 99; fi
shift
cd /
exec "$@"
"""
_DEADLINE_S: Final = 30.0


def require() -> None:
    """Skip the test, by name, where namespaces can't be had."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("unshare or setpriv (util-linux) is missing")
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip("unshare can't make namespaces here: it needs root")


class Sealed:
    """One such process; `folder` holds its log, and goes with `close`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], data: Path, folder: Path) -> None:
        """Prepare only; see `start`. `data` alone can be written."""
        self._guard = Guard(folder)
        self._child = Child(
            [
                *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("/bin/sh", "-c", _SEAL, "seal", str(data)),
                *plain(),
                *command,
            ],
            env={"PATH": os.environ["PATH"], **environment},
            cwd=Path("/"),
            log=folder / "log",
            guard=self._guard,
        )

    def start(self) -> None:
        """Start it."""
        self._child.start()

    def output(self) -> str:
        """What it wrote."""
        return self._child.output()

    def wait_line(self, text: str) -> None:
        """Wait for a text in its output; fails at once if it ends before."""

        def written() -> bool:
            ended = not self._child.running
            found = text in self.output()
            assert found or not ended, f"ended with {self._child.exit_code}:\n{self._child.tail()}"
            return found

        wait_until(written, _DEADLINE_S, f"{text!r} in\n{self._child.tail()}")

    def children(self) -> list[int]:
        """Ids, outside, of the processes whose parent process 1 is; those that nobody waited for among them."""
        return _children(self._first())

    def stop(self, number: signal.Signals) -> int:
        """Send process 1 a signal as an engine does, wait, and return its exit code."""
        os.kill(self._first(), number)
        wait_until(lambda: not self._child.running, _DEADLINE_S, f"the end after {number.name}: {self._child.tail()}")
        return self._child.exit_code or 0

    def close(self) -> None:
        """Kill it if it runs, and remove its folder."""
        self._child.kill()
        self._guard.close()

    def _first(self) -> int:
        assert self._child.pid is not None
        (first,) = _children(self._child.pid)
        return first


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

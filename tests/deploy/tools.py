"""Programs that check what is deployed: found on the PATH, or installed once below `.tools` of the checkout."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.broker.jars import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLS: Final = REPOSITORY / ".tools"

_DEADLINE_S: Final = 300
_TAIL_CHARACTERS: Final = 400


class InstallError(Exception):
    """A program could not be installed: its package manager is missing or failed; the message has its last words."""


def promtool() -> Path:
    """Prometheus's checker of configurations and rules; the test is skipped where it can't be had."""
    return _prometheus_program("promtool")


def prometheus() -> Path:
    """Prometheus's server; the test is skipped where it can't be had."""
    return _prometheus_program("prometheus")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock below `.tools` while something is installed; the system lets go of it when we end."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command: str, cwd: Path) -> None:
    """Run a step of an installation to its end.

    Raises:
        InstallError: The program is missing, failed, or took too long.
    """
    try:
        subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_DEADLINE_S,
            check=True,
        )
    except FileNotFoundError:
        raise InstallError(f"{command[0]} is not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise InstallError(f"{' '.join(command)} was not done in {_DEADLINE_S} s") from None
    except subprocess.CalledProcessError as error:
        raise InstallError(f"{' '.join(command)}: {error.stdout.strip()[-_TAIL_CHARACTERS:]}") from None


def _prometheus_program(name: str) -> Path:
    found = shutil.which(name)
    if found:
        return Path(found)
    target = TOOLS / "prometheus"
    try:
        with locked("prometheus"):
            if not target.is_dir():
                _unpack_prometheus(target)
    except InstallError as error:
        pytest.skip(f"no {name}: {error}")
    return target / "usr" / "bin" / name


def _unpack_prometheus(target: Path) -> None:
    """Debian's package, unpacked beside the target and moved there whole: no root is needed, nothing is installed."""
    with tempfile.TemporaryDirectory(dir=TOOLS, prefix="prometheus.part-") as folder:
        part = Path(folder)
        try:
            run("apt-get", "download", "prometheus", cwd=part)
        except InstallError:
            # Most likely there are no package lists; to fetch them takes root, else this fails and says so.
            run("apt-get", "update", cwd=part)
            run("apt-get", "download", "prometheus", cwd=part)
        (package,) = part.glob("prometheus_*.deb")
        run("dpkg-deb", "-x", str(package), str(part / "unpacked"), cwd=part)
        (part / "unpacked").rename(target)

"""Java and Kafka's jars: found, or fetched once by Maven as `pom.xml` says."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LIBS_VARIABLE: Final = "EXIMWATCH_KAFKA_LIBS"

_POM: Final = Path(__file__).with_name("pom.xml")
_STAMP: Final = "pom.sha256"
_OLDEST_JAVA: Final = 17
_VERSION_DEADLINE_S: Final = 30
_FETCH_DEADLINE_S: Final = 900
_TAIL_CHARACTERS: Final = 2000


class NoJavaError(Exception):
    """This machine can't run Kafka; the message says what is missing. Install it, or name a running Kafka."""


class FetchError(Exception):
    """Maven could not fetch the jars. Look at its last lines, which the message carries."""


@functools.cache
def java() -> Path:
    """The Java to run Kafka with: from `JAVA_HOME`, else from the `PATH`.

    Raises:
        NoJavaError: There is none, it does not run, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    in_home = shutil.which("java", path=str(Path(home, "bin"))) if home else None
    found = in_home or shutil.which("java")
    if found is None:
        raise NoJavaError("no Java: java is neither in JAVA_HOME nor on the PATH")
    # Where no Java is installed, macOS has a java that only says so.
    asked = subprocess.run(
        [found, "-version"], capture_output=True, text=True, timeout=_VERSION_DEADLINE_S, check=False
    )
    version = re.search(r'version "(\d+)', asked.stderr)
    if asked.returncode != 0 or version is None:
        raise NoJavaError(f"no Java: {found} does not tell its version")
    if int(version[1]) < _OLDEST_JAVA:
        raise NoJavaError(f"no Java: {found} is version {version[1]}, Kafka needs {_OLDEST_JAVA} or newer")
    return Path(found)


def jars_folder() -> Path:
    """Where the jars are or will be: `EXIMWATCH_KAFKA_LIBS`, else `.kafka/libs` in the repository."""
    return Path(os.environ.get(LIBS_VARIABLE) or REPOSITORY / ".kafka" / "libs").absolute()


def require() -> None:
    """Check, without fetching anything, that Kafka can be run here.

    Raises:
        NoJavaError: Java is missing, or Maven is and the jars were not fetched before.
    """
    java()
    if not _complete(jars_folder()) and shutil.which("mvn") is None:
        raise NoJavaError("no Java: mvn is not on the PATH, and Kafka's jars have not been fetched yet")


def fetch(folder: Path | None = None) -> Path:
    """The directory with the jars that the pom names; fetched if it is missing or of another pom.

    A fetch that is cut short leaves the directory as it was. Two at a time wait for each other.

    Raises:
        NoJavaError: Maven is missing.
        FetchError: Maven failed.
    """
    target = folder or jars_folder()
    if _complete(target):
        return target
    with locked(target):
        if not _complete(target):
            _fetch(target)
    return target


def classpath(folder: Path) -> str:
    """The jars in an order that is always the same, as a class-data archive demands."""
    return os.pathsep.join(str(jar) for jar in sorted(folder.glob("*.jar")))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock beside a directory; the system lets go of it when we end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest() -> str:
    return hashlib.sha256(_POM.read_bytes()).hexdigest()


def _complete(folder: Path) -> bool:
    stamp = folder / _STAMP
    return stamp.is_file() and stamp.read_text(encoding="ascii").strip() == _digest()


def _fetch(target: Path) -> None:
    """Fetch into a directory beside the target, stamp it, and only then give it the target's name."""
    if shutil.which("mvn") is None:
        raise NoJavaError("no Java: mvn is not on the PATH, so that Kafka's jars can't be fetched")
    half_done = f"{target.name}.fetch-"
    for left_over in target.parent.glob(half_done + "*"):
        shutil.rmtree(left_over)
    part = Path(tempfile.mkdtemp(prefix=half_done, dir=target.parent))
    try:
        _run_maven(part)
        (part / _STAMP).write_text(_digest() + "\n", encoding="ascii")
        part.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _run_maven(output: Path) -> None:
    command = [
        *("mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"),
        *("-DincludeScope=runtime", f"-DoutputDirectory={output}"),
    ]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_FETCH_DEADLINE_S,
        check=False,
    )
    if done.returncode != 0 or not any(output.glob("kafka_*.jar")):
        last = done.stdout.strip()[-_TAIL_CHARACTERS:]
        raise FetchError(f"mvn could not fetch Kafka's jars (exit code {done.returncode}):\n{last}")

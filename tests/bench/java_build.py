"""Kafka Streams and ConsumerPerformance: built once by Maven into build/bench/java."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.bench.results import FOLDER
from tests.broker.jars import NoJavaError, java

_PROJECT: Final = Path(__file__).with_name("java")
_BUILT: Final = FOLDER / "java"
_STAMP: Final = _BUILT / "sources.sha256"
_DEADLINE_S: Final = 600
_OPTIONS: Final = ("-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


class BuildError(Exception):
    """Maven failed; the message has its last lines."""


def command(main: str, *arguments: str, properties: tuple[str, ...] = ()) -> list[str]:
    """What runs a class of it; builds it first if the sources are new.

    Raises:
        NoJavaError: Java or Maven is missing.
        BuildError: Maven failed.
    """
    runtime = java()
    _build()
    jars = [_BUILT / "target" / "bench.jar", *sorted((_BUILT / "libs").glob("*.jar"))]
    return [str(runtime), *_OPTIONS, *properties, "-cp", os.pathsep.join(map(str, jars)), main, *arguments]


def _build() -> None:
    sources = [_PROJECT / "pom.xml", *sorted(_PROJECT.glob("src/**/*.java"))]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    if _STAMP.is_file() and _STAMP.read_text(encoding="ascii") == digest:
        return
    if shutil.which("mvn") is None:
        raise NoJavaError("no Java: mvn is not on the PATH")
    shutil.rmtree(_BUILT, ignore_errors=True)
    _BUILT.mkdir(parents=True)
    arguments = ["mvn", "-q", "-B", "-f", str(_PROJECT / "pom.xml"), f"-Dbench.build={_BUILT / 'target'}", "package"]
    arguments += ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={_BUILT / 'libs'}"]
    done = subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"mvn failed ({done.returncode}): {done.stdout.strip()[-400:]}")
    _STAMP.write_text(digest, encoding="ascii")

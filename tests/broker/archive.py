"""A class-data archive of Kafka's classes, made once beside the jars: with it Kafka is up in half the time.

Without one, or with one that does not fit, all works the same, only slower.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from tests.broker.jars import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def options(java: Path, libs: Path, rehearse: Callable[[Path], None]) -> tuple[str, ...]:
    """JVM options that use the archive, which is made first where it is missing.

    Args:
        java: The Java that will run. An archive fits the one Java and the one directory it was made with.
        libs: Directory of the jars, and of the archive.
        rehearse: Runs Kafka and stops it, so that the JVM leaves an archive at the path given.
    """
    path = libs / f"classes-{_digest(java, libs)}.jsa"
    if not path.exists() and os.access(libs, os.W_OK):
        with locked(libs):
            if not path.exists():
                _make(path, rehearse)
    return (f"-XX:SharedArchiveFile={path}",) if path.exists() else ()


def _digest(java: Path, libs: Path) -> str:
    binary = java.resolve()
    status = binary.stat()
    text = f"{binary} {status.st_size} {status.st_mtime_ns} {libs}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _make(path: Path, rehearse: Callable[[Path], None]) -> None:
    for other in path.parent.glob("classes-*"):
        other.unlink()
    part = path.with_suffix(".part")
    rehearse(part)
    if part.exists():
        part.rename(path)
    else:
        # This Java can't make one. The JVM passes over an empty file, which keeps us from trying each time.
        path.touch()

"""What is checked of the machine before a worker starts; topics and rights have modules of their own."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from app.errors import VersionsError

PINNED: Final[Mapping[str, str]] = {
    "faust-streaming": "0.15.3",
    "aiokafka": "0.14.0",
    "mode-streaming": "0.7.1",
    "rocksdict": "0.3.29",
    "confluent-kafka": "2.16.1",
}
"""The packages whose private names or exact behaviour the worker relies on, with the one version that was tested."""

SPACE: Final = 1024**3
"""Bytes that should be free where the tables are."""


def require_versions(installed: Callable[[str], str | None] | None = None) -> None:
    """Refuse to run on other versions than those the worker was tested with.

    Args:
        installed: Gives the version of a package, None where there is none; by default what Python knows.

    Raises:
        VersionsError: Says which differ and how to install the right ones.
    """
    ask = installed or _installed
    differing = [
        f"{name} {ask(name) or 'missing'} (needs {version})" for name, version in PINNED.items() if ask(name) != version
    ]
    if differing:
        raise VersionsError(
            f"installed versions differ: {', '.join(differing)}; install from the lock: "
            "pip install --require-hashes --no-deps -r requirements.lock"
        )


def space_warning(path: Path, free: int) -> str | None:
    """What to say of the room for the tables; None where there is enough.

    Args:
        path: The data directory.
        free: Bytes free there.
    """
    if free >= SPACE:
        return None
    return f"data_dir {path} has {free // 1024**2} MiB free: a table that can't be written ends the worker; make room"


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

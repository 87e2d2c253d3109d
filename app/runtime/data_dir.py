"""A worker's data directory: whose it is, who holds it, and when its history began.

A copy that is made while a worker runs may lack a log of writes that was deleted meanwhile, and have the next one: its
databases open without complaint and have a hole. So a running worker leaves a mark, which names the very file that is
locked. In a copy that is another file; after a hard end it is the same one, and RocksDB stands that.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from app.errors import SettingsError
from app.runtime.log import logger

_MARKER: Final = "installation.json"
_LOCK: Final = "lock"
_RUNNING: Final = "running"
_TABLES: Final = "v1"  # the part of `app.runtime.database.tables_folder` that is Faust's


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory's tables belong to: the changelogs' lives on one cluster.

    Attributes:
        prefix: The topic prefix.
        cluster_id: The cluster, "" where it was not asked.
        changelog_id: The id of the new-terms table's changelog topic, "" where it was not asked; another one once it
            was created anew.
        lineage_changelog_id: The same of the lineage table.
    """

    prefix: str
    cluster_id: str = ""
    changelog_id: str = ""
    lineage_changelog_id: str = ""


class _Marker(msgspec.Struct, frozen=True):
    installation: Installation
    learn_until: int | None


@dataclass(frozen=True, slots=True)
class DataDir:
    """A directory that this process holds until it ends.

    Attributes:
        path: Where it is.
        learn_until: What `alert_from` "start" means here, nanoseconds since 1970; None where history was there before.
    """

    path: Path
    learn_until: int | None


def claim(path: Path, installation: Installation, learn_until: int | None) -> DataDir:
    """Take a directory for this process, and make it if it isn't there.

    The tables of a copy that was made of a running worker's directory are deleted.

    Args:
        path: The directory.
        installation: What this worker's tables belong to.
        learn_until: Kept with a directory that is new; one that is known has its own.

    Raises:
        SettingsError: It can't be written, another process holds it, or it belongs to something else.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(
            f"data_dir {path} can't be written ({error.strerror}): mend its rights or set EXIMWATCH_DATA_DIR"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until the process ends, however it ends
    except OSError:
        raise SettingsError(
            f"data_dir {path} is held by another worker: give each worker its own EXIMWATCH_DATA_DIR"
        ) from None
    marker = _read(path / _MARKER)
    if marker is None:
        marker = _Marker(installation, learn_until)
        _write(path / _MARKER, marker)
    if marker.installation != installation:
        raise SettingsError(
            f"data_dir {path} belongs to {_shown(marker.installation)}, this worker to {_shown(installation)}: set "
            "another EXIMWATCH_DATA_DIR, or delete that one if its installation is gone"
        )
    _mark_running(path, os.fstat(lock))
    return DataDir(path, marker.learn_until)


def is_new(path: Path) -> bool:
    """Whether no worker ever claimed the directory."""
    return not (path / _MARKER).exists()


def _mark_running(path: Path, lock: os.stat_result) -> None:
    """Leave a mark until this process ends in order; what bears another directory's is deleted first."""
    mark, tables = path / _RUNNING, path / _TABLES
    name = f"{lock.st_ino} {lock.st_ctime_ns}"
    try:
        found = mark.read_text() if mark.exists() else name
        if found != name and tables.exists():
            logger.warning(
                "data_dir {path} is a copy that was made while its worker ran, or after a hard end of it: its tables "
                "are deleted and will be rebuilt from the changelogs",
                path=str(path),
            )
            shutil.rmtree(tables)
        mark.write_text(name)
    except OSError as error:
        raise SettingsError(
            f"data_dir {path} can't be written ({error.strerror}): mend its rights or set EXIMWATCH_DATA_DIR"
        ) from None
    # By then every thread has ended, and no database is written any more. `os._exit` and signals leave the mark.
    atexit.register(mark.unlink, missing_ok=True)


def _read(path: Path) -> _Marker | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Marker)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path} can't be read ({error}): delete the data directory, it is rebuilt") from None


def _write(path: Path, marker: _Marker) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(marker))
    part.replace(path)


def _shown(installation: Installation) -> str:
    changelogs = f"{installation.changelog_id or '?'} and {installation.lineage_changelog_id or '?'}"
    return f"{installation.prefix} on cluster {installation.cluster_id or '?'} (changelogs {changelogs})"

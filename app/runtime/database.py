"""A table on disk: one RocksDB database for each partition, and what becomes of a damaged one.

A database is a copy of its changelog partition, so that a damaged one is deleted and rebuilt. Damage may show at any
time: what can't be opened shows at once, bytes that changed only when they are read. Whoever meets it marks the
database, by a file beside it, and ends the process; the next opening finds the mark.

A database that another process holds is never touched, and trouble of the machine (a full disk, missing rights) is no
damage: both are told to the operator.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from faust.stores.rocksdb import RocksDBOptions
from rocksdict import Rdict

from app.errors import BrokenTableError, SettingsError
from app.runtime.ending import end_process
from app.runtime.log import logger
from app.runtime.settings import Settings
from app.runtime.table_kind import TableKind

OFFSET_KEY: Final = b"__faust\0offset__"
"""Under this key a database holds the last offset of its changelog that it contains, as text; Faust's own."""

_MARK: Final = ".broken"
_CONTENT: Final = ("*.sst", "*.log", "MANIFEST-*")
_OPEN_S: Final = 60.0
"""Seconds after which an opening is given up, and the process with it."""
_KEPT_LOGS: Final = 3
_LOG_BYTES: Final = 1024 * 1024
"""Of RocksDB's own log, which tells of each flush and compaction; by default it grows until the next start."""
_MANIFEST_BYTES: Final = 4 * 1024 * 1024
"""Of the list of its files, which keeps each change of it; by default a gigabyte."""
# How RocksDB words what is the machine's trouble, and no damage of a database.
_TROUBLE: Final = tuple(
    os.strerror(number)
    for number in (
        *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    )
)
_HELD: Final = ("lock hold by current process", os.strerror(errno.EAGAIN), os.strerror(errno.ENOLCK))


class DamagedError(Exception):
    """A database can't be opened and must be rebuilt; the message is the reason."""


def table_options(settings: Settings) -> dict[str, Any]:
    """Bound the memory of one partition's database; Faust's default is a block cache of 2 GiB each.

    Each table needs a dict of its own, since its store takes entries out.
    """
    return {
        "driver": "rocksdict",
        "block_cache_size": settings.table_cache_bytes,
        "write_buffer_size": settings.table_cache_bytes // 2,
        "max_write_buffer_number": 2,
        "target_file_size_base": 16 * 1024 * 1024,
        "max_open_files": 128,
        "bloom_filter_size": 10,
    }


def tables_folder(data_dir: Path) -> Path:
    """Where Faust keeps the tables of a data directory."""
    return data_dir.absolute() / "v1" / "tables"


def is_damage(error: Exception) -> bool:
    """Whether what RocksDB raised while a database was read or written is the database's fault.

    "block checksum mismatch" is, although it contains "lock"; a file that is gone is; a full disk is not.
    """
    text = str(error)
    if text.startswith("Corruption"):
        return True
    return text.startswith("IO error") and not any(words in text for words in _TROUBLE)


def one_line(error: Exception) -> str:
    """What RocksDB says, which may be several lines."""
    return " ".join(str(error).split())


class Databases:
    """The databases of one table in a folder, by partition."""

    def __init__(self, folder: Path, options: RocksDBOptions, kind: TableKind) -> None:
        """Touches nothing yet.

        Args:
            folder: Where they are; those of other tables may lie there too.
            options: How they are opened.
            kind: Whose they are.
        """
        self.kind = kind
        self._folder = folder
        self._options = options

    def path(self, partition: int) -> Path:
        """The directory of a partition's database, as Faust names it."""
        return self._folder / f"{self.kind.name}-{partition}.db"

    def partitions(self) -> list[int]:
        """Partitions that have a database, or a mark of one."""
        start = f"{self.kind.name}-"
        names = {path.name.removesuffix(_MARK) for path in self._folder.glob(f"{start}*.db*")}
        numbers = (name.removeprefix(start).removesuffix(".db") for name in names)
        return sorted(int(number) for number in numbers if number.isdecimal())

    def open(self, partition: int) -> Rdict:
        """Open a partition's database; what is damaged is deleted first, which a log line tells.

        Raises:
            SettingsError: Another process holds it, or the machine does not let us open or delete it.
        """
        try:
            return self._open(partition)
        except DamagedError as error:
            self.delete(partition, str(error))
        try:
            return self._open(partition)
        except DamagedError as error:
            raise SettingsError(f"table database {self.path(partition)} can't be made anew: {error}") from None

    def delete(self, partition: int, reason: str) -> None:
        """Delete a partition's database, which must be closed; it is rebuilt when the partition is assigned.

        Raises:
            SettingsError: It can't be deleted.
        """
        path = self.path(partition)
        logger.warning(
            "table database {path} is deleted and will be rebuilt from the changelog: {reason}",
            path=path,
            reason=reason,
            table=self.kind.name,
            partition=partition,
        )
        # Half a database might look sound: the mark goes last.
        self.mark(partition, reason)
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            self._mark_of(partition).unlink(missing_ok=True)
        except OSError as error:
            raise SettingsError(
                f"table database {path} is damaged ({reason}) and can't be deleted ({error.strerror}): delete it"
            ) from None

    def mark(self, partition: int, reason: str) -> None:
        """Note that a database is damaged, whatever it may look like when it is opened."""
        # On a broken disk this may fail as well; then the next start finds the damage by reading.
        with contextlib.suppress(OSError):
            self._mark_of(partition).write_text(reason + "\n", encoding="utf-8")

    @contextlib.contextmanager
    def guarded(self, partition: int) -> Iterator[None]:
        """Whoever reads or writes a database in here ends the process where it turns out to be damaged."""
        try:
            yield
        except Exception as error:
            self.end_if_damaged(partition, error)
            raise

    def end_if_damaged(self, partition: int, error: Exception) -> None:
        """Mark a database and end the process, if what was raised while it was used says that it is damaged."""
        if is_damage(error):
            self.end(partition, error)

    def end(self, partition: int, error: Exception) -> NoReturn:
        """Mark a database as damaged and end the process."""
        reason = one_line(error)
        self.mark(partition, reason)
        end_process(
            BrokenTableError(str(self.path(partition)), reason), f"partition {partition} of table {self.kind.name}"
        )

    def _mark_of(self, partition: int) -> Path:
        path = self.path(partition)
        return path.with_name(path.name + _MARK)

    def _open(self, partition: int) -> Rdict:
        path, mark = self.path(partition), self._mark_of(partition)
        if mark.exists():
            raise DamagedError(
                f"it was marked as damaged: {mark.read_text(encoding='utf-8', errors='replace').strip()}"
            )
        # RocksDB would begin an empty database there, and silently delete the files of the old one.
        if not (path / "CURRENT").exists() and any(next(path.glob(names), None) for names in _CONTENT):
            raise DamagedError("its file CURRENT is missing")
        options = self._options.as_options()
        options.set_keep_log_file_num(_KEPT_LOGS)
        options.set_max_log_file_size(_LOG_BYTES)
        options.set_max_manifest_file_size(_MANIFEST_BYTES)
        # RocksDB may spin over noise, holding the interpreter's lock: only a thread that needs no lock can end that.
        # The next start finds out which database it was (`app.runtime.table_probe`).
        faulthandler.dump_traceback_later(_OPEN_S, exit=True, file=sys.__stderr__ or sys.stderr)
        there = {file.name for file in path.glob("*.sst")}
        try:
            database = Rdict(str(path), options=options)
            forgotten = there - {Path(file["name"]).name for file in database.live_files()}
        except Exception as error:  # noqa: BLE001 — the binding has one class for all that RocksDB says
            text = one_line(error)
            if "LOCK" in text and any(words in text for words in _HELD):
                raise SettingsError(
                    f"table database {path} is held by a live process: end that, or give each worker its own "
                    "EXIMWATCH_DATA_DIR"
                ) from None
            if any(words in text for words in _TROUBLE):
                raise SettingsError(
                    f"table database {path} can't be opened: {text}; mend that and start again"
                ) from None
            raise DamagedError(f"it can't be opened: {text}") from None
        finally:
            faulthandler.cancel_dump_traceback_later()
        if forgotten:
            # A MANIFEST that is cut between two records is a sound older one. Entries of the files that it does not
            # know are lost then, while the newer log may say that the database holds its changelog beyond them.
            reason = f"its MANIFEST is cut: it does not know {min(forgotten)}"
            self.mark(partition, reason)
            database.close()
            raise DamagedError(reason)
        return database

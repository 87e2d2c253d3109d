"""Real databases of the table for tests: filled, and damaged in the ways that disks have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from faust.stores.rocksdb import RocksDBOptions

from app.core.new_terms import TermRecord, encode_record, term_key
from app.runtime.database import OFFSET_KEY, Databases

if TYPE_CHECKING:
    from pathlib import Path

FIELDS: Final = ("host.id", "process.name")
_NOISE: Final = b"\x5a\xa5\x00\xff"


def databases_in(folder: Path) -> Databases:
    """The databases of a folder, with default options."""
    return Databases(folder, RocksDBOptions())


def entry(number: int, applied_at: int, offset: int = 0) -> tuple[bytes, bytes]:
    """Key and value of one term, as the worker writes them."""
    key = term_key("a-rule", FIELDS, (f"host-{number:06d}", "sh"))
    return key, encode_record(TermRecord(applied_at, applied_at, 1, applied_at, 7, offset))


def fill(databases: Databases, partition: int, entries: list[tuple[bytes, bytes]], offset: int | None = None) -> None:
    """Write entries into a partition's database, and close it, so that they are in a file."""
    database = databases.open(partition)
    for key, value in entries:
        database.put(key, value)
    if offset is not None:
        database.put(OFFSET_KEY, str(offset).encode())
    database.flush()
    database.close()


def table_files(database: Path) -> list[Path]:
    """The files that hold a database's entries; there must be some."""
    found = sorted(database.glob("*.sst"))
    assert found
    return found


def truncate(database: Path) -> None:
    """Cut the newest file in two, as a power cut may."""
    newest = table_files(database)[-1]
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) // 2])


def overwrite_with_noise(database: Path) -> None:
    """Put other bytes in the place of all entries, the files' sizes and ends as they were."""
    for file in table_files(database):
        length = file.stat().st_size // 2
        with file.open("r+b") as opened:
            opened.write((_NOISE * (length // len(_NOISE) + 1))[:length])

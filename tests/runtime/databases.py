"""Real databases of the tables for tests: filled, and damaged in the ways that disks have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from faust.stores.rocksdb import RocksDBOptions

from app.core.new_terms import TermRecord, encode_record, term_key
from app.core.process import Image, Process
from app.core.ring import Ring, derived
from app.runtime.database import OFFSET_KEY, Databases
from app.runtime.table_kind import NEW_TERMS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from app.core.ring import Entry
    from app.runtime.table_kind import TableKind

FIELDS: Final = ("host.id", "process.name")
_NOISE: Final = b"\x5a\xa5\x00\xff"


def databases_in(folder: Path, kind: TableKind = NEW_TERMS) -> Databases:
    """The databases of a table in a folder, with default options."""
    return Databases(folder, RocksDBOptions(), kind)


def entry(number: int, applied_at: int, offset: int = 0) -> tuple[bytes, bytes]:
    """Key and value of one term, as the worker writes them."""
    key = term_key("a-rule", FIELDS, (f"host-{number:06d}", "sh"))
    return key, encode_record(TermRecord(applied_at, applied_at, 1, applied_at, 7, offset))


def processes(host: str, numbers: Iterable[int], slots: int, applied_at: int) -> list[Entry]:
    """Changelog records of processes that were seen one after the other on a host of which nothing was known."""
    table: dict[bytes, bytes | None] = {}
    changes: list[Entry] = []
    for number in numbers:
        ring = Ring(table.get, host, slots, applied_at)
        ring.remember(Process(f"entity-{number}", (Image(applied_at, "sh"),)), None)
        changes += ring.changes
        table.update(one for change in ring.changes for one in derived(*change))
    return changes


def entries_of(changes: Iterable[Entry]) -> dict[bytes, bytes]:
    """What a database of the lineage table holds after changelog records."""
    table = {key: value for change in changes for key, value in derived(*change)}
    return {key: value for key, value in table.items() if value is not None}


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

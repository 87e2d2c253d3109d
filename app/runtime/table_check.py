"""A worker's databases at its start: each is read once, so that damage and expired entries do not outlive it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, cast

from rocksdict import Rdict, ReadOptions, WriteBatch

from app.core.new_terms import is_expired
from app.runtime.database import OFFSET_KEY, Databases, is_damage, one_line
from app.runtime.log import logger
from app.runtime.table_kind import TableKind
from app.runtime.table_probe import probe_tables

_CLOCK_SLACK: Final = 7 * 24 * 3600 * 10**9
"""How far the present may lie after a database's newest entry, in nanoseconds, as far as purging goes."""

_READ_AHEAD: Final = 2 * 1024 * 1024


def check_tables(databases: Databases, keep: int, now: Callable[[], int] = time.time_ns) -> None:
    """Read every database; delete what is damaged, and purge entries that nobody can need any more.

    Args:
        databases: One table's of this worker, none of them open.
        keep: How long an entry is of use after it was last applied, in nanoseconds.
        now: The present time, in nanoseconds since 1970.

    Raises:
        SettingsError: A database is held by another process, or the machine does not let us open it.
        StateFormatError: An entry has a format that this version does not know; nothing is deleted.
    """
    begun = time.monotonic()
    probe_tables(databases)
    entries = purged = 0
    partitions = databases.partitions()
    for partition in partitions:
        database = databases.open(partition)
        try:
            damage, found, expired = _swept(database, databases.kind, now(), keep)
        finally:
            database.close()
        entries += found
        purged += expired
        if damage is not None:
            databases.delete(partition, damage)
    if partitions:
        logger.info(
            "table {table} checked: {databases} databases with {entries} entries, {purged} of them purged, in "
            "{seconds:.1f} s",
            table=databases.kind.name,
            databases=len(partitions),
            entries=entries,
            purged=purged,
            seconds=round(time.monotonic() - begun, 3),
        )


def _swept(database: Rdict, kind: TableKind, now: int, keep: int) -> tuple[str | None, int, int]:
    """What is damaged, if anything; and how many entries there were, and of them expired ones, now purged.

    No error leaves this function that holds on to the database: it could not be closed.
    """
    try:
        found, expired = _read(database, kind, now, keep)
        _purge(database, expired)
    except Exception as error:
        if not is_damage(error):
            raise
        return one_line(error), 0, 0
    return None, found, len(expired)


def _read(database: Rdict, kind: TableKind, now: int, keep: int) -> tuple[int, list[bytes]]:
    """The count of entries, and the keys of the expired ones and of what is derived of them."""
    found = newest = 0
    last: bytes | None = None
    expired: list[tuple[bytes, int]] = []
    for key, value in _items(database):
        last = key
        if key == OFFSET_KEY:
            continue
        found += 1
        applied_at = kind.applied_at(key, value)
        if applied_at is None:
            continue
        newest = max(newest, applied_at)
        if is_expired(applied_at, now, keep):
            expired.append((key, applied_at))
    _require_end(database, last)
    # A machine whose clock is years ahead would purge all there is, and its changelog is not read again.
    now = min(now, newest + _CLOCK_SLACK)
    keys = (key for key, applied_at in expired if is_expired(applied_at, now, keep))
    return found, [one for key in keys for one in _of_entry(database, kind, key)]


def _of_entry(database: Rdict, kind: TableKind, key: bytes) -> Iterator[bytes]:
    """An entry's key, and those of what is derived of it and of no later one."""
    for one, value in kind.derived(key, cast(bytes, database.get(key))):
        if database.get(one) == value:
            yield one


def _require_end(database: Rdict, last: bytes | None) -> None:
    """Raise what ended the reading, if it was damage: the fast iterator then ends as if there were no more."""
    iterator = database.iter(read_opt=_options())
    if last is None:
        iterator.seek_to_first()
    else:
        iterator.seek(last)
        if iterator.valid():
            iterator.next()
    iterator.status()
    if iterator.valid():
        raise RuntimeError("a database was written while it was read")


def _items(database: Rdict) -> Iterator[tuple[bytes, bytes]]:
    """All that is in it; in raw mode keys and values are bytes, which the binding's types do not say."""
    return cast("Iterator[tuple[bytes, bytes]]", database.items(read_opt=_options()))


def _options() -> ReadOptions:
    options = ReadOptions()
    # What is read once should not drive out anything.
    options.fill_cache(False)  # type: ignore[call-arg]  # its stub has no argument
    options.set_readahead_size(_READ_AHEAD)
    return options


def _purge(database: Rdict, keys: list[bytes]) -> None:
    """Their changelog records are gone as well, or will be."""
    batch = WriteBatch(raw_mode=True)
    for key in keys:
        batch.delete(key)
    if keys:
        database.write(batch)

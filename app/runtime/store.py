"""Faust's RocksDB store, with databases that are opened and closed by those who may.

The stock store opens a database whenever anything asks for its partition, a late confirmation after a revoke
included, leaves closing to the garbage collector, and retries for half a minute where an error's text contains
"lock", as that of a damaged block does. Here the rebuild (`app.runtime.rebuild`) opens them, off the event loop and
when their partitions are assigned; what is not open is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from faust.stores import rocksdb
from faust.streams import current_event
from faust.types import TP, CollectionT
from rocksdict import Rdict, WriteBatch

from app.core.ring import Entry
from app.runtime.database import OFFSET_KEY, Databases
from app.runtime.ending import end_process
from app.runtime.table_kind import TableKind

PRIVATE_NAMES: Final = (
    "faust.stores.rocksdb.Store._contains",
    "faust.stores.rocksdb.Store._db_for_partition",
    "faust.stores.rocksdb.Store._dbs",
    "faust.stores.rocksdb.Store._get",
    "faust.stores.rocksdb.Store._set",
)


_ENTRIES: Final = "rocksdb.estimate-num-keys"


class NotAssignedError(Exception):
    """An entry was asked for whose partition this worker does not have."""


class TableStore(rocksdb.Store):
    """The databases of the partitions that are assigned and rebuilt. For the event loop's thread alone."""

    offset_key = OFFSET_KEY
    _dbs: dict[int, Rdict]

    def __init__(self, *args: Any, kind: TableKind, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.databases = Databases(self.path, self.rocksdb_options, kind)
        if self.table_name != kind.name:
            raise ValueError(f"the table must be named {kind.name}")

    def take(self, partitions: Iterable[int]) -> dict[int, Rdict]:
        """Hand out those of these databases that are open; they are not there until they are given back."""
        return {partition: self._dbs.pop(partition) for partition in partitions if partition in self._dbs}

    def give(self, opened: Mapping[int, Rdict]) -> None:
        """Databases that hold what their changelog does: from now on they are read and written here."""
        self._dbs.update(opened)

    def persisted_offset(self, tp: TP) -> int | None:
        """The last offset of a changelog partition that its database holds; None as well where it isn't open."""
        database = self._dbs.get(tp.partition)
        if database is None:
            return None
        with self.databases.guarded(tp.partition):
            offset = database.get(OFFSET_KEY)
        return None if offset is None else int(offset)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Note how far a database holds its changelog. A confirmation that comes after a revoke changes nothing.

        Called when a record is acknowledged, where nobody would hear of an error: it ends the process.
        """
        database = self._dbs.get(tp.partition)
        if database is None:
            return
        try:
            with self.databases.guarded(tp.partition):
                database.put(OFFSET_KEY, str(offset).encode())
        except Exception as error:  # noqa: BLE001 — whatever it is, it must not be lost in a callback
            end_process(error, f"{tp.topic}:{tp.partition}:{offset}")

    def revoke_partitions(self, table: CollectionT, tps: set[TP]) -> None:
        """Close the databases of partitions that go elsewhere."""
        topics = table.changelog_topic.topics
        for database in self.take(tp.partition for tp in tps if tp.topic in topics).values():
            database.close()

    async def assign_partitions(self, table: CollectionT, tps: set[TP], generation_id: int = 0) -> None:
        """Open nothing: this is called while the group waits, and opening may take its time."""

    async def stop(self) -> None:
        """Close everything."""
        for database in self.take(list(self._dbs)).values():
            database.close()
        await super().stop()

    def entries(self) -> int:
        """How many entries are in the databases that are open, as RocksDB estimates; those it derives count too."""
        return sum(database.property_int_value(_ENTRIES) or 0 for database in self._dbs.values())

    def read(self, key: bytes) -> bytes | None:
        """An entry as it is stored, of the partition of the event that is being processed."""
        return self._get(key)

    def write(self, entries: Iterable[Entry]) -> int:
        """Write entries of the partition of the event that is being processed, all or none; returns the partition."""
        partition = _partition()
        database = self._db_for_partition(partition)
        batch = WriteBatch(raw_mode=True)
        for key, value in entries:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        with self.databases.guarded(partition):
            database.write(batch)
        return partition

    def _db_for_partition(self, partition: int) -> Rdict:
        try:
            return self._dbs[partition]
        except KeyError:
            raise NotAssignedError(f"partition {partition} of table {self.table_name} is not assigned") from None

    def _get(self, key: bytes) -> bytes | None:
        partition = _partition()
        database = self._db_for_partition(partition)
        try:
            value: bytes | None = database.get(key)
        except Exception as error:
            self.databases.end_if_damaged(partition, error)  # as `guarded` does, which takes longer than the reading
            raise
        return value

    def _contains(self, key: bytes) -> bool:
        return self._get(key) is not None

    def _set(self, key: bytes, value: bytes | None) -> None:
        partition = _partition()
        database = self._db_for_partition(partition)
        with self.databases.guarded(partition):
            database.put(key, value)


def _partition() -> int:
    """An entry's partition is that of the event that is being processed."""
    event = current_event()
    if event is None:
        raise NotAssignedError("the table is used outside of the processing of an event")
    return event.message.partition

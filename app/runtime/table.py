"""The tables, whose changelog records can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import faust

from app.core.ring import Entry
from app.runtime.store import TableStore
from app.runtime.table_kind import LINEAGE, NEW_TERMS, TableKind

PRIVATE_NAMES: Final = ("faust.tables.base.Collection._new_store", "faust.tables.base.Collection._store")


class Change(NamedTuple):
    """A changelog record that is due: its partition, key and value; without a value it deletes."""

    partition: int
    key: bytes
    value: bytes | None


class ChangelogTable(faust.Table[bytes, bytes]):
    """Faust sends a table's changelog records in the background and forgets them; here they are handed out."""

    def __init__(self, app: faust.App, kind: TableKind, *, partitions: int, options: dict[str, Any]) -> None:
        """A table of that kind.

        Args:
            app: The application, to which it must be added.
            kind: What it is.
            partitions: How many it has.
            options: How its databases are opened; they become the table's own.
        """
        self.kind = kind
        super().__init__(app, name=kind.name, key_type=bytes, value_type=bytes, partitions=partitions, options=options)

    @property
    def store(self) -> TableStore:
        """Where its entries are."""
        return cast(TableStore, self.data)

    def _new_store(self) -> TableStore:
        return TableStore(
            self._store or self.app.conf.store,
            self.app,
            self,
            kind=self.kind,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_type=self.value_type,
            value_serializer=self.value_serializer,
            loop=self.loop,
            options=self.options,
        )

    def on_key_set(self, key: bytes, value: bytes) -> None:
        """Send nothing: whoever writes sends the changes that it is given."""

    def confirm(self, sent: asyncio.Future[Any]) -> None:
        """Keep how far the changelog holds what the database does; to be called when the record is acknowledged."""
        if not sent.cancelled() and sent.exception() is None:
            metadata = sent.result()
            self.data.set_persisted_offset(metadata.topic_partition, metadata.offset)


class NewTermsTable(ChangelogTable):
    """What rules remember of their terms."""

    def __init__(self, app: faust.App, *, partitions: int, options: dict[str, Any]) -> None:
        """As every table."""
        super().__init__(app, NEW_TERMS, partitions=partitions, options=options)

    def put(self, key: bytes, value: bytes) -> Change:
        """Write an entry, and give the changelog record that must be sent at once.

        Must run while an event is processed, whose partition becomes the entry's.
        """
        self[key] = value
        partition = self.partition_for_key(key)
        if partition is None:
            raise RuntimeError("a table's partition is the event's, and there is none")
        return Change(partition, key, value)


class LineageTable(ChangelogTable):
    """What is remembered of processes, host by host."""

    def __init__(self, app: faust.App, *, partitions: int, options: dict[str, Any]) -> None:
        """As every table."""
        super().__init__(app, LINEAGE, partitions=partitions, options=options)

    def read(self, key: bytes) -> bytes | None:
        """An entry; must run while an event is processed, in whose partition it is looked for."""
        return self.store.read(key)

    def apply(self, entries: Sequence[Entry]) -> list[Change]:
        """Write entries with all that is derived from them, all or none.

        Must run while an event is processed, whose partition becomes theirs.

        Returns:
            The changelog records that must be sent at once and in this order: the entries alone, since who rebuilds
            the table derives the rest again.
        """
        partition = self.store.write(one for entry in entries for one in self.kind.derived(*entry))
        return [Change(partition, key, value) for key, value in entries]

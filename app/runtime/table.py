"""The new-terms table, whose changelog records can be awaited."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

import faust

from app.runtime.store import TermStore

PRIVATE_NAMES: Final = ("faust.tables.base.Collection._new_store", "faust.tables.base.Collection._store")


class Change(NamedTuple):
    """A changelog record that is due: its partition, key and value."""

    partition: int
    key: bytes
    value: bytes


class NewTermsTable(faust.Table[bytes, bytes]):
    """Faust sends a table's changelog records in the background and forgets them; here they are handed out."""

    def _new_store(self) -> TermStore:
        return TermStore(
            self._store or self.app.conf.store,
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_type=self.value_type,
            value_serializer=self.value_serializer,
            loop=self.loop,
            options=self.options,
        )

    def on_key_set(self, key: bytes, value: bytes) -> None:
        """Send nothing: whoever writes sends the change that `put` gives."""

    def put(self, key: bytes, value: bytes) -> Change:
        """Write an entry, and give the changelog record that must be sent at once.

        Must run while an event is processed, whose partition becomes the entry's.
        """
        self[key] = value
        partition = self.partition_for_key(key)
        if partition is None:
            raise RuntimeError("a table's partition is the event's, and there is none")
        return Change(partition, key, value)

    def confirm(self, sent: asyncio.Future[Any]) -> None:
        """Keep how far the changelog holds what the database does; to be called when the record is acknowledged."""
        if not sent.cancelled() and sent.exception() is None:
            metadata = sent.result()
            self.data.set_persisted_offset(metadata.topic_partition, metadata.offset)

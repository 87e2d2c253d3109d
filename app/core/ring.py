"""Memory of a host's processes, bounded by a ring of slots: what is remembered last takes the place of the oldest.

Only processes are records of the changelog. A slot's content and the slot that was given last follow from them
(`derived`), in the order of the changelog, so that a rebuild needs no reads. A process that is seen takes the next
slot, also one that was there, unless it has the latest already; a parent does where its slot would soon be given away.
So whatever was referred to stays for at least as many further slots as half the ring has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from app.core.duration import DAY
from app.core.new_terms import host_key
from app.core.process import Process, merged
from app.core.state_format import KEYS, StateFormat

RETENTION: Final = 7 * DAY
"""How long a process is remembered after it was last referred to, in nanoseconds; the changelog keeps it as long."""

SLOTS: Final = 4_096
"""Processes that are remembered of a host, unless told otherwise."""

Read = Callable[[bytes], bytes | None]
"""What a partition's database holds under a key."""

Entry = tuple[bytes, bytes | None]
"""A key and its value; without a value the key is to be deleted."""

Describe = Callable[[], Process]
"""Gives a process as an event describes it."""

NO_LEADERS: Final[Mapping[str, Describe]] = {}

_PROCESS, _SLOT, _HEAD = b"P", b"S", b"H"
_KINDS_AT: Final = 1
_SLOT_BYTES: Final = 4
_REFRESH: Final = DAY
_LONG: Final = 128


class UnreadableError(Exception):
    """The database could not be read. That is no fault of the record, which must not be given up for it."""


class Remembered(msgspec.Struct, array_like=True, frozen=True):
    """A process in the ring.

    Attributes:
        slot: The slot it was given last.
        applied_at: When the matches topic took the latest event it was written for, nanoseconds since 1970.
        process: What is known of it.
    """

    slot: int
    applied_at: int
    process: Process


class _Place(msgspec.Struct, array_like=True, frozen=True):
    """The beginning of a `Remembered`, where that is enough."""

    slot: int
    applied_at: int


_FORMAT: Final = StateFormat(Remembered, "lineage")
_PLACE: Final = StateFormat(_Place, "lineage")


class Ring:
    """One host's ring, over what a database holds; changes are gathered, never written."""

    def __init__(self, read: Read, host: str, slots: int, taken_at: int) -> None:
        """Look at a host's ring.

        Args:
            read: What the database of the host's partition holds.
            host: `host.id`.
            slots: Processes that are remembered of a host.
            taken_at: When the matches topic took the event that is being processed, nanoseconds since 1970.
        """
        self._read = read
        self._host = _prefixed(host_key(host))
        self._slots = slots
        self._taken_at = taken_at
        self._known: dict[bytes, bytes | None] = {}  # what was read, and what is going to be written
        self._last: int | None = None
        self._comes_again = False
        self.changes: list[Entry] = []
        """Records of the changelog, in the order in which they are to be written."""

    def find(self, entity_id: str) -> Process | None:
        """What is remembered of an entity.

        Raises:
            StateFormatError: It has a format that is not known here, or its bytes are broken.
            UnreadableError: The database could not be read.
        """
        found = self._find(entity_id)
        return None if found is None else found.process

    def remember(self, seen: Process, over: Process | None, leaders: Mapping[str, Describe] = NO_LEADERS) -> None:
        """Remember a process whose execution was seen, and what its event tells of those above it. Once for a ring.

        The process is always written, since its last changelog record may be lost; those above it where they are not
        known as well, or are about to be forgotten, or the event comes again.

        Args:
            seen: The process.
            over: Its parent.
            leaders: Leaders that are to be kept, by entity id, each to be described only where it is not known.
        """
        entity_id = seen.entity_id
        found = None if entity_id is None else self._find(entity_id)
        self._comes_again = found is not None and self._taken_at <= found.applied_at
        told = {entity_id, None if over is None else over.entity_id}
        for leader_id, describe in leaders.items():
            if leader_id not in told:
                known = self._find(leader_id)
                self._hear_of(leader_id, describe() if known is None else None, known, entity_id)
        if over is not None and over.entity_id is not None and over.entity_id != entity_id:
            self._hear_of(over.entity_id, over, self._find(over.entity_id), entity_id)
        if entity_id is not None:
            self._place(entity_id, seen, found)

    def _hear_of(self, entity_id: str, process: Process | None, found: Remembered | None, below: str | None) -> None:
        """Remember a process above another one, as it is told of or as it is known; `below` is that other's id."""
        if found is None:
            if process is not None:
                self._place(entity_id, process, None)
            return
        # Where the process below has the latest slot already, none is given away for it.
        stays = below is not None and self._has_slot(below, self._head())
        is_old = self._taken_at - found.applied_at > _REFRESH
        is_going = not stays and 2 * ((self._head() - found.slot) % self._slots) >= self._slots
        is_going = is_going or not self._has_slot(entity_id, found.slot)
        together = found.process if process is None else merged(found.process, process)
        if is_old or is_going or together != found.process:
            self._place(entity_id, together, found)
        elif self._comes_again:
            # As it is: the process that is written after it names the latest slot again.
            self._change(self._key(_PROCESS, _entity(entity_id)), _FORMAT.encode(found))

    def _has_slot(self, entity_id: str, slot: int) -> bool:
        return 0 <= slot < self._slots and self._get(self._key(_SLOT, _slot(slot))) == _entity(entity_id)

    def _find(self, entity_id: str) -> Remembered | None:
        value = self._get(self._key(_PROCESS, _entity(entity_id)))
        if value is None:
            return None
        found = _FORMAT.decode(value)
        return None if self._taken_at - found.applied_at > RETENTION else found

    def _place(self, entity_id: str, process: Process, found: Remembered | None) -> None:
        """Give a process the next slot, whose occupant goes unless it has moved on since; or leave it the latest."""
        entity = _entity(entity_id)
        key = self._key(_PROCESS, entity)
        slot = self._head()
        if not self._has_slot(entity_id, slot):
            slot = (slot + 1) % self._slots
            occupant = self._get(self._key(_SLOT, _slot(slot)))
            if occupant is not None and occupant != entity:
                old = self._key(_PROCESS, occupant)
                value = self._get(old)
                if value is not None and _PLACE.decode(value).slot == slot:
                    self._change(old, None)
        self._last = slot
        record = Remembered(slot, self._taken_at, process)
        if found is not None:
            # Never back in time: else what follows in a replay would not be known as coming again.
            record = Remembered(slot, max(found.applied_at, self._taken_at), merged(found.process, process))
        self._change(key, _FORMAT.encode(record))

    def _change(self, key: bytes, value: bytes | None) -> None:
        self.changes.append((key, value))
        self._known.update(derived(key, value))

    def _head(self) -> int:
        """The slot that was given last, -1 where none was."""
        if self._last is None:
            value = self._get(self._key(_HEAD, b""))
            self._last = -1 if value is None else int.from_bytes(value, "big")
        return self._last

    def _get(self, key: bytes) -> bytes | None:
        if key not in self._known:
            try:
                self._known[key] = self._read(key)
            except Exception as error:
                raise UnreadableError(f"the lineage table can't be read: {error}") from error
        return self._known[key]

    def _key(self, kind: bytes, rest: bytes) -> bytes:
        return bytes((KEYS,)) + kind + self._host + rest


def belongs_to(key: bytes, host: str) -> bool:
    """Whether a key of the database or the changelog is one of a host's."""
    return _split(key)[0] == _prefixed(host_key(host))


def derived(key: bytes, value: bytes | None) -> list[Entry]:
    """All entries of the database that a record of the changelog stands for, itself first."""
    if value is None:
        return [(key, None)]
    slot = _slot(_PLACE.decode(value).slot)
    host, entity = _split(key)
    start = key[:_KINDS_AT]
    return [(key, value), (start + _SLOT + host + slot, entity), (start + _HEAD + host, slot)]


def applied_at(key: bytes, value: bytes) -> int | None:
    """When an entry was last referred to, nanoseconds since 1970; None for one that is derived."""
    return _PLACE.decode(value).applied_at if key[_KINDS_AT : _KINDS_AT + 1] == _PROCESS else None


def _slot(number: int) -> bytes:
    return number.to_bytes(_SLOT_BYTES, "big")


def _split(key: bytes) -> tuple[bytes, bytes]:
    """A key's host, with its length before it, and what follows."""
    begin = _KINDS_AT + 1
    end = begin + 2 + int.from_bytes(key[begin : begin + 2], "big")
    return key[begin:end], key[end:]


def _prefixed(host: bytes) -> bytes:
    return len(host).to_bytes(2, "big") + host


def _entity(entity_id: str) -> bytes:
    encoded = entity_id.encode("utf-8", "surrogatepass")
    return encoded if len(encoded) <= _LONG else b"sha256:" + hashlib.sha256(encoded).digest()

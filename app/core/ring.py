"""Memory of a host's processes, bounded by a ring of slots: what is remembered last takes the place of the oldest.

Only processes are records of the changelog. A slot's content and the slot that was given last follow from them
(`derived`), in the order of the changelog, so that a rebuild needs no reads. Every remembering takes the next slot,
also of a process that was there: what is referred to is kept, and a replay gives the same order again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from app.core.duration import DAY
from app.core.new_terms import host_key
from app.core.process import Process, merged
from app.core.state_format import FORMAT, StateFormat

RETENTION: Final = 7 * DAY
"""How long a process is remembered after it was last referred to, in nanoseconds; the changelog keeps it as long."""

SLOTS: Final = 4_096
"""Processes that are remembered of a host, unless told otherwise."""

Read = Callable[[bytes], bytes | None]
"""What a partition's database holds under a key."""

Entry = tuple[bytes, bytes | None]
"""A key and its value; without a value the key is to be deleted."""

_PROCESS, _SLOT, _HEAD = b"P", b"S", b"H"
_KINDS_AT: Final = 1
_SLOT_BYTES: Final = 4
_REFRESH: Final = DAY
_LONG: Final = 128


class Remembered(msgspec.Struct, array_like=True, frozen=True):
    """A process in the ring.

    Attributes:
        slot: The slot it was given last.
        applied_at: When the matches topic took the event that referred to it last, nanoseconds since 1970.
        process: What is known of it.
    """

    slot: int
    applied_at: int
    process: Process


class _Placed(msgspec.Struct, array_like=True, frozen=True):
    """The beginning of a Remembered: what a slot is about, at a fraction of the cost."""

    slot: int
    applied_at: int


_FORMAT: Final = StateFormat(Remembered, "lineage")
_PLACED: Final = StateFormat(_Placed, "lineage")


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
        self.changes: list[Entry] = []
        """Records of the changelog, in the order in which they are to be written."""

    def find(self, entity_id: str) -> Process | None:
        """What is remembered of an entity.

        Raises:
            StateFormatError: It has a format that is not known here, or its bytes are broken.
        """
        found = self._find(entity_id)
        return None if found is None else found.process

    def saw(self, process: Process) -> None:
        """Remember a process whose execution was seen; always written, since its last changelog record may be lost."""
        if process.entity_id is not None:
            self._place(process.entity_id, merged(self.find(process.entity_id), process))

    def heard_of(self, process: Process) -> None:
        """Remember a process that another one's event tells of; one that is known well enough is left as it is."""
        if process.entity_id is None:
            return
        found = self._find(process.entity_id)
        if found is None:
            self._place(process.entity_id, process)
            return
        together = merged(found.process, process)
        if together != found.process or self._is_old(found):
            self._place(process.entity_id, together)

    def keeps(self, entity_id: str) -> bool:
        """Whether an entity is remembered; then it is kept for longer, since an event refers to it."""
        found = self._find(entity_id)
        if found is None:
            return False
        if self._is_old(found):
            self._place(entity_id, found.process)
        return True

    def _is_old(self, found: Remembered) -> bool:
        """Whether a process is to be written again, lest it goes though it is still referred to."""
        behind = (self._head() - found.slot) % self._slots
        return behind > self._slots // 2 or self._taken_at - found.applied_at > _REFRESH

    def _find(self, entity_id: str) -> Remembered | None:
        value = self._get(self._key(_PROCESS, _entity(entity_id)))
        if value is None:
            return None
        found = _FORMAT.decode(value)
        return None if self._taken_at - found.applied_at > RETENTION else found

    def _place(self, entity_id: str, process: Process) -> None:
        """Give a process the next slot, whose occupant goes unless it has moved on since."""
        slot = (self._head() + 1) % self._slots
        key = self._key(_PROCESS, _entity(entity_id))
        occupant = self._get(self._key(_SLOT, slot.to_bytes(_SLOT_BYTES, "big")))
        if occupant is not None and (old := self._key(_PROCESS, occupant)) != key:
            value = self._get(old)
            if value is not None and _slot_of(value) == slot:
                self._change(old, None)
        self._change(key, _FORMAT.encode(Remembered(slot, self._taken_at, process)))

    def _change(self, key: bytes, value: bytes | None) -> None:
        self.changes.append((key, value))
        self._known.update(derived(key, value))

    def _head(self) -> int:
        value = self._get(self._key(_HEAD, b""))
        return -1 if value is None else int.from_bytes(value, "big")

    def _get(self, key: bytes) -> bytes | None:
        if key not in self._known:
            self._known[key] = self._read(key)
        return self._known[key]

    def _key(self, kind: bytes, rest: bytes) -> bytes:
        return bytes((FORMAT,)) + kind + self._host + rest


def derived(key: bytes, value: bytes | None) -> list[Entry]:
    """All entries of the database that a record of the changelog stands for, itself first."""
    if value is None:
        return [(key, None)]
    slot = _slot_of(value).to_bytes(_SLOT_BYTES, "big")
    host, entity = _split(key)
    start = key[:_KINDS_AT]
    return [(key, value), (start + _SLOT + host + slot, entity), (start + _HEAD + host, slot)]


def is_stray(key: bytes, value: bytes, read: Read, slots: int, now: int, keep: int) -> bool:
    """Whether nothing leads to an entry any more, so that it can be deleted.

    Args:
        key: Its key.
        value: Its value.
        read: What the same database holds.
        slots: Processes that are remembered of a host.
        now: The present, nanoseconds since 1970.
        keep: How long after it was last referred to a process may still be asked for, in nanoseconds.

    Raises:
        StateFormatError: It has a format that is not known here, or its bytes are broken.
    """
    kind = key[_KINDS_AT : _KINDS_AT + 1]
    host, rest = _split(key)
    start = key[:_KINDS_AT]
    if kind == _PROCESS:
        found = _FORMAT.decode(value)
        slot = found.slot.to_bytes(_SLOT_BYTES, "big")
        return found.slot >= slots or now - found.applied_at > keep or read(start + _SLOT + host + slot) != rest
    if kind == _SLOT:
        slot_number = int.from_bytes(rest, "big")
        occupant = read(start + _PROCESS + host + value)
        return slot_number >= slots or occupant is None or _FORMAT.decode(occupant).slot != slot_number
    return False


def applied_at(key: bytes, value: bytes) -> int | None:
    """When an entry was last referred to, nanoseconds since 1970; None for one that is derived."""
    return _FORMAT.decode(value).applied_at if key[_KINDS_AT : _KINDS_AT + 1] == _PROCESS else None


def _slot_of(value: bytes) -> int:
    return _PLACED.decode(value).slot


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

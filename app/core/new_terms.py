"""New terms: what a rule remembers, and the verdict over one match."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from app.core.event import ProcessEvent
from app.core.state_format import KEYS, StateFormat

Term = tuple[str, ...]
"""The text of a rule's new-terms fields, in the rule's order."""

MAX_TERMS: Final = 100
"""Terms judged for one record and rule; arrays make one term for each combination of their values."""

MAX_VALUE_BYTES: Final = 1024
"""A longer value of a term is stored by its SHA-256."""

_LITERAL, _DIGEST = b"\x00", b"\x01"


class Verdict(StrEnum):
    """What was decided over a term of a match."""

    KNOWN = "known"
    NEW = "new"
    LEARNING = "learning"  # new, but before `alert_from`: it builds history and raises no alert
    REPLAYED = "replayed"  # judged before, by its position: its state is written again and nothing else


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one match.

    Attributes:
        terms: Distinct terms in the order of the fields' values, at most MAX_TERMS.
        total: How many there would be without the limit.
        missing: The first field that has no value; then there are no terms.
    """

    terms: tuple[Term, ...]
    total: int
    missing: str | None = None


class TermRecord(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """What the table keeps for a rule and term. Times in nanoseconds since 1970.

    The next format may append fields; a reader of this one leaves them out.

    Attributes:
        first_seen: The earliest clock of a match.
        last_seen: The latest clock of a match.
        count: Matches; at least once, a replay of the source counts again.
        applied_at: When the matches topic took the last applied match.
        epoch: Which life of which partition of the matches topic the offset belongs to.
        offset: The last applied match's offset there.
        executable: `process.executable` of the last applied match, cut where it is over-long.
        sha256: `process.hash.sha256` of the last applied match, as bytes.
    """

    first_seen: int
    last_seen: int
    count: int
    applied_at: int
    epoch: int
    offset: int
    executable: str | None = None
    sha256: bytes | None = None


_FORMAT: Final = StateFormat(TermRecord, "new-terms")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One match of a term.

    Attributes:
        clock: Its clock, bounded.
        epoch: The life of the partition of the matches topic in which it stands.
        offset: Its offset there.
        taken_at: When that topic took it.
        executable: Which program it was, where that is known.
        sha256: The program's digest, where that is known.
    """

    clock: int
    epoch: int
    offset: int
    taken_at: int
    executable: str | None = None
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How to judge. All in nanoseconds.

    Attributes:
        history_window: A term not seen for longer than this is new again.
        retention: An entry applied longer ago than this counts as absent: the changelog may have dropped it,
            and a worker that was rebuilt from there must judge like one that was not.
        alert_from: Matches with a clock before this build history only; None alerts from the first.
    """

    history_window: int
    retention: int
    alert_from: int | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """The verdict, the record to write, and the record it was compared with (None: the term was unknown)."""

    verdict: Verdict
    record: TermRecord
    before: TermRecord | None


def assess(record: TermRecord | None, sighting: Sighting, policy: Policy) -> Assessment:
    """Judge one sighting of a term.

    New iff the term is unknown or its last match lies strictly more than the window back. Every sighting moves
    `last_seen` forward and `first_seen` back, never otherwise, so that any replay ends in the same state.
    """
    if (
        record is not None
        and record.epoch == sighting.epoch
        and sighting.offset <= record.offset
        # A broker that lost the end of its log gives its offsets again, to records that came later.
        and sighting.taken_at <= record.applied_at
    ):
        return Assessment(Verdict.REPLAYED, record, record)
    before = record
    if before is not None and sighting.taken_at - before.applied_at > policy.retention:
        before = None
    known = TermRecord(sighting.clock, sighting.clock, 0, 0, 0, 0) if before is None else before
    after = TermRecord(
        min(known.first_seen, sighting.clock),
        max(known.last_seen, sighting.clock),
        known.count + 1,
        sighting.taken_at,
        sighting.epoch,
        sighting.offset,
        sighting.executable,
        sighting.sha256,
    )
    if before is not None and sighting.clock - before.last_seen <= policy.history_window:
        verdict = Verdict.KNOWN
    elif policy.alert_from is not None and sighting.clock < policy.alert_from:
        verdict = Verdict.LEARNING
    else:
        verdict = Verdict.NEW
    return Assessment(verdict, after, before)


def is_expired(applied_at: int, now: int, keep: int) -> bool:
    """Whether a record was last applied longer ago than `keep`, nanoseconds: no match to come would still find it.

    Args:
        applied_at: When it was last applied.
        now: The present time.
        keep: The policy's retention, and how long a match may wait in its topic until it is judged.
    """
    return now - applied_at > keep


def terms_of(event: ProcessEvent, fields: Sequence[str]) -> Terms:
    """The terms of an event for a rule's fields: one for each combination of the fields' distinct values.

    A field whose value is missing, null, `[]` or an object has none; an empty `host.id` neither, since it
    names no host.
    """
    choices: list[list[str]] = []
    for field in fields:
        values = list(dict.fromkeys(event.values(field)))
        if field == "host.id":
            values = [value for value in values if value]
        if not values:
            return Terms((), 0, missing=field)
        choices.append(values)
    total = math.prod(map(len, choices))
    return Terms(tuple(itertools.islice(itertools.product(*choices), MAX_TERMS)), total)


def encode_term(term: Term) -> bytes:
    """A term as bytes, injective up to SHA-256: each value by its length or, over 1 KiB, by its digest."""
    parts: list[bytes] = []
    for value in term:
        encoded = value.encode()
        if len(encoded) > MAX_VALUE_BYTES:
            parts.append(_DIGEST + hashlib.sha256(encoded).digest())
        else:
            parts.append(_LITERAL + len(encoded).to_bytes(2, "big") + encoded)
    return b"".join(parts)


def host_key(host_id: str) -> bytes:
    """The record key by which a host's matches and alerts are sent: its id or, over 1 KiB, that id's digest."""
    encoded = host_id.encode()
    if len(encoded) > MAX_VALUE_BYTES:
        return b"sha256:" + hashlib.sha256(encoded).hexdigest().encode()
    return encoded


def term_key(rule_id: str, fields: Sequence[str], term: Term) -> bytes:
    """The table's key: an edited query keeps its history, changed fields begin a new one."""
    identity = rule_id.encode()
    digest = hashlib.sha256(encode_term(tuple(fields))).digest()[:8]
    return bytes((KEYS,)) + len(identity).to_bytes(2, "big") + identity + digest + encode_term(term)


def encode_record(record: TermRecord) -> bytes:
    """A record as bytes, its format first."""
    return _FORMAT.encode(record)


def decode_record(value: bytes) -> TermRecord:
    """Read a record again.

    Raises:
        StateFormatError: Its format is older or newer than those that are read, or its bytes are broken.
    """
    return _FORMAT.decode(value)


def epoch_of(topic_id: str, partition: int) -> int:
    """A number for this life of a partition: another one once the topic was deleted and created again."""
    digest = hashlib.sha256(encode_term((topic_id, str(partition)))).digest()
    return int.from_bytes(digest[:8], "big") >> 1

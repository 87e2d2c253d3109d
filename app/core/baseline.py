"""The baseline of a rule on a host: since when it has been watched, and how many terms it has brought.

An alert in a young baseline is likely noise of the first days; in an old one it is news.
Stands in the new-terms table, beside the terms it counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from app.core.new_terms import Assessment, Sighting, encode_term, host_key
from app.core.state_format import KEYS, StateFormat

_MARK: Final = b"\xff\xff"
"""Stands where a term's key has the length of its rule's id, which is never that long."""

_REFRESHES: Final = 4
"""A baseline is written again after this part of the retention, or it would be forgotten on a host without news."""


class BaselineRecord(msgspec.Struct, array_like=True, frozen=True):
    """What the table keeps of a rule on a host. Times in nanoseconds since 1970.

    Attributes:
        since: The earliest clock of a match.
        terms: Terms that had not been there before; one that was forgotten and comes again counts again.
        applied_at: When the matches topic took the match that was written last.
        epoch: Which life of which partition of the matches topic `offset` belongs to.
        offset: The match that was written last.
        place: Which of its terms that was. All terms up to there have been counted.
    """

    since: int
    terms: int
    applied_at: int
    epoch: int
    offset: int
    place: int


_FORMAT: Final = StateFormat(BaselineRecord, "new-terms")


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a rule knew of a host before a match.

    Attributes:
        since: The earliest clock of a match, nanoseconds since 1970; None where there was none.
        terms: The terms it had brought.
    """

    since: int | None = None
    terms: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """The baseline before a match, and the record to write; None where nothing is to be written."""

    before: Baseline
    record: BaselineRecord | None


def watch(
    record: BaselineRecord | None, place: int, assessment: Assessment, sighting: Sighting, retention: int
) -> Watch:
    """Bring a baseline up to a match that was assessed.

    It must be written before the match's term, and each before those of later matches: a replay that does not find
    a term then knows from the baseline's place whether it was counted.

    Args:
        record: What the table holds.
        place: Which of the match's terms was assessed, in their order.
        assessment: The verdict over it.
        sighting: The match.
        retention: How long the changelog keeps an entry, in nanoseconds.
    """
    if record is not None and sighting.taken_at - record.applied_at > retention:
        record = None
    known = assessment.before
    if record is None:
        # The terms may be older: the baseline of a host without news is forgotten a little earlier than they are.
        since = sighting.clock if known is None else min(known.first_seen, sighting.clock)
        return Watch(Baseline(), _counted(since, 1, sighting, place))
    before = Baseline(record.since, record.terms)
    reached = (record.offset, record.place)
    comes_again = (
        record.epoch == sighting.epoch
        and (sighting.offset, place) <= reached
        and sighting.taken_at <= record.applied_at  # offsets that a broker gives again belong to what came later
    )
    if known is None:
        if comes_again:
            return Watch(Baseline(record.since, record.terms - 1) if record.terms > 1 else Baseline(), record)
        return Watch(before, _counted(min(record.since, sighting.clock), record.terms + 1, sighting, place))
    if sighting.clock < record.since or sighting.taken_at - record.applied_at > retention // _REFRESHES:
        since = min(record.since, sighting.clock)
        return Watch(before, record if comes_again else _counted(since, record.terms, sighting, place))
    return Watch(before, record if comes_again else None)  # its changelog record may be missing


def host_baseline_key(rule_id: str, fields: Sequence[str], host_id: str) -> bytes:
    """The table's key of a rule's baseline on a host; never that of a term."""
    identity = rule_id.encode()
    digest = hashlib.sha256(encode_term(tuple(fields))).digest()[:8]
    return bytes((KEYS,)) + _MARK + len(identity).to_bytes(2, "big") + identity + digest + host_key(host_id)


def is_baseline_key(key: bytes) -> bool:
    """Whether a key of the table is that of a baseline; else it is a term's."""
    return key[1 : 1 + len(_MARK)] == _MARK


def encode_baseline(record: BaselineRecord) -> bytes:
    """A record as bytes, its format first."""
    return _FORMAT.encode(record)


def decode_baseline(value: bytes) -> BaselineRecord:
    """Read a record again.

    Raises:
        StateFormatError: Its format is older or newer than those that are read, or its bytes are broken.
    """
    return _FORMAT.decode(value)


def _counted(since: int, terms: int, sighting: Sighting, place: int) -> BaselineRecord:
    return BaselineRecord(since, terms, sighting.taken_at, sighting.epoch, sighting.offset, place)

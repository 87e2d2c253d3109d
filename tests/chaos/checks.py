"""What must hold, from what was sent and what stands on the broker. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tests.chaos.story import Fate

Place = tuple[int, int]
"""Partition and offset."""

Partition = tuple[str, int]
"""Name of a topic, `source` or `matches`, and the partition."""


class SeenMatch(NamedTuple):
    """A record of the matches topic: its own place, its bytes, and its record's place in the source topic."""

    place: Place
    value: bytes
    source: Place


class SeenAlert(NamedTuple):
    """An alert's id, and its record's place in the source topic."""

    id: str
    source: Place


class SeenLetter(NamedTuple):
    """A dead letter's reason, and its record's place in the source topic."""

    reason: str
    source: Place


@dataclass(frozen=True, slots=True)
class Sight:
    """What stood on the broker: first the commits were asked for, then the topics were read.

    So what is behind a commit must be in the topics, whatever happened in between.

    Attributes:
        committed: What the group had committed.
        source: The source topic's records that count, by their place.
        matches: Of the topic as it is now.
        earlier: Of the lives that it had before it was deleted.
        alerts: All of them, repeated ones too.
        letters: All of them, repeated ones too.
    """

    committed: Mapping[Partition, int]
    source: Mapping[Place, bytes]
    matches: tuple[SeenMatch, ...] = ()
    earlier: tuple[SeenMatch, ...] = ()
    alerts: tuple[SeenAlert, ...] = ()
    letters: tuple[SeenLetter, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found.

    Attributes:
        seen: Alerts, repeated ones too.
        duplicates: How many of them repeat the id of another one.
        lost: Ids that are due and did not come.
        unknown: Alerts whose id is not one of those that their record raises.
        overtaken: Commits past something unfinished, one sentence each.
        letters: Dead letters that are missing, or that nobody expects, one sentence each.
    """

    seen: int
    duplicates: int
    lost: frozenset[str]
    unknown: tuple[SeenAlert, ...]
    overtaken: tuple[str, ...]
    letters: tuple[str, ...]

    @property
    def faults(self) -> list[str]:
        """All that must not be, one sentence each; duplicates may be."""
        lost = [f"lost: alert {one}" for one in sorted(self.lost)]
        unknown = [f"unknown: alert {one.id} of record {one.source}" for one in self.unknown]
        return [*lost, *unknown, *self.overtaken, *self.letters]


def check_all(sight: Sight, fates: Mapping[bytes, Fate]) -> Findings:
    """Check a sight at the end of a run, when everything was sent and must be judged."""
    return _findings(sight, fates, _due(fates.values()) - {alert.id for alert in sight.alerts}, _missing(sight, fates))


def check_so_far(sight: Sight, fates: Mapping[bytes, Fate]) -> Findings:
    """Check a sight in the midst of a run: what is committed must be finished, and nothing must be there unasked."""
    return _findings(sight, fates, frozenset(), ())


def _findings(sight: Sight, fates: Mapping[bytes, Fate], lost: frozenset[str], missing: Iterable[str]) -> Findings:
    ids = Counter(alert.id for alert in sight.alerts)
    return Findings(
        seen=len(sight.alerts),
        duplicates=ids.total() - len(ids),
        lost=lost,
        unknown=tuple(alert for alert in sight.alerts if alert.id not in _fate(sight, fates, alert.source).alerts),
        overtaken=(*_overtaken_sources(sight, fates), *_overtaken_matches(sight, fates)),
        letters=(*missing, *_unasked(sight, fates)),
    )


def _overtaken_sources(sight: Sight, fates: Mapping[bytes, Fate]) -> Iterable[str]:
    """Records before the commit of their partition that are neither forwarded nor dead letters."""
    forwarded = {match.source for match in (*sight.matches, *sight.earlier)}
    letters = {(letter.source, letter.reason) for letter in sight.letters}
    for place, value in sight.source.items():
        committed = sight.committed.get(("source", place[0]), 0)
        fate = fates.get(value, Fate())
        if place[1] >= committed or fate.nothing:
            continue
        where = f"source {place[0]}:{place[1]}, committed {committed}"
        if fate.matches and place not in forwarded:
            yield f"committed past an unfinished record: {where}: no match"
        for reason in sorted(fate.reasons):
            if (place, reason) not in letters:
                yield f"committed past an unfinished record: {where}: no dead letter {reason}"


def _overtaken_matches(sight: Sight, fates: Mapping[bytes, Fate]) -> Iterable[str]:
    """Matches before the commit of their partition whose alerts are not there."""
    seen = {alert.id for alert in sight.alerts}
    for match in sight.matches:
        committed = sight.committed.get(("matches", match.place[0]), 0)
        if match.place[1] >= committed:
            continue
        for id_ in sorted(fates.get(match.value, Fate()).alerts - seen):
            where = f"matches {match.place[0]}:{match.place[1]}, committed {committed}"
            yield f"committed past an unfinished match: {where}: no alert {id_}"


def _missing(sight: Sight, fates: Mapping[bytes, Fate]) -> Iterable[str]:
    letters = {(letter.source, letter.reason) for letter in sight.letters}
    for place, value in sight.source.items():
        for reason in sorted(fates.get(value, Fate()).reasons):
            if (place, reason) not in letters:
                yield f"lost: dead letter {reason} of record {place}"


def _unasked(sight: Sight, fates: Mapping[bytes, Fate]) -> Iterable[str]:
    for letter in dict.fromkeys(sight.letters):
        if letter.reason not in _fate(sight, fates, letter.source).reasons:
            yield f"unknown: dead letter {letter.reason} of record {letter.source}"


def _fate(sight: Sight, fates: Mapping[bytes, Fate], place: Place) -> Fate:
    return fates.get(sight.source.get(place, b""), Fate())


def _due(fates: Iterable[Fate]) -> frozenset[str]:
    return frozenset().union(*(fate.alerts for fate in fates))

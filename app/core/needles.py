"""Needles: literals that every match must contain, and the test of raw bytes for them.

A record without a needle can't match a rule, so it is dropped before it is decoded. The one promise:
no record that a rule would match is ever dropped. Letting too much through costs time, nothing else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

# Some 18 times as fast as `bytes.find` over a 6 KB event, its call included, and more over megabytes.
from stringzilla import find  # type: ignore[import-not-found, unused-ignore]  # it ships no stubs

from app.core.kql import And, Equals, Not, Or, Query, Wildcard

Buffer: TypeAlias = bytes | bytearray | memoryview

# One and two letters stand in nearly every record: such a needle would cost its search and drop nothing.
MIN_LENGTH = 3

# ECS fields that hold one of a few values in almost every process event. Their literals are true needles,
# but nearly every record contains them, so they are chosen only where nothing else can be derived.
COMMON_FIELDS = frozenset(
    {
        "agent.type",
        "data_stream.dataset",
        "data_stream.namespace",
        "data_stream.type",
        "ecs.version",
        "event.action",
        "event.category",
        "event.dataset",
        "event.kind",
        "event.module",
        "event.outcome",
        "event.provider",
        "event.type",
        "host.architecture",
        "host.os.family",
        "host.os.name",
        "host.os.platform",
        "host.os.type",
    }
)

# Characters that every JSON encoder writes as themselves or as one \u00XX, and in no third way.
_RUN = re.compile(r"[A-Za-z0-9_.\-]+")
_NUMBER_CHARACTERS = frozenset("0123456789+-.eE")
# What a decoder may make of a number beyond the range of a double, such as 1e999.
_NON_FINITE = ("inf", "-inf", "Infinity", "-Infinity", "nan", "NaN")

# What an escape is written with: where an event is text in a record, any of these may be an escape again.
_SPELLING = b"\\u0123456789abcdefABCDEF"

_ESCAPE = b"\\u00"
_ESCAPE_LENGTH = 6
_ESCAPE_STEPS = 32
# Small enough that the second search of a window finds it in the cache, large enough that calls cost nothing.
_WINDOW = 256 * 1024
# The first one is small, so that a near hit is not paid for with a search of all that follows it.
_FIRST_WINDOW = 4 * 1024


@dataclass(frozen=True, slots=True)
class _Choice:
    """A possible set of needles for a part of a query; orders by how much it is likely to drop."""

    literals: frozenset[str]
    common: bool

    def rank(self) -> tuple[bool, int, int, list[str]]:
        return self.common, -min(map(len, self.literals)), len(self.literals), sorted(self.literals)


def needles_of(query: Query) -> frozenset[str] | None:
    r"""Derive literals of which every event that the query matches contains at least one.

    Contained means: as a part of some field's text value in the event's JSON, each character as itself or
    as a `\u00XX` escape. None where there is no such set, as for a query that a missing field satisfies.
    Equal queries give equal needles, in every process.
    """
    choice = _choose(query, negated=False)
    return choice.literals if choice else None


def _choose(query: Query, *, negated: bool) -> _Choice | None:
    """Choose for the query or for its negation, which De Morgan's laws push down to the leaves."""
    match query:
        case Not(child):
            return _choose(child, negated=not negated)
        case And(children) | Or(children):
            choices = [_choose(child, negated=negated) for child in children]
            every_part_holds = isinstance(query, And) != negated
            return _best(choices) if every_part_holds else _union(choices)
        case Equals() | Wildcard() if not negated:
            literal = _literal_of(query)
            return _Choice(frozenset((literal,)), query.field in COMMON_FIELDS) if literal else None
        case _:
            return None


def _best(choices: list[_Choice | None]) -> _Choice | None:
    """Every part holds for a match, so any one part's needles will do: take the most selective."""
    return min((choice for choice in choices if choice), key=_Choice.rank, default=None)


def _union(choices: list[_Choice | None]) -> _Choice | None:
    """Any part may be the one that holds, so each must bring its needles; the commonest sets the class."""
    known = [choice for choice in choices if choice]
    if len(known) < len(choices):
        return None
    literals = frozenset[str]().union(*(choice.literals for choice in known))
    return _Choice(literals, any(choice.common for choice in known))


def _literal_of(leaf: Equals | Wildcard) -> str | None:
    """Give the longest run that an encoder can't alter, the first of equally long ones.

    A JSON number can be written in many ways (1000, 1e3), so a leaf that a number might satisfy has none.
    A run that reads as a number is passed over too: events are full of numbers.
    """
    if _may_equal_number(leaf):
        return None
    pieces = leaf.pieces if isinstance(leaf, Wildcard) else (leaf.value,)
    runs = [run for piece in pieces for run in _RUN.findall(piece)]
    usable = [run for run in runs if len(run) >= MIN_LENGTH and not _reads_as_number(run)]
    return max(usable, key=len, default=None)


def _may_equal_number(leaf: Equals | Wildcard) -> bool:
    if isinstance(leaf, Equals):
        return _reads_as_number(leaf.value)
    return _NUMBER_CHARACTERS.issuperset("".join(leaf.pieces)) or any(map(leaf.matches, _NON_FINITE))


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Needles:
    r"""The needles of all loaded rules, and the search for them in bytes; made by `of` or `all`.

    A needle is found where it stands as it is, and where any of its characters are `\u00XX` escapes; in wrapped
    events also where the characters of such an escape are escapes themselves, as in `\\u00XX`.

    Attributes:
        literals: The needles, in ASCII. With none of them and no reason nothing is a candidate.
        reason: Why everything is let through; None where the needles decide.
        wrapped: Whether records hold their events as text, a JSON string in JSON.
    """

    literals: frozenset[str]
    reason: str | None = None
    wrapped: bool = False
    _raw: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    _own_pairs: frozenset[int] = field(init=False, repr=False, compare=False)
    _own_escape: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    _spelled: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the searches."""
        raw = tuple(literal.encode("ascii") for literal in sorted(self.literals))
        own = sorted({*b"".join(raw), *(_SPELLING if raw and self.wrapped else b"")})
        pairs = {high << 8 | low for code in own for high in _hex(code >> 4) for low in _hex(code & 15)}
        pattern = _wrapped_character_pattern if self.wrapped else _character_pattern
        spelled = (b"".join(map(pattern, needle)) for needle in raw)
        prepare = functools.partial(object.__setattr__, self)
        prepare("_raw", raw)
        prepare("_own_pairs", frozenset(pairs))
        prepare("_own_escape", re.compile(_any_of(map(_escape_pattern, own))))
        prepare("_spelled", re.compile(_any_of(spelled)))

    @classmethod
    def of(cls, queries: Iterable[tuple[str, Query]], *, wrapped: bool = False) -> Needles:
        """Collect the needles of all queries.

        Args:
            queries: Each query with the name of its rule, which `reason` uses if it has no needle.
            wrapped: See there.
        """
        found: set[str] = set()
        for name, query in queries:
            needles = needles_of(query)
            if needles is None:
                return cls.all(f"the query of {name} has no literal that every match must contain")
            found |= needles
        return cls(frozenset(n for n in found if not any(m in n for m in found - {n})), None, wrapped)

    @classmethod
    def all(cls, reason: str = "no needles are set") -> Needles:
        """Make the one that lets everything through."""
        return cls(frozenset(), reason)

    def is_candidate(self, record: Buffer) -> bool:
        """Tell whether the record may match a rule: true for every one that does."""
        if self.reason is not None:
            return True
        for needle in self._raw:
            if find(record, needle) >= 0:
                return True
        # An escape at all is rare, one of an own character rarer still: only then the slow search is made.
        escape = find(record, _ESCAPE)
        if escape < 0 or self._find_own_escape(record, escape, len(record)) < 0:
            return False
        return self._spelled.search(record) is not None

    def first_hit(self, buffer: Buffer, start: int, end: int) -> int:
        """Find the first position from which a record has to be looked at, -1 if there is none.

        Coarser than `is_candidate`: besides a raw needle, any single escape of a needle's own character is a
        hit (in wrapped events also one of a character that escapes are written with), as are all bytes where
        everything is let through. Hits lie wholly inside `buffer[start:end]`.
        Time grows with the distance to the hit plus one window, so calling it again after a hit is cheap.

        Args:
            buffer: Bytes; a memoryview must be contiguous and of single bytes.
            start: First offset of the search, from 0.
            end: Offset just past the search, at most the buffer's length.
        """
        if self.reason is not None:
            return start if start < end else -1
        window = min(_FIRST_WINDOW, _WINDOW)
        while start < end:
            stop = min(start + window, end)
            hit = stop
            for needle in self._raw:
                # What begins before the best hit so far may end after it.
                at = find(buffer, needle, start, min(hit + len(needle) - 1, end))
                hit = at if at >= 0 else hit
            at = self._find_own_escape(buffer, start, min(hit + _ESCAPE_LENGTH - 1, end))
            hit = at if at >= 0 else hit
            if hit < stop:
                return hit
            start = stop
            window = min(4 * window, _WINDOW)
        return -1

    def _find_own_escape(self, buffer: Buffer, start: int, end: int) -> int:
        """Find an escape of a character that a needle has.

        Go writes `<`, `>` and `&` as escapes of this form, so a few others are stepped over one by one;
        where there are many, the regular expression is cheaper than more steps.
        """
        for _ in range(_ESCAPE_STEPS):
            start = find(buffer, _ESCAPE, start, end)
            if start < 0 or start + _ESCAPE_LENGTH > end:
                return -1
            if (buffer[start + 4] << 8 | buffer[start + 5]) in self._own_pairs:
                return start
            start += len(_ESCAPE)
        match = self._own_escape.search(buffer, start, end)
        return match.start() if match else -1


def _hex(digit: int) -> bytes:
    """Give the one or two characters that may write a hexadecimal digit."""
    return bytes({*b"%x" % digit, *b"%X" % digit})


def _escape_pattern(code: int) -> bytes:
    return rb"\\u00[%b][%b]" % (_hex(code >> 4), _hex(code & 15))


def _character_pattern(code: int) -> bytes:
    return b"(?:%b|%b)" % (re.escape(bytes((code,))), _escape_pattern(code))


def _wrapped_character_pattern(code: int) -> bytes:
    """A character of a text that is written twice, each time as itself or as an escape.

    The backslash of the inner escape is itself escaped, by another one or by its number; the rest may be.
    """
    backslash = rb"(?:\\\\|%b)" % _escape_pattern(_SPELLING[0])
    digits = (b"(?:%b)" % _any_of(map(_character_pattern, _hex(digit))) for digit in (code >> 4, code & 15))
    escape = backslash + b"".join(map(_character_pattern, b"u00")) + b"".join(digits)
    return b"(?:%b|%b)" % (_character_pattern(code), escape)


def _any_of(patterns: Iterable[bytes]) -> bytes:
    """Join patterns; with none, give one that matches nowhere."""
    return b"|".join(patterns) or b"(?!)"

"""The verdicts that the rule for exim4's children must give, worked out the plain way.

It is written from the semantics alone and imports nothing of the program: a second opinion. It keeps each match ever
seen in one list and reads that list from end to end for each term. A deviation is a method that a subclass overrides.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, NoReturn, TypeAlias

Term: TypeAlias = tuple[str, str]
Fields: TypeAlias = list[tuple[str, str]]

SECOND = 10**9
DAY = 86_400 * SECOND
WINDOW = 14 * DAY
SKEW = 300 * SECOND
EXCLUDED = (
    *("exim4", "start-stop-daemon", "run-parts", "systemctl", "update-exim4.conf", "install", "plymouth"),
    *("readlink", "grep", "stat", "cmake", "gcc", "cppcheck", "sort", "sshd"),
)
CANDIDATE = re.compile(rb"(e|\\u0065)(x|\\u0078)(i|\\u0069)(m|\\u006[dD])(4|\\u0034)")
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
SURROGATE = re.compile("[\ud800-\udfff]")


class Record(NamedTuple):
    """A record to judge: a line of a file, or a record of the matches topic.

    Attributes:
        raw: The source's bytes.
        taken_at: When the matches topic took it (LogAppendTime), or `--now` of a replay; nanoseconds since 1970.
        written_at: The source record's own timestamp, the last resort for a clock.
        host: The host that this copy was routed to: only its terms count. None for all.
    """

    raw: bytes
    taken_at: int
    written_at: int | None = None
    host: str | None = None


@dataclass
class Outcome:
    """What becomes of one record. One that is read and doesn't match leaves all of it empty.

    Attributes:
        scanned: It is no candidate.
        new: Terms that raise an alert.
        known: Terms that were seen within the window.
        learning: Terms that would raise an alert if alerts had begun.
        dead_letters: Reasons for which it could not be judged, or not wholly.
        clock: The time by which it was judged, nanoseconds since 1970.
        family: The host for whose lineages it is kept, if it is an execution of exim4's family that names one.
    """

    scanned: bool = False
    new: list[Term] = field(default_factory=list)
    known: list[Term] = field(default_factory=list)
    learning: list[Term] = field(default_factory=list)
    dead_letters: list[str] = field(default_factory=list)
    clock: int | None = field(default=None, compare=False)
    family: str | None = field(default=None, compare=False)


class Unreadable(Exception):  # noqa: N818
    """A candidate that isn't one JSON object; its text is the dead letter's reason."""


class Members(tuple[tuple[str, object], ...]):
    """A JSON object with each of its members, repeated keys as well."""

    __slots__ = ()


class Number(str):
    """A JSON number, as it was written."""

    __slots__ = ()


def refuse(constant: str) -> NoReturn:
    """NaN and the infinities are no JSON."""
    raise ValueError(constant)


def depth(value: object) -> int:
    """Count the objects and arrays around the innermost value."""
    if isinstance(value, Members):
        return 1 + max((depth(member) for _, member in value), default=0)
    if isinstance(value, list):
        return 1 + max((depth(element) for element in value), default=0)
    return 0


def leaves(value: object, *path: str) -> Iterator[tuple[str, str]]:
    """Each scalar as text under its dotted name, in the order of the record; a null isn't one."""
    if isinstance(value, Members):
        for key, member in value:
            yield from leaves(member, *path, SURROGATE.sub("\ufffd", key))
    elif isinstance(value, list):
        for element in value:
            yield from leaves(element, *path)
    elif isinstance(value, bool):
        yield ".".join(path), Number(json.dumps(value))
    elif isinstance(value, Number):
        yield ".".join(path), value
    elif isinstance(value, str):
        yield ".".join(path), SURROGATE.sub("\ufffd", value)


def nanoseconds(text: str) -> int | None:
    """Read an ISO time with an offset; None for what isn't one, and for times before 1970 as for those."""
    found = None if isinstance(text, Number) else TIME.fullmatch(text)
    if found is None:
        return None
    *numbers, fraction, sign, hours, minutes = found.groups()
    try:
        moment = datetime(*map(int, numbers), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    if sign:
        seconds -= int(f"{sign}1") * (int(hours) * 3600 + int(minutes) * 60)
    return seconds * SECOND + int((fraction or "").ljust(9, "0")) if seconds >= 0 else None


class Oracle:
    """Judges records as one history."""

    window = WINDOW
    skew = SKEW
    deepest = 200
    most_terms = 100
    clock_fields: tuple[str, ...] = ("event.ingested", "@timestamp")

    def __init__(self, alert_from: int | None = None) -> None:
        """Take the time before which matches raise no alert, nanoseconds since 1970."""
        self.alert_from = alert_from
        self.history: list[tuple[Term, int]] = []

    def judge(self, records: Iterable[Record]) -> list[Outcome]:
        """Say of each record what becomes of it."""
        return [self.outcome(record) for record in records]

    def outcome(self, record: Record) -> Outcome:
        """Judge the next record."""
        if not self.is_candidate(record.raw):
            return Outcome(scanned=True)
        try:
            fields = self.fields(self.read(record.raw))
        except Unreadable as error:
            return Outcome(dead_letters=[str(error)])
        outcome = Outcome(family=self.family(fields))
        if not self.matches(fields):
            return outcome
        terms = self.terms(fields)
        clock = outcome.clock = self.clock(fields, record)
        if not terms:
            outcome.dead_letters.append("missing_term_field")
        if len(terms) > self.most_terms:
            outcome.dead_letters.append("too_many_terms")
        if terms and clock is None:
            outcome.dead_letters.append("no_clock")
        for term in terms[: self.most_terms]:
            if clock is not None and record.host in (None, term[0]):
                self.verdict(outcome, term, clock).append(term)
                self.remember(term, clock)
        return outcome

    def is_candidate(self, raw: bytes) -> bool:
        """Whether the bytes hold exim4, any of its letters as an escape or not."""
        return CANDIDATE.search(raw) is not None

    def text(self, raw: bytes) -> str:
        """Decode the bytes: what is no UTF-8 becomes U+FFFD. A byte order mark in front is no part of the text."""
        return raw.decode("utf-8", "replace").removeprefix("\ufeff")

    def read(self, raw: bytes) -> Members:
        """Read one JSON object."""
        try:
            value: object = json.loads(
                self.text(raw),
                object_pairs_hook=Members,
                parse_int=Number,
                parse_float=Number,
                parse_constant=refuse,
            )
            if depth(value) > self.deepest:
                raise Unreadable("too_deep")
        except RecursionError:
            raise Unreadable("too_deep") from None
        except ValueError:
            raise Unreadable("not_json") from None
        if not isinstance(value, Members):
            raise Unreadable("not_an_object")
        return value

    def fields(self, record: Members) -> Fields:
        """All values of an object, each with its field's name."""
        return list(leaves(record))

    def values(self, fields: Fields, name: str) -> list[str]:
        """All values of one field."""
        return [value for key, value in fields if key == name]

    def matches(self, fields: Fields) -> bool:
        """Evaluate the rule's query."""
        return (
            "linux" in self.values(fields, "host.os.type")
            and "start" in self.values(fields, "event.type")
            and "exec" in self.values(fields, "event.action")
            and "exim4" in self.values(fields, "process.parent.name")
            and not self.is_excluded(self.values(fields, "process.name"))
        )

    def family(self, fields: Fields) -> str | None:
        """The first host of an execution in which exim4 is process, parent or leader."""
        exim4 = [
            value
            for part in ("", "parent.", "group_leader.", "session_leader.", "entry_leader.")
            for value in self.values(fields, f"process.{part}name")
            if value == "exim4"
        ]
        started = "start" in self.values(fields, "event.type") and "exec" in self.values(fields, "event.action")
        hosts = [host for host in self.values(fields, "host.id") if host != ""]
        return str(hosts[0]) if exim4 and started and hosts else None

    def is_excluded(self, names: list[str]) -> bool:
        """Whether one of a process's names is on the list."""
        return any(name in EXCLUDED for name in names)

    def terms(self, fields: Fields) -> list[Term]:
        """All distinct pairs of host and name, in order."""
        hosts = [host for host in self.values(fields, "host.id") if host != ""]
        names = self.values(fields, "process.name")
        return list(dict.fromkeys(itertools.product(map(str, hosts), map(str, names))))

    def clock(self, fields: Fields, record: Record) -> int | None:
        """The time that counts: the first that can be read, and never later than the skew after the record was taken.

        It is at hand where a field holds a time, or where the source's record carries one.
        """
        texts = [text for name in self.clock_fields for text in self.values(fields, name)]
        clocks = [clock for clock in (*map(self.time, texts), record.written_at) if clock is not None]
        return min(clocks[0], record.taken_at + self.skew) if clocks else None

    def time(self, text: str) -> int | None:
        """The time that a text says, if any."""
        return nanoseconds(text)

    def verdict(self, outcome: Outcome, term: Term, clock: int) -> list[Term]:
        """Choose the list of the outcome that a term belongs into."""
        if not self.is_new([seen for known, seen in self.history if known == term], clock):
            return outcome.known
        return outcome.learning if self.is_early(clock) else outcome.new

    def is_new(self, seen: list[int], clock: int) -> bool:
        """Whether nothing was seen before, or the latest of it more than the window ago."""
        return not seen or clock - max(seen) > self.window

    def is_early(self, clock: int) -> bool:
        """Whether a match only builds history."""
        return self.alert_from is not None and clock < self.alert_from

    def remember(self, term: Term, clock: int) -> None:
        """Add a match to the history."""
        self.history.append((term, clock))


def judge(records: Iterable[Record], alert_from: int | None = None) -> list[Outcome]:
    """Judge the lines of a file, or a partition of the matches topic in the order of its log.

    In the latter, each record is bounded by its own append time; dead letters are those of the source's record, so a
    record that was routed to several hosts repeats them.
    """
    return Oracle(alert_from).judge(records)

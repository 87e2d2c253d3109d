"""The engine: everything that is decided about a record, in the order in which it is decided.

The worker's two steps, `replay` and `explain` all call these functions, so they cannot disagree.
Whatever our own code raises on a record becomes a dead letter here; nothing of a record's content escapes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from app.core.alert import Alert, Body, Maker, Occurrence, build_alert, build_body, room_for_body
from app.core.assessment import Level
from app.core.baseline import BaselineRecord, host_baseline_key, watch
from app.core.clock import Clock, bound_clock, read_clock
from app.core.dead_letter import DeadLetter
from app.core.event import JsonObject, ProcessEvent, UndecodableError
from app.core.evidence import Grounds, gather
from app.core.family import FAMILY, ROOT, host_of, is_member
from app.core.lineage import NOTHING, LookUp, trace
from app.core.needles import Needles
from app.core.new_terms import (
    MAX_TERMS,
    Assessment,
    Policy,
    Sighting,
    Term,
    TermRecord,
    Verdict,
    assess,
    encode_term,
    host_key,
    terms_of,
)
from app.core.process import cut_text, executed, leader, leader_ids, parent
from app.core.ring import Ring, UnreadableError
from app.core.rule import Rule, Scope
from app.core.source_format import SourceFormat, read_event
from app.core.state_format import StateFormatError

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a match goes: records of one scope and key meet on one partition of the matches topic."""

    scope: Scope
    key: bytes


@dataclass(frozen=True, slots=True)
class Match:
    """One rule's match of an event, with its terms."""

    rule: Rule
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """What the first step finds in a record.

    Attributes:
        event: The decoded event, None where it could not be read.
        clock: Its clock, not yet bounded.
        matches: Rules that matched and have terms.
        dead_letters: What could not be judged.
        is_member: Whether it is an execution of exim4's family.
        host: Of a member the host whose processes it tells of; None where it names none.
        bodies: Alert bodies by the room that a rule leaves for them, made when the first alert needs them.
        grounds: What else its alerts have in common.
    """

    event: ProcessEvent | None = None
    clock: Clock | None = None
    matches: tuple[Match, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    is_member: bool = False
    host: str | None = None
    bodies: dict[int, Body] = field(default_factory=dict, compare=False, repr=False)
    grounds: Grounds = field(default_factory=Grounds, compare=False, repr=False)

    def routes(self) -> list[Route]:
        """The distinct routes of all terms, in order of first appearance, and where the lineage of its host is kept."""
        routes = [route_of(match.rule, term) for match in self.matches for term in match.terms]
        if self.host is not None:
            routes.append(Route("host", host_key(self.host)))
        return list(dict.fromkeys(routes))

    def tells_of(self, route: Route) -> bool:
        """Whether a process is to be remembered where a route leads."""
        return self.host is not None and route == Route("host", host_key(self.host))

    def place_of(self, rule: Rule, term: Term) -> int:
        """Which of a rule's terms a term is, in the order in which they are judged."""
        return next(match.terms.index(term) for match in self.matches if match.rule is rule)

    def due(self, route: Route) -> Iterator[tuple[Rule, Term]]:
        """The rules and terms that are judged where a route leads."""
        for match in self.matches:
            for term in match.terms:
                if route_of(match.rule, term) == route:
                    yield match.rule, term


@dataclass(frozen=True, slots=True)
class Arrival:
    """A match as the matches topic took it.

    Attributes:
        epoch: The life of the partition it stands in.
        offset: Its offset there.
        taken_at: When the topic took it, nanoseconds since 1970.
        source: Where the source record was read (`detector.source`).
    """

    epoch: int
    offset: int
    taken_at: int
    source: JsonObject


@dataclass(frozen=True, slots=True)
class Standards:
    """What holds for every judgement of a run; times in nanoseconds.

    Attributes:
        maker: Version and size limit of alerts.
        retention: How long the changelog keeps an entry.
        max_future_skew: How far an event's clock may lie after the matches topic took it.
        alert_from: Earlier matches build history only.
    """

    maker: Maker
    retention: int
    max_future_skew: int
    alert_from: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What the tables hold beside a term's own record.

    Attributes:
        baseline: The rule's baseline on the host.
        look_up: What is remembered of the host's processes, before the event or with it.
    """

    baseline: BaselineRecord | None = None
    look_up: LookUp = NOTHING


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided over one rule and term.

    Attributes:
        assessment: The verdict, and the term's record to write.
        baseline: The record of the rule's baseline to write before that; None where there is nothing to write.
        alert: The alert where the term is new; to be confirmed before anything is written.
        level: The level of that alert's assessment.
        clock: The event's time, bounded; nanoseconds since 1970.
    """

    assessment: Assessment
    baseline: BaselineRecord | None = None
    alert: Alert | None = None
    level: Level | None = None
    clock: int | None = None


FORGETFUL: Final = Memory()
"""Holds nothing."""


class Engine:
    """A set of rules and the two steps in which a record is judged by them. Holds no state of records."""

    def __init__(self, rules: Sequence[Rule], standards: Standards, source_format: SourceFormat = "ecs") -> None:
        """Take the rules in the order in which they are to be judged, and how source records carry their events."""
        self.rules = tuple(rules)
        self.standards = standards
        self.source_format = source_format
        queries = [*((rule.id, rule.query) for rule in rules), ("the family of exim4", FAMILY)]
        self.needles = Needles.of(queries, wrapped=source_format == "message")

    def reading(self, source_format: SourceFormat) -> Engine:
        """The engine that differs from this one in how source records carry their events."""
        if source_format == self.source_format:
            return self
        return Engine(self.rules, self.standards, source_format)

    def examine(
        self, raw: bytes, record_timestamp: int | None, source_format: SourceFormat | None = None
    ) -> Examination:
        """First step: read a candidate and find its matches, their terms and what stands against them.

        Args:
            raw: The record's bytes.
            record_timestamp: The source record's own time in nanoseconds since 1970; None where there is none.
            source_format: How it carries its event, where that is known of the record itself.
        """
        try:
            event = read_event(raw, source_format or self.source_format)
            matching = [rule for rule in self.rules if rule.matches(event)]
            member = is_member(event)
            if not matching and not member:
                return Examination(event)
            found = _find_terms(event, read_clock(event, record_timestamp), matching)
            return replace(found, is_member=True, host=host_of(event)) if member else found
        except UndecodableError as error:
            return Examination(dead_letters=(error.dead_letter,))
        except Exception as error:  # noqa: BLE001 — whatever a record provokes must not stop the worker
            return Examination(dead_letters=(_internal_error(error),))

    def judge(
        self,
        rule: Rule,
        term: Term,
        examination: Examination,
        record: TermRecord | None,
        arrival: Arrival,
        raw: bytes,
        made_at: int,
        memory: Memory = FORGETFUL,
    ) -> Judgement | DeadLetter:
        """Second step: judge one term against what is remembered of it.

        Args:
            rule: A rule of `examination.due`.
            term: Its term.
            examination: The first step's result over the same bytes.
            record: What the table holds for this rule and term.
            arrival: Where and when the matches topic took the match.
            raw: The source record's bytes.
            made_at: The present, nanoseconds since 1970; becomes the alert's `@timestamp`.
            memory: What else the tables hold.

        Returns:
            The judgement, whose records are to be written after its alert was confirmed; or a dead letter where
            our own code failed, and then nothing is to be written.
        """
        try:
            if examination.event is None or examination.clock is None:
                return DeadLetter("internal_error", "a match without event or clock was judged", rule.id)
            clock = bound_clock(examination.clock, arrival.taken_at, self.standards.max_future_skew)
            sighting = _sighting(examination.event, clock.time, arrival)
            policy = Policy(rule.history_window, self.standards.retention, self.standards.alert_from)
            assessment = assess(record, sighting, policy)
            seen = None
            if rule.scope == "host":
                place = examination.place_of(rule, term)
                seen = watch(memory.baseline, place, assessment, sighting, self.standards.retention)
            written = None if seen is None else seen.record
            if assessment.verdict is not Verdict.NEW:
                return Judgement(assessment, written)
            lineage = trace(examination.event, clock.time, memory.look_up)
            baseline = None if seen is None else seen.before
            evidence = gather(rule.query, examination.event, sighting, lineage, baseline, examination.grounds)
            digest = hashlib.sha256(raw).hexdigest()
            occurrence = Occurrence(examination.event, digest, clock, arrival.source)
            maker = self.standards.maker
            room = room_for_body(rule, maker)
            body = examination.bodies.get(room)
            if body is None:
                body = examination.bodies[room] = build_body(examination.event, room)
            alert = build_alert(rule, term, body, occurrence, assessment, evidence, made_at, maker)
            return Judgement(assessment, written, alert, evidence.assessment.level, clock.time)
        except (StateFormatError, UnreadableError):
            raise
        except Exception as error:  # noqa: BLE001 — see examine
            return _internal_error(error, rule.id)

    def remember(self, examination: Examination, arrival: Arrival, ring: Ring) -> DeadLetter | None:
        """Second step, of a member of the family: put its process and its parent into its host's ring.

        A leader named exim4 is kept there as well. That is mostly the daemon, whose children are all but queue runs
        forks of it that execute nothing: as nobody's parent it would be forgotten within minutes on a busy host.

        The changes are gathered in the ring, and are to be written.

        Returns:
            A dead letter where our own code failed; then nothing is to be written.
        """
        try:
            if examination.event is None:
                return DeadLetter("internal_error", "a member without event was to be remembered")
            clock = arrival.taken_at if examination.clock is None else examination.clock.time
            clock = min(clock, arrival.taken_at + self.standards.max_future_skew)
            above = {
                entity_id: partial(leader, examination.event, which, clock)
                for entity_id, which in leader_ids(examination.event, ROOT).items()
            }
            ring.remember(executed(examination.event, clock), parent(examination.event, clock), above)
        except (StateFormatError, UnreadableError):
            raise
        except Exception as error:  # noqa: BLE001 — see examine
            return _internal_error(error)
        return None


def route_of(rule: Rule, term: Term) -> Route:
    """Where a term's matches meet: by `host.id` for a rule that has it among its fields, else by the term."""
    if rule.scope == "host":
        return Route("host", host_key(term[rule.fields.index("host.id")]))
    return Route("fleet", hashlib.sha256(encode_term(term)).hexdigest().encode())


def baseline_key(rule: Rule, term: Term) -> bytes | None:
    """The table's key of the baseline that a term belongs to; None for a rule whose terms are the fleet's."""
    if rule.scope != "host":
        return None
    return host_baseline_key(rule.id, rule.fields, term[rule.fields.index("host.id")])


def _find_terms(event: ProcessEvent, clock: Clock | None, matching: list[Rule]) -> Examination:
    matches: list[Match] = []
    dead_letters: list[DeadLetter] = []
    for rule in matching:
        terms = terms_of(event, rule.fields)
        if terms.missing is not None:
            detail = f"the query matched, but {terms.missing} has no value to make a term of"
            dead_letters.append(DeadLetter("missing_term_field", detail, rule.id))
        elif clock is None:
            detail = "no usable event.ingested or @timestamp, and the record carries no time"
            dead_letters.append(DeadLetter("no_clock", detail, rule.id))
        else:
            matches.append(Match(rule, terms.terms))
        if terms.total > MAX_TERMS:
            detail = f"{terms.total} terms in one record; the first {MAX_TERMS} were judged"
            dead_letters.append(DeadLetter("too_many_terms", detail, rule.id))
    return Examination(event, clock, tuple(matches), tuple(dead_letters))


def _sighting(event: ProcessEvent, clock: int, arrival: Arrival) -> Sighting:
    sha256 = event.first("process.hash.sha256") or ""
    return Sighting(
        clock,
        arrival.epoch,
        arrival.offset,
        arrival.taken_at,
        cut_text(event.first("process.executable")),
        bytes.fromhex(sha256) if _SHA256.fullmatch(sha256) else None,
    )


def _internal_error(error: Exception, rule_id: str | None = None) -> DeadLetter:
    return DeadLetter("internal_error", f"{type(error).__name__}: {error}", rule_id)

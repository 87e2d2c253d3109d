"""What is decided about an event, by the functions that the worker calls and over what the worker would know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.core.baseline import BaselineRecord
from app.core.clock import Clock, bound_clock
from app.core.dead_letter import DeadLetter
from app.core.engine import Arrival, Engine, Examination, Judgement, Route, baseline_key
from app.core.event import JsonObject
from app.core.lineage import NOTHING, LookUp
from app.core.new_terms import Term, TermRecord, term_key
from app.core.ring import Ring
from app.core.rule import Rule
from app.tools.history import History


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained.

    Attributes:
        raw: The record's bytes.
        timestamp: Its own time, nanoseconds since 1970; None where it has none.
        source: Where it was read, as in `detector.source`.
        arrival: Where and when the matches topic took it, or would take it, on one of its routes.
    """

    raw: bytes
    timestamp: int | None
    source: JsonObject
    arrival: Callable[[Route], Arrival]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided over one term, and the records that it was decided over."""

    rule: Rule
    term: Term
    record: TermRecord | None
    baseline: BaselineRecord | None
    arrival: Arrival
    look_up: LookUp
    judgement: Judgement


@dataclass(slots=True)
class Decisions:
    """All that was decided over an event, in the order of the worker's two steps."""

    is_candidate: bool
    examination: Examination
    outcomes: list[Outcome] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)


def decide(engine: Engine, history: History, subject: Subject, made_at: int) -> Decisions:
    """Have an event judged over a history, which holds it afterwards; `made_at` in nanoseconds since 1970."""
    examination = engine.examine(subject.raw, subject.timestamp)
    if not engine.needles.is_candidate(subject.raw):
        return Decisions(is_candidate=False, examination=examination)
    decisions = Decisions(is_candidate=True, examination=examination, dead_letters=[*examination.dead_letters])
    for route in examination.routes():
        arrival = subject.arrival(route)
        look_up = remembered(history, examination, arrival) if examination.tells_of(route) else NOTHING
        for judged in history.judge(subject.raw, examination, route, arrival, made_at):
            if isinstance(judged, DeadLetter):
                decisions.dead_letters.append(judged)
                continue
            rule, term, judgement = judged
            # What is to be written is written when the next one is asked for: the history is as it was judged by.
            records = _records(history, rule, term)
            decisions.outcomes.append(Outcome(rule, term, *records, arrival, look_up, judgement))
    return decisions


def remembered(history: History, examination: Examination, arrival: Arrival) -> LookUp:
    """What a history holds of the processes of an event's host."""
    if examination.host is None:
        return NOTHING
    return Ring(history.processes.get, examination.host, history.slots, arrival.taken_at).find


def bounded(examination: Examination, arrival: Arrival, engine: Engine) -> Clock:
    """The clock by which an event with terms is judged."""
    assert examination.clock is not None, "who has a term has a clock"
    return bound_clock(examination.clock, arrival.taken_at, engine.standards.max_future_skew)


def _records(history: History, rule: Rule, term: Term) -> tuple[TermRecord | None, BaselineRecord | None]:
    watched = baseline_key(rule, term)
    record = history.terms.get(term_key(rule.id, rule.fields, term))
    return record, None if watched is None else history.baselines.get(watched)

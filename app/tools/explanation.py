"""Why an event alerts, or does not: all that is decided about it, written down as one JSON document.

Nothing is decided here. What is written down was decided by the functions that the worker calls, over a history in
memory that holds what the worker's tables would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from app.core.alert import alert_id
from app.core.assessment import weigh
from app.core.clock import Clock, format_time
from app.core.dead_letter import DeadLetter
from app.core.duration import format_duration
from app.core.engine import Arrival, Engine, Examination, Route
from app.core.event import JsonObject, ProcessEvent
from app.core.evidence import lineage_fields
from app.core.kql import Query
from app.core.kql.clause import Clause, clauses, judge_tree
from app.core.lineage import NOTHING, LookUp, trace
from app.core.new_terms import TermRecord, Verdict
from app.core.rule import Rule
from app.core.shown import shown
from app.core.source_format import seems_wrapped
from app.tools.decisions import Outcome, Subject, bounded, decide, remembered
from app.tools.history import History

_NAMED = ("@timestamp", "host.id", "host.name", "process.parent.name", "process.name", "process.executable")
_ARGS = 16
_WRAPPED = (
    "the record seems to hold its event as text in its field message, and is not judged as one: if so, set "
    "EXIMWATCH_SOURCE_FORMAT=message, or try --source-format message"
)


class _Baseline(msgspec.Struct):
    rule: JsonObject | None = None


class _Detector(msgspec.Struct):
    baseline: _Baseline


class _Made(msgspec.Struct):
    """What is read of an alert; the rest may hold numbers that no decoder takes."""

    detector: _Detector
    reason: str = msgspec.field(name="kibana.alert.reason")


_MADE = msgspec.json.Decoder(_Made)


def explain(
    engine: Engine, history: History, subject: Subject, made_at: int, compared_with: str, notes: Sequence[str] = ()
) -> JsonObject:
    """Have an event judged, and write it down.

    Args:
        engine: Rules and standards.
        history: What the event is compared with; holds the event afterwards.
        subject: The event.
        made_at: The present, nanoseconds since 1970.
        compared_with: What that history is, for the reader.
        notes: What else the reader must know.
    """
    decisions = decide(engine, history, subject, made_at)
    examination = decisions.examination
    document: JsonObject = {
        "source": subject.source,
        "record_sha256": hashlib.sha256(subject.raw).hexdigest(),
        "compared_with": compared_with,
        "notes": list(notes),
        "candidate": decisions.is_candidate,
        "dead_letters": [_letter_fields(letter) for letter in decisions.dead_letters],
        "family": _family_fields(examination),
    }
    event = examination.event
    if event is None:
        return document
    document["event"] = event_fields(event)
    if engine.source_format == "ecs" and seems_wrapped(event):
        document["notes"].append(_WRAPPED)
    if examination.is_member:
        route = next(filter(examination.tells_of, examination.routes()), None)
        arrival = subject.arrival(route or Route("host", b""))
        look_up = remembered(history, examination, arrival)
        document |= descent_fields(event, _time(examination, arrival, engine), look_up)
    document["rules"] = [
        _rule_fields(rule, event)
        | {"terms": [_term_fields(one, engine, examination, subject) for one in decisions.outcomes if one.rule is rule]}
        for rule in engine.rules
    ]
    return document


def query_fields(query: Query, event: ProcessEvent) -> list[JsonObject]:
    """Every clause of a query, judged down to what it is made of."""
    return [_clause_fields(judge_tree(clause, event)) for clause in clauses(query)]


def descent_fields(event: ProcessEvent, time: int, look_up: LookUp) -> JsonObject:
    """Lineage and assessment of an execution as an alert has them; `time` in nanoseconds since 1970."""
    lineage = trace(event, time, look_up)
    fields, _ = lineage_fields(lineage)
    assessment = weigh(event, lineage.depth, lineage.relation, lineage.links[-1].earlier)
    return {"lineage": fields, "assessment": assessment.document()}


def event_fields(event: ProcessEvent) -> JsonObject:
    """What a reader knows an event by."""
    fields: JsonObject = {name: shown(value) for name in _NAMED if (value := event.first(name)) is not None}
    args = event.values("process.args")
    if args:
        fields["process.args"] = [shown(arg) for arg in args[:_ARGS]]
    if event.flags:
        fields["flags"] = list(event.flags)
    return fields


def state_fields(record: TermRecord | None, clock: int) -> JsonObject | None:
    """What was remembered of a term; `clock` is the event's time, nanoseconds since 1970."""
    if record is None:
        return None
    fields: JsonObject = {
        "first_seen": format_time(record.first_seen),
        "last_seen": format_time(record.last_seen),
        "count": record.count,
    }
    if record.executable is not None:
        fields["executable"] = record.executable
    if record.sha256 is not None:
        fields["sha256"] = record.sha256.hex()
    if clock >= record.last_seen:
        fields["ago"] = format_duration(clock - record.last_seen)
    return fields


def why(verdict: Verdict, before: TermRecord | None, clock: int, window: str) -> str:
    """A verdict in a sentence."""
    if verdict is Verdict.REPLAYED:
        return "it was applied already, by its position in the matches topic, and is not judged again"
    if before is None:
        found = "the term was not known"
    elif clock < before.last_seen:
        found = "a later match of the term is known"
    else:
        within = "within the window" if verdict is Verdict.KNOWN else "longer ago than the window"
        found = f"the term was last seen {format_duration(clock - before.last_seen)} before, {within} of {window}"
    return f"{found}, but its time lies before alert_from" if verdict is Verdict.LEARNING else found


def _rule_fields(rule: Rule, event: ProcessEvent) -> JsonObject:
    return {
        "rule": rule.id,
        "name": rule.spec.name,
        "matches": rule.matches(event),
        "clauses": query_fields(rule.query, event),
    }


def _clause_fields(clause: Clause) -> JsonObject:
    fields: JsonObject = {"clause": clause.text, "result": clause.result}
    if clause.parts:
        return fields | {"needs": clause.needs, "parts": [_clause_fields(part) for part in clause.parts]}
    fields["values"] = {name: list(values) for name, values in clause.values.items()}
    if clause.omitted:
        fields["omitted"] = dict(clause.omitted)
    if clause.objects:
        fields["objects"] = sorted(clause.objects)
    return fields


def _term_fields(outcome: Outcome, engine: Engine, examination: Examination, subject: Subject) -> JsonObject:
    rule, verdict, before = outcome.rule, outcome.judgement.assessment.verdict, outcome.judgement.assessment.before
    clock = bounded(examination, outcome.arrival, engine)
    window = rule.spec.new_terms.history_window
    fields: JsonObject = {
        "term": {name: shown(value) for name, value in zip(rule.fields, outcome.term, strict=True)},
        "clock": _clock_fields(clock),
        "state": state_fields(before, clock.time),
        "verdict": verdict.value,
        "why": why(verdict, before, clock.time, window),
        "alert_id": alert_id(rule.id, outcome.term, hashlib.sha256(subject.raw).hexdigest()),
    }
    if before is None and outcome.record is not None:
        fields["forgotten"] = state_fields(outcome.record, clock.time)
    if outcome.judgement.alert is not None:
        made = _MADE.decode(outcome.judgement.alert.value)
        fields["reason"] = made.reason
        if made.detector.baseline.rule is not None:
            fields["baseline"] = made.detector.baseline.rule
    elif outcome.baseline is not None:
        fields["baseline"] = {
            "terms": outcome.baseline.terms,
            "watched_since": format_time(outcome.baseline.since),
            "watched_for": format_duration(max(0, clock.time - outcome.baseline.since)),
        }
    if outcome.look_up is NOTHING and examination.event is not None:
        # It is judged apart from the host's processes: by what the event itself says.
        fields |= descent_fields(examination.event, clock.time, NOTHING)
    return fields


def _time(examination: Examination, arrival: Arrival, engine: Engine) -> int:
    return arrival.taken_at if examination.clock is None else bounded(examination, arrival, engine).time


def _family_fields(examination: Examination) -> JsonObject:
    fields: JsonObject = {"member": examination.is_member}
    return fields if examination.host is None else fields | {"host": shown(examination.host)}


def _clock_fields(clock: Clock) -> JsonObject:
    fields: JsonObject = {"time": format_time(clock.time), "source": clock.source}
    if clock.passed_over:
        fields["passed_over"] = list(clock.passed_over)
    if clock.bounded_from is not None:
        fields["bounded_from"] = format_time(clock.bounded_from)
    return fields


def _letter_fields(letter: DeadLetter) -> JsonObject:
    fields: JsonObject = {"reason": letter.reason, "detail": shown(letter.detail)}
    return fields if letter.rule_id is None else fields | {"rule": letter.rule_id}

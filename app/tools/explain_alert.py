"""An alert, explained by what it carries: its query, term, id and verdict are derived again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from app.core.alert import alert_id
from app.core.assessment import weigh
from app.core.clock import parse_time
from app.core.document import as_object
from app.core.duration import parse_duration
from app.core.event import JsonObject, ProcessEvent, decode
from app.core.evidence import MAX_CLAUSES_BYTES
from app.core.family import host_of, is_member
from app.core.kql import Query, QueryError, compile_query, parse
from app.core.kql.clause import judge_clauses, listed
from app.core.lineage import Relation
from app.core.new_terms import Policy, Sighting, TermRecord, Verdict, assess, terms_of
from app.core.rule import Rule
from app.core.shown import shown
from app.errors import InputError
from app.tools.explanation import event_fields, query_fields, state_fields, why

_FOR_EVER = 2**63  # the state in an alert is what the term was compared with, whatever its age


class _Clock(Struct):
    time: str
    source: str
    passed_over: list[str] = []
    bounded_from: str | None = None


class _TermState(Struct):
    first_seen: str
    last_seen: str
    count: int


class _Baseline(Struct):
    term: _TermState | None = None
    rule: JsonObject | None = None


class _Detector(Struct):
    term: dict[str, str]
    history_window: str
    clock: _Clock
    record_sha256: str
    rule_sha256: str
    baseline: _Baseline
    lineage: JsonObject
    assessment: JsonObject
    clauses: list[JsonObject]
    source: JsonObject
    truncated: list[str] = []


class _Parameters(Struct):
    query: str
    new_terms_fields: list[str]


class _Alert(Struct):
    detector: _Detector
    uuid: str = msgspec.field(name="kibana.alert.uuid")
    rule_id: str = msgspec.field(name="kibana.alert.rule.rule_id")
    rule_name: str = msgspec.field(name="kibana.alert.rule.name")
    reason: str = msgspec.field(name="kibana.alert.reason")
    new_terms: list[str] = msgspec.field(name="kibana.alert.new_terms")
    parameters: _Parameters = msgspec.field(name="kibana.alert.rule.parameters")


class CarriedAlert:
    """An alert as it was read, with its event as the rule's query saw it."""

    def __init__(self, raw: bytes, name: str) -> None:
        """Read an alert.

        Args:
            raw: Its JSON.
            name: Where it stands, for messages.

        Raises:
            InputError: It is no alert of ours, or of a version that did not carry its evidence.
        """
        try:
            self.said = msgspec.json.decode(raw, type=_Alert)
            self.query: Query = parse(self.said.parameters.query)
            self.window = parse_duration(self.said.detector.history_window)
            said = self.said.detector
            self.clock = _nanoseconds(self.said.detector.clock.time)
            self.before = _record(self.said.detector.baseline.term)
            self.earlier = [str(name) for name in as_object(said.lineage["processes"][-1]).get("earlier", ())]
            self.relation = Relation(self.said.detector.lineage.get("relation", "none"))
        except (msgspec.DecodeError, QueryError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"{name} holds no alert with its evidence: {error}") from None
        self.event = _event(decode(raw).document)

    def explain(self, rules: tuple[Rule, ...]) -> JsonObject:
        """Derive the alert's grounds again; a check that fails says what differs. `rules` are those known here."""
        said = self.said.detector
        verdict = self._verdict()
        window = said.history_window
        term: JsonObject = {
            "term": said.term,
            "clock": {"time": said.clock.time, "source": said.clock.source},
            "state": state_fields(self.before, self.clock),
            "verdict": verdict.value,
            "why": why(verdict, self.before, self.clock, window),
            "alert_id": self.said.uuid,
            "reason": self.said.reason,
        }
        if said.baseline.rule is not None:
            term["baseline"] = said.baseline.rule
        host = host_of(self.event)
        return {
            "source": said.source,
            "record_sha256": said.record_sha256,
            "compared_with": "what the alert carries",
            "notes": list(self._notes(rules)),
            "checks": self.checks(),
            "candidate": True,
            "dead_letters": [],
            "family": {"member": is_member(self.event)} | ({} if host is None else {"host": shown(host)}),
            "event": event_fields(self.event),
            "lineage": said.lineage,
            "assessment": said.assessment,
            "rules": [
                {
                    "rule": self.said.rule_id,
                    "name": self.said.rule_name,
                    "matches": compile_query(self.query)(self.event),
                    "clauses": query_fields(self.query, self.event),
                    "terms": [term],
                }
            ],
        }

    def checks(self) -> list[JsonObject]:
        """Each ground of the alert, derived from the others."""
        said = self.said.detector
        fields = self.said.parameters.new_terms_fields
        term = next(
            (
                term
                for term in terms_of(self.event, fields).terms
                if dict(zip(fields, map(shown, term), strict=True)) == said.term
            ),
            None,
        )
        derived = None if term is None else alert_id(self.said.rule_id, term, said.record_sha256)
        weighed = weigh(self.event, said.lineage.get("depth"), self.relation, self.earlier).document()
        clauses, _ = listed(judge_clauses(self.query, self.event), MAX_CLAUSES_BYTES)
        return [
            _check("query", compile_query(self.query)(self.event), "the alert's query holds for the fields it carries"),
            _check("term", term is not None, "the term is made of the fields it carries"),
            _check("new terms", self.said.new_terms == list(said.term.values()), "the new terms are those of the term"),
            _check(
                "clauses",
                list(map(_ground, clauses)) == list(map(_ground, said.clauses)),
                "the clauses are those of query and fields",
            ),
            _check("alert id", derived == self.said.uuid, "the id is that of rule, term and source record"),
            _check("verdict", self._verdict() is Verdict.NEW, "compared with the state it carries, the term is new"),
            _check("assessment", weighed == said.assessment, "the assessment is that of the fields it carries"),
        ]

    def _verdict(self) -> Verdict:
        sighting = Sighting(self.clock, 1, 0, self.clock)
        return assess(self.before, sighting, Policy(self.window, _FOR_EVER)).verdict

    def _notes(self, rules: tuple[Rule, ...]) -> Iterator[str]:
        known = next((rule for rule in rules if rule.id == self.said.rule_id), None)
        if known is None:
            yield f"no rule {self.said.rule_id} is loaded here: judged by the query that the alert carries"
        elif known.digest != self.said.detector.rule_sha256:
            yield f"the rule file is another one now ({known.file}): judged by the query that the alert carries"
        cut = [path for path in self.said.detector.truncated if not path.startswith(("detector.", "kibana."))]
        if cut:
            yield f"the event was cut in the alert, so that checks may fail which the whole passes: {', '.join(cut)}"


def _ground(clause: JsonObject) -> JsonObject:
    """A clause as far as it is the same for an event and for what an alert makes of it.

    Values that stood in several places of the event stand in another order in the alert; where only some of them were
    kept, which ones depends on that.
    """
    values, omitted = as_object(clause.get("values")), as_object(clause.get("omitted"))
    kept = {
        name: sorted(map(str, found if isinstance(found, list) else [found]))
        for name, found in values.items()
        if name not in omitted
    }
    return {"clause": clause.get("clause"), "result": clause.get("result"), "values": kept, "omitted": omitted}


def _check(name: str, result: bool, detail: str) -> JsonObject:
    return {"check": name, "result": result, "detail": detail}


def _event(document: JsonObject) -> ProcessEvent:
    """The source event that an alert was made from, as far as it is carried."""
    kept: JsonObject = {
        name: value
        for name, value in document.items()
        if name != "detector" and name.split(".")[0] not in ("kibana", "@timestamp")
    }
    own: dict[str, Any] = dict(as_object(kept.get("event")))
    own.pop("kind", None)
    if "kibana.alert.original_event.kind" in document:
        own["kind"] = document["kibana.alert.original_event.kind"]
    kept["event"] = own
    if "kibana.alert.original_time" in document:
        kept["@timestamp"] = document["kibana.alert.original_time"]
    return ProcessEvent(kept)


def _record(state: _TermState | None) -> TermRecord | None:
    if state is None:
        return None
    last_seen = _nanoseconds(state.last_seen)
    return TermRecord(_nanoseconds(state.first_seen), last_seen, state.count, last_seen, 0, 0)


def _nanoseconds(text: str) -> int:
    time = parse_time(text)
    if time is None:
        raise ValueError(f"{text!r} is no time")
    return time

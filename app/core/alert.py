"""The alert: one document that can be indexed beside Elastic's own, and that says why it was raised."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Final

from msgspec import to_builtins

from app.core.clock import Clock, format_time, parse_time
from app.core.document import CUT_TEXT, as_object, dotted, encode_document, fit, nest
from app.core.duration import date_math, format_duration
from app.core.event import JsonObject, ProcessEvent
from app.core.evidence import Evidence, evidence_fields, path_text
from app.core.family import ROOT
from app.core.lineage import Lineage, Relation
from app.core.new_terms import Assessment, Term, encode_term, host_key
from app.core.rule import Rule, Threat
from app.core.shown import is_long
from app.core.shown import shown as shown

FORGED: Final = frozenset({"kibana", "signal", "detector", "@metadata"})
"""Top-level names of a source event that would pass as ours or as a shipper's; they are stripped."""

MIN_ALERT_BYTES: Final = 262_144
"""The smallest limit an alert can be held to: rule text, term and names always fit below it."""

_RESERVE = 147_456  # for all that depends on term, state and source, whose lengths must not decide what is cut
_TEXT_STEP = 16_384
_MAX_LISTED_CUTS = 50
_CUT_LIST_RESERVE = _MAX_LISTED_CUTS * (6 * CUT_TEXT + 3)  # each character may be written as \u001f
_SAID = frozenset({"host.id", "host.name", "process.name", "process.executable", "process.parent.name"})


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One match as it was found, without the rule.

    Attributes:
        event: The decoded event.
        record_sha256: Hex SHA-256 of the source record's bytes.
        clock: Its clock, bounded.
        source: Where it was read (`detector.source`), JSON values.
    """

    event: ProcessEvent
    record_sha256: str
    clock: Clock
    source: JsonObject


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert ready to send: its id, the key to send it by (`host.id`, else the term), and its JSON."""

    id: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Maker:
    """What goes into every alert of a run: the engine's version and the size limit in bytes."""

    version: str
    max_alert_bytes: int


def alert_id(rule_id: str, term: Term, record_sha256: str) -> str:
    """A hash of rule, term and record: the same in every replay, whatever the event calls itself.

    It is not the id Kibana would give.
    """
    identity = encode_term((rule_id, *term, record_sha256))
    return hashlib.sha256(identity).hexdigest()


@dataclass(frozen=True, slots=True)
class Body:
    """What all alerts of an event with the same room for it have in common: its own fields, already cut to size.

    Attributes:
        source: Its fields, normalised to nested keys, without `event.kind`.
        original: The copies of `event.*` and `data_stream.*`, dotted.
        cuts: Paths of the fields that were cut.
    """

    source: JsonObject
    original: JsonObject
    cuts: tuple[str, ...]


@functools.lru_cache(maxsize=1024)
def room_for_body(rule: Rule, maker: Maker) -> int:
    """Bytes of an alert that a rule leaves for what its event brings.

    The rule's own text is counted in steps, so that rules share a body: to cut a hostile event takes long.
    """
    text = -(-len(encode_document(_rule_fields(rule))) // _TEXT_STEP) * _TEXT_STEP
    return maker.max_alert_bytes - text - _RESERVE


def build_body(event: ProcessEvent, room: int) -> Body:
    """Normalise an event's fields, strip what would forge ours, and cut the largest to keep the alert's limit.

    What is cut depends on the event and the room that its rule leaves alone, neither on the term nor on where it
    was read.
    """
    source = {
        key: value
        for key, value in nest(event.document).items()
        if key.split(".")[0] not in FORGED and key != "@timestamp"
    }
    source_event = as_object(source.pop("event", None))
    original = dotted(source_event, "kibana.alert.original_event")
    original |= dotted(as_object(source.get("data_stream")), "kibana.alert.original_data_stream")
    source["event"] = {key: value for key, value in source_event.items() if key != "kind"}
    cuts: list[str] = []
    if len(encode_document(source)) + len(encode_document(original)) > room:
        cuts = _listed_cuts(fit((source, original), room - _CUT_LIST_RESERVE))
    return Body(source, original, tuple(cuts))


def build_alert(
    rule: Rule,
    term: Term,
    body: Body,
    occurrence: Occurrence,
    assessment: Assessment,
    evidence: Evidence,
    made_at: int,
    maker: Maker,
) -> Alert:
    """Build the alert of a new term.

    Args:
        rule: The rule that matched.
        term: The new term.
        body: What the event brings, from `build_body`.
        occurrence: The match.
        assessment: The verdict's grounds; its `before` is the state the term was compared with.
        evidence: Lineage, baseline, clauses and assessment.
        made_at: When the alert is made, nanoseconds since 1970; becomes `@timestamp`.
        maker: Version and size limit.
    """
    uuid = alert_id(rule.id, term, occurrence.record_sha256)
    detector = _detector_fields(rule, term, occurrence, maker)
    fields, cut = evidence_fields(assessment.before, evidence)
    detector |= fields
    truncated = [
        *(["detector.term", "kibana.alert.new_terms"] if any(map(is_long, term)) else []),
        *(f"detector.{name}" for name in cut),
        *body.cuts,
    ]
    if truncated:
        detector["truncated"] = truncated
    detector["source"] = occurrence.source
    document = {
        "@timestamp": format_time(made_at),
        **body.source,
        "event": {**body.source.get("event", {}), "kind": "signal"},
        **body.original,
        "kibana.alert.uuid": uuid,
        **_rule_fields(rule),
        **_kibana_fields(rule, term, occurrence, assessment, evidence),
        "detector": detector,
    }
    return Alert(uuid, _key(rule, term, occurrence.event), encode_document(document))


def _rule_fields(rule: Rule) -> JsonObject:
    """What an alert says of its rule."""
    spec = rule.spec
    described = {
        "rule_id": spec.id,
        "name": spec.name,
        "version": spec.version,
        "category": "New Terms Rule",
        "rule_type_id": "siem.newTermsRule",
        "type": "new_terms",
        "severity": spec.severity,
        "risk_score": spec.risk_score,
        "description": spec.description.strip(),
        "references": list(spec.references),
        "tags": list(spec.tags),
        "threat": [_threat(threat) for threat in spec.threat],
        "false_positives": list(spec.false_positives),
        "note": _note(rule),
        "parameters": {
            "language": "kuery",
            "query": spec.query.strip(),
            "new_terms_fields": list(rule.fields),
            "history_window_start": date_math(spec.new_terms.history_window),
        },
    }
    return {f"kibana.alert.rule.{name}": value for name, value in described.items()}


def _kibana_fields(
    rule: Rule, term: Term, occurrence: Occurrence, assessment: Assessment, evidence: Evidence
) -> JsonObject:
    spec = rule.spec
    event = occurrence.event
    times = [time for time in map(parse_time, event.values("@timestamp")) if time is not None]
    timestamp = times[0] if times else occurrence.clock.time
    streams = [event.first(f"data_stream.{part}") for part in ("type", "dataset", "namespace")]
    return {
        "kibana.alert.severity": spec.severity,
        "kibana.alert.risk_score": spec.risk_score,
        "kibana.alert.reason": reason(rule, term, occurrence, assessment, evidence.lineage),
        "kibana.alert.status": "active",
        "kibana.alert.workflow_status": "open",
        "kibana.alert.depth": 1,
        "kibana.alert.original_time": format_time(timestamp),
        "kibana.alert.new_terms": [shown(value) for value in term],
        "kibana.alert.ancestors": [
            {
                "id": shown(event.first("event.id") or occurrence.record_sha256),
                "type": "event",
                "index": "-".join(shown(part) for part in streams if part),
                "depth": 0,
            }
        ],
    }


def _detector_fields(rule: Rule, term: Term, occurrence: Occurrence, maker: Maker) -> JsonObject:
    clock = occurrence.clock
    seen: JsonObject = {"time": format_time(clock.time), "source": clock.source}
    if clock.passed_over:
        seen["passed_over"] = list(clock.passed_over)
    if clock.bounded_from is not None:
        seen["bounded_from"] = format_time(clock.bounded_from)
    detector: JsonObject = {
        "engine": {"name": "eximwatch", "version": maker.version},
        "rule_sha256": rule.digest,
        "scope": rule.scope,
        "term": {field: shown(value) for field, value in zip(rule.fields, term, strict=True)},
        "history_window": rule.spec.new_terms.history_window,
        "clock": seen,
        "record_sha256": occurrence.record_sha256,
    }
    if occurrence.event.flags:
        detector["flags"] = list(occurrence.event.flags)
    return detector


def reason(rule: Rule, term: Term, occurrence: Occurrence, assessment: Assessment, lineage: Lineage) -> str:
    """One sentence for a person: what ran, under what, as whom, where, and what about it is new."""
    event = occurrence.event
    process = shown(event.first("process.name") or "a process")
    executable = event.first("process.executable")
    program = f"{process} ({shown(executable)})" if executable else process
    parent = shown(event.first("process.parent.name") or "an unknown parent")
    user = event.first("user.name") or event.first("process.user.name") or event.first("user.id")
    host = event.first("host.name") or event.first("host.id")
    where = "on this host" if rule.scope == "host" else "in the fleet"
    before = assessment.before
    if before is None:
        novelty = f"first time {where}"
    else:
        novelty = f"not seen {where} for {format_duration(occurrence.clock.time - before.last_seen)}"
    named = [(field, value) for field, value in zip(rule.fields, term, strict=True) if field not in _SAID]
    what = "".join(f", {field} {shown(value)}" for field, value in named)
    as_user = f" as user {shown(user)}" if user else ""
    on_host = f" on host {shown(host)}" if host else ""
    below = f", below {ROOT} ({path_text(lineage)})" if lineage.relation is Relation.DESCENDANT else ""
    return f"{parent} started {program}{as_user}{on_host}{below}{what}: {novelty}."


def _key(rule: Rule, term: Term, event: ProcessEvent) -> bytes:
    host = term[rule.fields.index("host.id")] if rule.scope == "host" else event.first("host.id")
    return host_key(host) if host else encode_term(term)


def _note(rule: Rule) -> str:
    """Triage and response steps as the Markdown of an investigation guide."""
    sections = (("Triage", rule.spec.triage), ("Response", rule.spec.response))
    return "\n\n".join(
        f"## {title}\n\n" + "\n".join(f"- {step}" for step in steps) for title, steps in sections if steps
    )


def _threat(threat: Threat) -> JsonObject:
    """A threat in the shape of ECS; a technique without sub-techniques has no empty list of them."""
    document: JsonObject = to_builtins(threat)
    for technique in document["technique"]:
        if not technique["subtechnique"]:
            del technique["subtechnique"]
    return document


def _listed_cuts(cuts: list[str]) -> list[str]:
    rest = len(cuts) - _MAX_LISTED_CUTS
    return cuts if rest <= 0 else [*cuts[:_MAX_LISTED_CUTS], f"… and {rest} more"]

"""What an alert says of its own grounds: lineage, baseline, clauses, and the assessment of the execution."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from app.core.assessment import Assessment, weigh
from app.core.baseline import Baseline
from app.core.clock import format_time
from app.core.document import encode_document
from app.core.duration import format_duration
from app.core.event import JsonObject, ProcessEvent
from app.core.family import ROOT
from app.core.kql import Query
from app.core.kql.clause import Clause, judge_clauses, listed
from app.core.lineage import Lineage, Link, Relation
from app.core.new_terms import Sighting, TermRecord
from app.core.process import MAX_TEXT, Image

MAX_LINEAGE_BYTES: Final = 16_384
"""Of a lineage as JSON; a longer one loses first the arguments between its ends, then the ends of its texts."""

MAX_CLAUSES_BYTES: Final = 16_384
"""Of the clauses as JSON; further ones lose their values, then themselves."""

_SHORT: Final = 32
_PID: Final = re.compile(r"\d{1,10}", re.ASCII)
_WHOLE: Final = MAX_TEXT + 1
_CUTS: Final = ((True, _WHOLE), (False, _WHOLE), (False, 64), (False, 16), (False, 4))
"""What is tried in turn: whether arguments between the ends are kept, and the characters of a text.

The last fits whatever the texts hold: a character takes at most six bytes as JSON.
"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The grounds of one alert.

    Attributes:
        sighting: The match as it was assessed.
        lineage: The chain from exim4 to the process.
        baseline: What the rule knew of the host before; None for a rule whose terms are the fleet's.
        clauses: The clauses of the rule's query.
        assessment: How much the execution deserves attention by itself.
    """

    sighting: Sighting
    lineage: Lineage
    baseline: Baseline | None
    clauses: tuple[Clause, ...]
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class Grounds:
    """What alerts of one event have in common, found when the first of them asks for it.

    A hostile event has hundreds of terms and a hundred thousand values: to look at all of these for each takes minutes.
    """

    clauses: dict[Query, tuple[Clause, ...]] = field(default_factory=dict)
    assessments: dict[tuple[int | None, Relation, tuple[str, ...]], Assessment] = field(default_factory=dict)


def gather(
    query: Query,
    event: ProcessEvent,
    sighting: Sighting,
    lineage: Lineage,
    baseline: Baseline | None,
    grounds: Grounds | None = None,
) -> Evidence:
    """Gather the grounds of an alert: what query and lineage say of the event, beside what is given.

    `grounds` are those of the event's other alerts.
    """
    known = Grounds() if grounds is None else grounds
    clauses = known.clauses.get(query)
    if clauses is None:
        clauses = known.clauses[query] = judge_clauses(query, event)
    place = (lineage.depth, lineage.relation, lineage.links[-1].earlier)
    assessment = known.assessments.get(place)
    if assessment is None:
        assessment = known.assessments[place] = weigh(event, *place)
    return Evidence(sighting, lineage, baseline, clauses, assessment)


def evidence_fields(before: TermRecord | None, evidence: Evidence) -> tuple[JsonObject, list[str]]:
    """The evidence as it stands in an alert's `detector`, and which of its fields had to be cut.

    At most some 48 KiB of JSON.

    Args:
        before: The term's record before the event.
        evidence: The evidence.
    """
    lineage, is_cut = lineage_fields(evidence.lineage)
    clauses, is_complete = listed(evidence.clauses, MAX_CLAUSES_BYTES)
    fields: JsonObject = {
        "lineage": lineage,
        "baseline": baseline_fields(before, evidence),
        "clauses": clauses,
        "assessment": evidence.assessment.document(),
    }
    return fields, [*(["lineage"] if is_cut else []), *([] if is_complete else ["clauses"])]


def lineage_fields(lineage: Lineage) -> tuple[JsonObject, bool]:
    """A lineage as JSON, and whether it had to be cut."""
    for with_args, length in _CUTS:
        fields: JsonObject = {"relation": lineage.relation.value}
        if lineage.depth is not None:
            fields["depth"] = lineage.depth
        fields["complete"] = lineage.complete
        last = len(lineage.links) - 1
        fields["processes"] = [
            _link_fields(link, length, with_args=with_args or n >= last - 1) for n, link in enumerate(lineage.links)
        ]
        if len(encode_document(fields)) <= MAX_LINEAGE_BYTES:
            break
    return fields, (with_args, length) != _CUTS[0]


def baseline_fields(before: TermRecord | None, evidence: Evidence) -> JsonObject:
    """What a term was compared with, as JSON: the term before the event, and the rule's baseline on this host."""
    sighting, baseline = evidence.sighting, evidence.baseline
    fields: JsonObject = {}
    if before is not None:
        term: JsonObject = {
            "first_seen": format_time(before.first_seen),
            "last_seen": format_time(before.last_seen),
            "count": before.count,
        }
        if before.executable and sighting.executable and before.executable != sighting.executable:
            term["executable"] = {"before": before.executable, "now": sighting.executable}
        if before.sha256 and sighting.sha256 and before.sha256 != sighting.sha256:
            term["sha256"] = {"before": before.sha256.hex(), "now": sighting.sha256.hex()}
        fields["term"] = term
    if baseline is not None:
        rule: JsonObject = {"terms": baseline.terms}
        if baseline.since is not None:
            rule["watched_since"] = format_time(baseline.since)
            rule["watched_for"] = format_duration(max(0, sighting.clock - baseline.since))
        fields["rule"] = rule
    return fields


def path_text(lineage: Lineage) -> str:
    """A lineage from the nearest exim4 in one line: `exim4 > sh > wget`; what is not known is a question mark."""
    names = [(link.name or "?")[:_SHORT] for link in lineage.links]
    nearest = max((n for n, name in enumerate(names[:-1]) if name == ROOT), default=0)
    return " > ".join(names[nearest:])


def _link_fields(link: Link, length: int, *, with_args: bool) -> JsonObject:
    fields: JsonObject = {"origin": link.origin.value}
    if link.entity_id is not None:
        fields["entity_id"] = link.entity_id[:length]
    if link.process is None:
        return fields
    image = link.process.image
    texts = {
        "name": image.name,
        "executable": image.executable,
        "start": link.process.start,
        "sha256": image.sha256,
    }
    fields |= {name: text[:length] for name, text in texts.items() if text is not None}
    pid = link.process.pid
    if pid is not None and _PID.fullmatch(pid):
        fields["pid"] = int(pid)
    if with_args and image.args:
        fields["args"] = [arg[: 2 * length] for arg in image.args]
    user = _user(image, length)
    if user:
        fields["user"] = user
    if link.earlier:
        fields["earlier"] = [name[:length] for name in link.earlier]
    return fields


def _user(image: Image, length: int) -> JsonObject:
    user = {"id": image.user_id, "name": image.user_name}
    return {name: text[:length] for name, text in user.items() if text is not None}

"""What becomes of a dead letter that is tried again: the plan, without any effect.

A plan is made as the first step of the worker decides, by the same functions, with the rules that are there now.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from app.core.engine import Engine, Route, route_of
from app.runtime.records import DeadLetterHeaders, match_headers

_OVERHEAD: Final = 512
"""Bytes that a record's lengths and its batch's header take at most, beside key, value and headers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about a letter.

    Attributes:
        routes: Where matches of it are to be sent.
        left: What still can't be judged, and why; nothing where all can.
    """

    routes: tuple[Route, ...] = ()
    left: tuple[str, ...] = ()


def is_cut_from(raw: bytes, said: DeadLetterHeaders) -> bool:
    """Whether these are the bytes of which a letter kept the beginning."""
    return said.cut_from == (len(raw), hashlib.sha256(raw).hexdigest())


def plan(said: DeadLetterHeaders, raw: bytes, engine: Engine, max_bytes: int) -> Plan:
    """Judge a letter's source record again.

    A letter about one rule concerns that rule alone: what other rules had found in the record was sent when it was
    read. A letter about the whole record concerns all rules.

    Args:
        said: The letter's headers.
        raw: The whole source record.
        engine: The present rules.
        max_bytes: What the matches topic takes.
    """
    rule_id = said.rule_id
    if rule_id is not None and rule_id not in {rule.id for rule in engine.rules}:
        return Plan(left=(f"the rule {rule_id} is not loaded; name its file with --rules",))
    if said.reason == "too_large" and rule_id is not None:
        # Its alert could not be sent, and its term counts as seen since: the worker would find it known.
        advice = "`eximwatch dead-letters show --raw POSITION | eximwatch replay -` makes its alert"
        return Plan(left=(f"the term of this alert is known by now, so it would not alert; {advice}",))
    if not engine.needles.is_candidate(raw):
        return Plan()
    examination = engine.examine(raw, said.source.nanoseconds)
    left = [
        f"{letter.reason}: {letter.detail}"
        for letter in examination.dead_letters
        if rule_id is None or letter.rule_id in (None, rule_id)
    ]
    concerned = (match for match in examination.matches if rule_id in (None, match.rule.id))
    routes = list(dict.fromkeys(route_of(match.rule, term) for match in concerned for term in match.terms))
    size = max((_size(route, said, raw, engine) for route in routes), default=0)
    if size > max_bytes:
        advice = "raise EXIMWATCH_SOURCE_MAX_BYTES, here and for the workers, and see `eximwatch topics check`"
        return Plan(left=(*left, f"too_large: a match of {size} bytes, the matches topic takes {max_bytes}; {advice}"))
    return Plan(tuple(routes), tuple(left))


def _size(route: Route, said: DeadLetterHeaders, raw: bytes, engine: Engine) -> int:
    headers = match_headers(route, said.source, engine.source_format)
    return len(raw) + len(route.key) + sum(len(name) + len(value) for name, value in headers) + _OVERHEAD

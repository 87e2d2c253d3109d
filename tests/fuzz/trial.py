"""One record through decoder, evaluator, verdict, alert and dead-letter headers, and what must hold of it."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from random import Random
from types import FrameType
from typing import Final

from app.core.alert import MIN_ALERT_BYTES, alert_id
from app.core.dead_letter import DeadLetter
from app.core.engine import Arrival, Engine, Examination, Judgement
from app.core.new_terms import Verdict, decode_record, encode_record, term_key
from app.runtime.records import (
    CUT_RECORD,
    MatchHeaders,
    SourcePosition,
    cut_headers,
    dead_letter_headers,
    match_headers,
    read_dead_letter_headers,
    read_match_headers,
)
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import PACKAGED_RULES
from app.tools.dead_letters_plan import plan
from tests.core.rules import rule
from tests.fuzz.corpus import corpus
from tests.fuzz.mutate import mutated
from tests.schemas import validate_alert, validate_dead_letter, validate_match_headers

MAX_CPU_S: Final = 2.0
"""CPU that one record may take."""

_HUNG_S: Final = 20.0
_SAMPLE: Final = 257  # one in so many is held to the schemas too, which takes longer than all else
_REPEATED: Final = 4  # one in so many is judged again, as known, as replayed, and a second time as new
_FEW: Final = 2  # and only the first terms of a record
_WRAPPED: Final = 5  # one in so many stands as text in the field `message` of a record
_LIMITS: Final = (1_000_000, 1_000_000, 1_000_000, MIN_ALERT_BYTES)
_LONG_NUMBER: Final = re.compile(rb"\d{4301}")
_NOW: Final = 1_767_700_000 * 10**9
_TIMES: Final = (1_767_600_000_123, 0, None, 2**63 // 10**6, 253_402_300_800_000)


class FindingError(AssertionError):
    """Something does not hold of a record."""


@dataclass
class Tally:
    """What became of records."""

    records: int = 0
    bytes: int = 0
    candidates: int = 0
    unmatched: int = 0
    matched: int = 0
    matches: int = 0
    alerts: int = 0
    sampled: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_number: int = 0

    def add(self, other: Tally) -> None:
        """Count what another one counted."""
        for name in ("records", "bytes", "candidates", "unmatched", "matched", "matches", "alerts", "sampled"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.dead_letters += other.dead_letters
        if other.slowest > self.slowest:
            self.slowest, self.slowest_number = other.slowest, other.slowest_number


def record_of(seed: int, number: int) -> bytes:
    """The record of a number: the same for the same seed, whatever came before it."""
    return mutated(corpus(), Random(f"{seed}:{number}"))


@cache
def engines() -> tuple[Engine, ...]:
    """Engines with the shipped rules and some of other scopes and fields, one for each limit of alerts."""
    rules = [
        *load_rules([PACKAGED_RULES]),
        rule("fleet", fields=("process.executable",), query="process.parent.name:exim4 and process.executable:/*"),
        rule(
            "three",
            fields=("host.id", "user.id", "process.executable"),
            query="process.parent.executable:*/exim4 or process.group_leader.name:exim4",
        ),
    ]
    return tuple(
        build_engine(rules, max_alert_bytes=limit, max_future_skew="5m", alert_from=None, learn_until=None)
        for limit in _LIMITS
    )


@cache
def _wrapping(engine: Engine) -> Engine:
    """The same engine for records that hold their events as text."""
    return engine.reading("message")


def _wrapped(raw: bytes) -> bytes:
    """A record that holds these bytes as text; what is no UTF-8 stays as it is."""
    text = json.dumps(raw.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    return b'{"@version":"1","message":' + text.encode("utf-8", "surrogateescape") + b"}"


@contextmanager
def against_hanging() -> Iterator[None]:
    """An exception in what takes far too much CPU, so that the record can be told."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise FindingError(f"takes over {_HUNG_S:g} s of CPU")

    before = signal.signal(signal.SIGVTALRM, end)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def try_record(raw: bytes, number: int, tally: Tally) -> None:
    """Take one record through everything; call within `against_hanging`.

    Raises:
        FindingError: Something does not hold; whatever else is raised is a finding too.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, _HUNG_S)
    engine = engines()[number // _REPEATED % len(_LIMITS)]
    if number % _WRAPPED == 1:
        raw, engine = _wrapped(raw), _wrapping(engine)
    source = SourcePosition("events", number % 7, number, _TIMES[number % len(_TIMES)])
    begun = time.process_time()
    candidate = engine.needles.is_candidate(raw)
    examination = engine.examine(raw, source.nanoseconds)
    judged = list(_judge(engine, examination, raw, source, number)) if candidate else []
    spent = time.process_time() - begun
    tally.records += 1
    tally.bytes += len(raw)
    if spent > tally.slowest:
        tally.slowest, tally.slowest_number = spent, number
    _hold(spent <= MAX_CPU_S, f"takes {spent:.2f} s of CPU")
    _hold(not any(letter.reason == "internal_error" for letter in examination.dead_letters), _said(examination))
    if not candidate:
        _hold(not examination.matches, "a rule matches what the needles drop")
        return
    tally.candidates += 1
    _check_fate(engine, examination, tally)
    sample = number % _SAMPLE == 0
    tally.sampled += sample
    for letter in examination.dead_letters:
        tally.dead_letters[letter.reason] += 1
        _check_dead_letter(engine, letter, source, raw, sample=sample)
    for uuid, value in judged:
        tally.alerts += 1
        _check_alert(uuid, value, engine.standards.maker.max_alert_bytes, sample=sample)
    _check_repeated(engine, examination, judged, raw, source, number)


def _judge(
    engine: Engine, examination: Examination, raw: bytes, source: SourcePosition, number: int
) -> Iterator[tuple[str, bytes]]:
    """The second step over all routes: id and bytes of each alert."""
    judged = 0
    for route in examination.routes():
        headers = match_headers(route, source, engine.source_format)
        said = MatchHeaders(route, source, engine.source_format)
        _hold(read_match_headers(route.key, headers) == said, "match headers are not read back")
        if number % _SAMPLE == 0:
            validate_match_headers(headers)
        for due, term in examination.due(route):
            judged += 1
            term_key(due.id, due.fields, term)
            arrival = Arrival(1, number, _NOW, source.shown())
            found = engine.judge(due, term, examination, None, arrival, raw, _NOW)
            if isinstance(found, DeadLetter):
                raise FindingError(f"{found.reason}: {found.detail}")
            _hold(found.assessment.verdict is Verdict.NEW and found.alert is not None, "an unknown term is not new")
            if found.alert is not None:
                yield found.alert.id, found.alert.value
            kept = decode_record(encode_record(found.assessment.record))
            _hold(kept == found.assessment.record, "a record of the table is not read back")
            again_at = (
                ((number, Verdict.REPLAYED), (number + 1, Verdict.KNOWN))
                if number % _REPEATED == 0 and judged <= _FEW
                else ()
            )
            for offset, verdict in again_at:
                later = Arrival(1, offset, _NOW, source.shown())
                again = engine.judge(due, term, examination, kept, later, raw, _NOW)
                _hold(isinstance(again, Judgement) and again.assessment.verdict is verdict, f"not {verdict.value}")
    terms = sum(len(match.terms) for match in examination.matches)
    _hold(terms == judged, f"{terms} terms, of which {judged} are due on a route")


def _check_fate(engine: Engine, examination: Examination, tally: Tally) -> None:
    """A candidate is not matched, matched, or a dead letter, each rule for itself."""
    if examination.event is None:
        _hold(bool(examination.dead_letters), "neither read nor a dead letter")
        return
    event = examination.event
    wanted = {rule.id for rule in engine.rules if rule.matches(event)}
    matched = {match.rule.id for match in examination.matches}
    said = {letter.rule_id for letter in examination.dead_letters}
    _hold(wanted == matched | said, f"{sorted(wanted)} match, and of these {sorted(matched)} are judged")
    _hold(all(match.terms for match in examination.matches), "a match without a term")
    tally.matched += bool(wanted)
    tally.unmatched += not wanted
    tally.matches += len(matched)


def _check_dead_letter(engine: Engine, letter: DeadLetter, source: SourcePosition, raw: bytes, *, sample: bool) -> None:
    headers = dead_letter_headers(letter, source)
    if len(raw) > CUT_RECORD:
        headers += cut_headers(len(raw), hashlib.sha256(raw).hexdigest())
    said = read_dead_letter_headers(headers)
    _hold((letter.reason, letter.rule_id, source) == (said.reason, said.rule_id, said.source), "headers differ")
    _hold(letter.detail.startswith(said.detail), "the detail differs")
    if not sample:
        return
    validate_dead_letter(headers)
    left = plan(said, raw, engine, 10**9).left
    _hold(any(reason.startswith(letter.reason) for reason in left), f"a retry forgets {letter.reason}")


def _check_alert(uuid: str, value: bytes, limit: int, *, sample: bool) -> None:
    _hold(len(value) <= limit, f"an alert of {len(value)} bytes, over {limit}")
    # Python's own integers end at so many digits, which JSON's don't.
    document = validate_alert(value) if sample and not _LONG_NUMBER.search(value) else json.loads(value, parse_int=str)
    _hold(document["kibana.alert.uuid"] == uuid, "the alert does not hold its id")
    _hold(document["event"]["kind"] == "signal" and document["kibana.alert.status"] == "active", "an alert is forged")


def _check_repeated(
    engine: Engine,
    examination: Examination,
    judged: list[tuple[str, bytes]],
    raw: bytes,
    source: SourcePosition,
    number: int,
) -> None:
    """The same bytes give the same dead letters, terms and alerts."""
    again = engine.examine(bytes(bytearray(raw)), source.nanoseconds)
    _hold(again.dead_letters == examination.dead_letters, "other dead letters the second time")
    _hold(again.matches == examination.matches, "other terms the second time")
    if number % _REPEATED == 0 and len(judged) <= _FEW:
        _hold(judged == list(_judge(engine, again, raw, source, number)), "other alerts the second time")
    digest = hashlib.sha256(raw).hexdigest()
    ids = [alert_id(match.rule.id, term, digest) for match in again.matches for term in match.terms]
    _hold(sorted(ids) == sorted(uuid for uuid, _ in judged), "ids do not follow from rule, term and record")


def _said(examination: Examination) -> str:
    return "; ".join(f"{letter.reason}: {letter.detail}" for letter in examination.dead_letters)


def _hold(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FindingError(otherwise)

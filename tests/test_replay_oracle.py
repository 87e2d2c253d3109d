"""`replay` agrees with the oracle on random histories, and wrong oracles are found out."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings

import app.rules
from app.core.engine import Arrival, Engine, Judgement
from app.core.new_terms import TermRecord, term_key
from app.runtime.rules import build_engine, load_rules
from app.tools.replay import replay_files
from tests.event_strategies import NOW, alert_froms, histories, logs, time_text
from tests.oracle import Fields, Members, Number, Oracle, Outcome, Record, Term, Unreadable, judge, nanoseconds

RULES = load_rules([Path(app.rules.__path__[0]) / "exim4_child.toml"])
EXAMPLES = 300


@dataclass
class Verdicts:
    """What a history comes to: lines, terms and clocks of alerts, lines and reasons of dead letters, and counts."""

    alerts: list[tuple[int, Term, int | None]]
    known: int
    learning: int
    dead_letters: list[tuple[int, str]]
    scanned: int


def shown(value: str) -> str:
    """A term's value as an alert may show it: one over 1 KiB by its SHA-256."""
    raw = value.encode()
    return value if len(raw) <= 1024 else f"sha256:{hashlib.sha256(raw).hexdigest()}"


def expected(oracle: Oracle, history: Sequence[bytes]) -> Verdicts:
    """Let an oracle judge a history."""
    outcomes = list(enumerate(oracle.judge(Record(raw, NOW) for raw in history), 1))
    return Verdicts(
        alerts=[
            (line, term, outcome.clock)
            for line, outcome in outcomes
            for term in sorted((shown(host), shown(name)) for host, name in outcome.new)
        ],
        known=sum(len(outcome.known) for _, outcome in outcomes),
        learning=sum(len(outcome.learning) for _, outcome in outcomes),
        dead_letters=[(line, reason) for line, outcome in outcomes for reason in sorted(outcome.dead_letters)],
        scanned=sum(outcome.scanned for _, outcome in outcomes),
    )


def engine(alert_from: int | None) -> Engine:
    """The engine with the child rule."""
    return build_engine(
        RULES,
        max_alert_bytes=1 << 20,
        max_future_skew="5m",
        alert_from=None if alert_from is None else time_text(alert_from),
        learn_until=NOW,
    )


def replayed(history: Sequence[bytes], alert_from: int | None) -> Verdicts:
    """Let `replay` judge a history."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "history.ndjson"
        file.write_bytes(b"".join(raw + b"\n" for raw in history))
        alerts, letters, summary = replay_files(engine(alert_from), [str(file)], NOW)
    assert summary.verdicts["new"] == len(alerts)
    assert set(summary.verdicts) <= {"new", "known", "learning"}
    found = [_alert(json.loads(alert)) for alert in alerts]
    lines = [line for line, _, _ in found]
    assert lines == sorted(lines)
    return Verdicts(
        alerts=sorted(found, key=lambda alert: alert[:2]),
        known=summary.verdicts["known"],
        learning=summary.verdicts["learning"],
        dead_letters=sorted((letter["source"]["line"], letter["reason"]) for letter in map(json.loads, letters)),
        scanned=summary.scanned,
    )


def _alert(alert: dict[str, Any]) -> tuple[int, Term, int | None]:
    detector = alert["detector"]
    host, name = (
        re.sub(r".*… \((sha256:[0-9a-f]{64})\)", r"\1", detector["term"][key]) for key in ("host.id", "process.name")
    )
    return detector["source"]["line"], (host, name), nanoseconds(detector["clock"]["time"])


def on_a_log(entries: Sequence[Record], alert_from: int | None) -> list[Outcome]:
    """Let the engine judge a partition of the matches topic, each record with its own append time."""
    judging = engine(alert_from)
    table: dict[bytes, TermRecord] = {}
    outcomes: list[Outcome] = []
    for offset, entry in enumerate(entries):
        if not judging.needles.is_candidate(entry.raw):
            outcomes.append(Outcome(scanned=True))
            continue
        examination = judging.examine(entry.raw, entry.written_at)
        outcome = Outcome(dead_letters=[letter.reason for letter in examination.dead_letters])
        arrival = Arrival(0, offset, entry.taken_at, {})
        for rule, term in (due for route in examination.routes() for due in examination.due(route)):
            if entry.host in (None, term[0]):
                key = term_key(rule.id, rule.fields, term)
                judgement = judging.judge(rule, term, examination, table.get(key), arrival, entry.raw, NOW)
                assert isinstance(judgement, Judgement)
                table[key] = judgement.assessment.record
                verdict: list[Term] = getattr(outcome, judgement.assessment.verdict.value)
                verdict.append((term[0], term[1]))
        outcomes.append(outcome)
    return outcomes


def unordered(outcome: Outcome) -> Outcome:
    """An outcome without the order of what one record holds."""
    return Outcome(
        outcome.scanned,
        sorted(outcome.new),
        sorted(outcome.known),
        sorted(outcome.learning),
        sorted(outcome.dead_letters),
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(history=histories(), alert_from=alert_froms())
def test_replay_agrees_with_the_oracle(history: list[bytes], alert_from: int | None) -> None:
    """The same alerts in the same order, the same dead letters, the same counts."""
    assert expected(Oracle(alert_from), history) == replayed(history, alert_from)


@pytest.mark.slow
@settings(max_examples=20 * EXAMPLES, deadline=None)
@given(history=histories(), alert_from=alert_froms())
def test_replay_agrees_with_the_oracle_at_length(history: list[bytes], alert_from: int | None) -> None:
    """The same over many more histories."""
    assert expected(Oracle(alert_from), history) == replayed(history, alert_from)


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(log=logs(), alert_from=alert_froms())
def test_a_matches_log_agrees_with_the_oracle(log: list[Record], alert_from: int | None) -> None:
    """The same where each record was appended at its own time, may carry one, and was routed to one host."""
    assert list(map(unordered, judge(log, alert_from))) == list(map(unordered, on_a_log(log, alert_from)))


class Mutant(Oracle):
    """An oracle that is wrong in one way."""


class WindowIsNotStrict(Mutant):
    """Takes a term as new that was seen exactly a window ago."""

    window = Oracle.window - 1


class WindowIsLonger(Mutant):
    """Knows a term a nanosecond too long."""

    window = Oracle.window + 1


class FutureIsBelieved(Mutant):
    """Doesn't bound clocks."""

    skew = 10**30


class SkewIsForgotten(Mutant):
    """Bounds clocks by the present alone."""

    skew = 0


class DepthIsLess(Mutant):
    """Refuses the deepest nesting that is allowed."""

    deepest = Oracle.deepest - 1


class DepthIsMore(Mutant):
    """Takes nesting that is a level too deep."""

    deepest = Oracle.deepest + 1


class TermsAreFewer(Mutant):
    """Judges one term of many too few."""

    most_terms = Oracle.most_terms - 1


class TermsAreMore(Mutant):
    """Judges one term of many too many."""

    most_terms = Oracle.most_terms + 1


class TimestampIsPreferred(Mutant):
    """Looks at @timestamp first."""

    clock_fields = ("@timestamp", "event.ingested")


class IngestedIsIgnored(Mutant):
    """Looks at @timestamp only."""

    clock_fields = ("@timestamp",)


class NothingIsPassedOver(Mutant):
    """Gives up where the preferred time can't be read."""

    def clock(self, fields: Fields, record: Record) -> int | None:
        """Stop at the first text."""
        ingested = self.values(fields, "event.ingested")
        return None if ingested and self.time(ingested[0]) is None else super().clock(fields, record)


class MicrosecondsAreEnough(Mutant):
    """Drops nanoseconds."""

    def time(self, text: str) -> int | None:
        """Cut."""
        time = super().time(text)
        return None if time is None else time // 1000 * 1000


class OffsetsAreIgnored(Mutant):
    """Takes all times as UTC."""

    def time(self, text: str) -> int | None:
        """Put a Z where the offset stood."""
        return super().time(text if isinstance(text, Number) else re.sub(r"[+-]\d\d:\d\d\Z", "Z", text))


class LastArrivalCounts(Mutant):
    """Lets a late event move last_seen back."""

    def is_new(self, seen: list[int], clock: int) -> bool:
        """Compare with the last that came."""
        return super().is_new(seen[-1:], clock)


class FirstSeenCounts(Mutant):
    """Doesn't refresh a term."""

    def is_new(self, seen: list[int], clock: int) -> bool:
        """Compare with the earliest."""
        return super().is_new(seen and [min(seen)], clock)


class FirstArrivalCounts(Mutant):
    """Remembers alerts only."""

    def is_new(self, seen: list[int], clock: int) -> bool:
        """Compare with the first that came."""
        return super().is_new(seen[:1], clock)


class DistanceCounts(Mutant):
    """Takes a late event as new when it is older by a window."""

    def is_new(self, seen: list[int], clock: int) -> bool:
        """Compare in both directions."""
        return not seen or abs(clock - max(seen)) > self.window


class AlertFromIsIncluded(Mutant):
    """Learns from a match at the very time."""

    def is_early(self, clock: int) -> bool:
        """Compare by <=."""
        return self.alert_from is not None and clock <= self.alert_from


class AlertFromIsIgnored(Mutant):
    """Never only learns."""

    def is_early(self, clock: int) -> bool:  # noqa: ARG002 — that is the mistake
        """Never."""
        return False


class NothingIsLearnt(Mutant):
    """Forgets matches before the time at which alerts begin."""

    def remember(self, term: Term, clock: int) -> None:
        """Leave some out."""
        if not self.is_early(clock):
            super().remember(term, clock)


class HostsAreOne(Mutant):
    """Keeps one baseline for all hosts."""

    def verdict(self, outcome: Outcome, term: Term, clock: int) -> list[Term]:
        """Look at the name alone."""
        seen = [at for (_, name), at in self.history if name == term[1]]
        known = outcome.known
        return known if not self.is_new(seen, clock) else super().verdict(outcome, term, clock)


class FirstValueCounts(Mutant):
    """Reads the first value of each field only."""

    def values(self, fields: Fields, name: str) -> list[str]:
        """Cut."""
        return super().values(fields, name)[:1]


class CaseIsIgnored(Mutant):
    """Compares without regard to case."""

    def values(self, fields: Fields, name: str) -> list[str]:
        """Fold."""
        return [value if name in self.clock_fields else value.casefold() for value in super().values(fields, name)]


class NumbersAreRounded(Mutant):
    """Compares numbers by what they are worth."""

    def values(self, fields: Fields, name: str) -> list[str]:
        """Write a number anew."""
        return [
            Number(float(value)) if isinstance(value, Number) and value[-1].isdigit() else value
            for value in super().values(fields, name)
        ]


class AllNamesMustBeExcluded(Mutant):
    """Takes an event as excluded only where each of its names is."""

    def is_excluded(self, names: list[str]) -> bool:
        """Ask for all."""
        return bool(names) and all(super(AllNamesMustBeExcluded, self).is_excluded([name]) for name in names)


class NotNeedsAValue(Mutant):
    """Takes `not` as false where the field is missing."""

    def is_excluded(self, names: list[str]) -> bool:
        """Exclude it."""
        return not names or super().is_excluded(names)


class EmptyHostCounts(Mutant):
    """Makes a term of an empty host.id."""

    def terms(self, fields: Fields) -> list[Term]:
        """Rename it."""
        return super().terms([(key, value or "none" if key == "host.id" else value) for key, value in fields])


class EmptyNameIsMissing(Mutant):
    """Makes no term of an empty name."""

    def terms(self, fields: Fields) -> list[Term]:
        """Drop it."""
        return [term for term in super().terms(fields) if term[1]]


class EscapesHide(Mutant):
    """Finds the needle in plain letters only."""

    def is_candidate(self, raw: bytes) -> bool:
        """Search."""
        return b"exim4" in raw


class AnyEscapeIsACandidate(Mutant):
    """Takes each record with an escape as a candidate."""

    def is_candidate(self, raw: bytes) -> bool:
        """Search."""
        return b"\\u00" in raw or super().is_candidate(raw)


class EncodingIsStrict(Mutant):
    """Refuses what is no UTF-8."""

    def text(self, raw: bytes) -> str:
        """Decode, or raise a ValueError."""
        return raw.decode("utf-8")


class LastKeyWins(Mutant):
    """Forgets all but the last of repeated keys."""

    def fields(self, record: Members) -> Fields:
        """Go through a dict."""
        return super().fields(_last_keys(record))


def _last_keys(record: Members) -> Members:
    return Members(
        (key, _last_keys(value) if isinstance(value, Members) else value) for key, value in dict(record).items()
    )


class DotsAreNoPath(Mutant):
    """Reads nested keys only."""

    def fields(self, record: Members) -> Fields:
        """Drop dotted keys at the top."""
        return super().fields(Members(member for member in record if "." not in member[0]))


class DottedKeysWin(Mutant):
    """Reads dotted keys at the top, and nested ones only where there are none."""

    def fields(self, record: Members) -> Fields:
        """Drop what both places hold."""
        dotted = [member for member in record if "." in member[0]]
        names = [key for key, _ in dotted]
        nested = super().fields(Members(member for member in record if "." not in member[0]))
        return super().fields(Members(dotted)) + [found for found in nested if found[0] not in names]


class ObjectsInArraysAreHidden(Mutant):
    """Doesn't look into arrays of objects."""

    def fields(self, record: Members) -> Fields:
        """Drop arrays that hold an object."""
        return super().fields(
            Members(
                (key, value)
                for key, value in record
                if not (isinstance(value, list) and any(isinstance(element, Members) for element in value))
            )
        )


class ArraysAreNoJson(Mutant):
    """Doesn't tell what is no object from what is no JSON."""

    def read(self, raw: bytes) -> Members:
        """Give the other reason."""
        try:
            return super().read(raw)
        except Unreadable as error:
            raise Unreadable(str(error).replace("not_an_object", "not_json")) from None


class MissingTermsAreSilent(Mutant):
    """Ignores a match without a term, as upstream does."""

    def outcome(self, record: Record) -> Outcome:
        """Drop the dead letter."""
        outcome = super().outcome(record)
        outcome.dead_letters = [reason for reason in outcome.dead_letters if reason != "missing_term_field"]
        return outcome


@dataclass(frozen=True)
class Case:
    """A history that `replay` has judged."""

    history: list[bytes]
    alert_from: int | None
    verdicts: Verdicts


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Many histories, the same each time, with what `replay` says of them."""
    found: list[Case] = []

    def collect(history: list[bytes], alert_from: int | None) -> None:
        found.append(Case(history, alert_from, replayed(history, alert_from)))

    # Histories of one run resemble each other, so there are several.
    for number in range(8):
        few = settings(max_examples=50, deadline=None, database=None, phases=[Phase.generate])
        seed(number)(few(given(history=histories(), alert_from=alert_froms())(collect)))()
    return found


@pytest.mark.parametrize("mutant", Mutant.__subclasses__(), ids=lambda mutant: mutant.__name__)
def test_a_wrong_oracle_is_caught(mutant: Callable[[int | None], Oracle], cases: list[Case]) -> None:
    """Some history tells `replay` from an oracle that is wrong in one way."""
    assert any(expected(mutant(case.alert_from), case.history) != case.verdicts for case in cases)

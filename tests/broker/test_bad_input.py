"""Nothing that stands in a topic stops the worker, and of all that is hostile nothing goes by in silence."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from app.runtime.settings import PACKAGED_RULES
from tests.broker.hostile import LARGEST_VALUE, Case, cases
from tests.broker.installation import Installation
from tests.broker.records import Outgoing
from tests.broker.seen import SeenAlert, SeenDeadLetter
from tests.events import event, raw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = pytest.mark.broker

_DEADLINE_S = 90
_MAX_ALERT_BYTES = 1_000_000
_MATCH = raw(event(host="garbage"))
_HEADERS = {
    "eximwatch.format": b"1",
    "eximwatch.scope": b"host",
    "eximwatch.source.topic": b"somewhere",
    "eximwatch.source.partition": b"3",
    "eximwatch.source.offset": b"7",
    "eximwatch.source.timestamp": b"1767600000000",
}

Position = tuple[str, int, int]


def _garbage(value: bytes | None = _MATCH, key: bytes | None = b"garbage", **changed: bytes | None) -> Outgoing:
    """A match made by hand, of which headers are changed; `absent` leaves one out."""
    headers = {**_HEADERS, **{f"eximwatch.{name.replace('__', '.')}": value for name, value in changed.items()}}
    kept = tuple((name, value) for name, value in headers.items() if value != b"absent")
    return Outgoing(key, value, kept, 0)


GARBAGE = {
    "no headers": Outgoing(b"garbage", _MATCH, (), 0),
    "unknown format": _garbage(format=b"99"),
    "format that is no number": _garbage(format=b"one"),
    "format of null": _garbage(format=None),
    "unknown scope": _garbage(scope=b"galaxy"),
    "scope of null": _garbage(scope=None),
    "scope that is no text": _garbage(scope=b"\xff\x00"),
    "no key": _garbage(key=None),
    "no source": _garbage(source__topic=b"absent"),
    "source of null": _garbage(source__topic=None),
    "partition that is no number": _garbage(source__partition=b"\xf0\x9f\x92\xa9" * 500),
    "offset of null": _garbage(source__offset=None),
    "offset of 5,000 digits": _garbage(source__offset=b"9" * 5000),
    "timestamp that is no number": _garbage(source__timestamp=b"today"),
    "as large as the topic takes": Outgoing(b"garbage", b"x" * (LARGEST_VALUE + 65_536), (), 0),
}


@dataclass(frozen=True)
class Run:
    """What became of a stream."""

    sent: list[tuple[Case, Position]]
    garbage: dict[str, Position]
    alerts: list[SeenAlert]
    dead_letters: list[SeenDeadLetter]
    counts: dict[str, int]
    exit_code: int
    log: str


@pytest.fixture(scope="module")
def run(kafka: Kafka | GivenKafka) -> Iterator[Run]:
    """One worker over everything hostile at once, in the source topic and in the matches topic."""
    hostile = cases()
    prefix = f"bad-input-{uuid.uuid4().hex[:8]}"
    # The cases say what one rule makes of them.
    rules = {"RULES": str(PACKAGED_RULES / "exim4_child.toml")}
    with Installation(kafka.brokers, prefix, settings=rules).create() as installation:
        positions = installation.play(Outgoing(None, case.value, (), number % 4) for number, case in enumerate(hostile))
        garbage = installation.send("matches", [*GARBAGE.values(), _garbage(None), _garbage(b"exim4")])
        worker = installation.worker()
        installation.wait_caught_up(worker, deadline=_DEADLINE_S)
        exit_code = worker.stop(15)
        yield Run(
            list(zip(hostile, positions, strict=True)),
            dict(zip(GARBAGE, garbage, strict=False)),
            installation.alerts(),
            installation.dead_letters(),
            _last_counts(worker.output()),
            exit_code,
            worker.output(),
        )


def test_worker_lives_on_and_ends_in_order(run: Run) -> None:
    """It was never started twice, caught up, and ended with 0 when it was told to."""
    assert 0 == run.exit_code
    assert "Traceback" not in run.log
    assert 1 == run.log.count("worker ready")


def test_every_record_is_counted_once(run: Run) -> None:
    """Scanned and candidates are as many as were sent, each of its kind; the sieve drops a null unseen."""
    expected = Counter(case.kind for case, _ in run.sent)
    assert expected == {name: run.counts[name] for name in expected}
    assert len(run.sent) == run.counts["scanned"] + run.counts["null"] + run.counts["candidates"]


def test_every_candidate_is_judged_or_a_dead_letter(run: Run) -> None:
    """Each case raises its alerts and its dead letters, with the reason and the source position, and nothing else."""
    raised = Counter(_source(alert) for alert in run.alerts)
    reasons: dict[Position, list[str]] = {}
    for letter in run.dead_letters:
        reasons.setdefault(letter.source, []).append(letter.reason)
    found = {case.name: (raised[position], tuple(sorted(reasons.get(position, ())))) for case, position in run.sent}
    assert {case.name: (case.alerts, case.reasons) for case, _ in run.sent} == found
    assert {position for _, position in run.sent} >= set(raised)
    assert len(run.sent) == len(found)


def test_dead_letters_hold_the_source_bytes(run: Run) -> None:
    """Value and source bytes are equal, whatever they are."""
    values = {position: case.value for case, position in run.sent}
    letters = [letter for letter in run.dead_letters if letter.source in values]
    assert letters
    assert [] == [letter.text("reason") for letter in letters if values[letter.source] != letter.value]


def test_garbage_among_matches_is_a_dead_letter(run: Run) -> None:
    """A record that the first step never wrote is no match; its own position stands for the source's."""
    letters = {letter.source: letter for letter in run.dead_letters}
    found = {name: letters[place].reason for name, place in run.garbage.items() if place in letters}
    assert dict.fromkeys(GARBAGE, "not_a_match") == found
    cut = letters[run.garbage["as large as the topic takes"]]
    value = GARBAGE["as large as the topic takes"].value
    assert value is not None
    assert cut.value is not None
    assert value.startswith(cut.value)
    assert str(len(value)) == cut.text("cut.length")
    assert hashlib.sha256(value).hexdigest() == cut.text("cut.sha256")


def test_alerts_keep_their_size_and_say_what_was_cut(run: Run) -> None:
    """No alert is larger than the limit; those of a megabyte list what they had to cut, and each has a key."""
    assert max(len(alert.value) for alert in run.alerts) <= _MAX_ALERT_BYTES
    large = {position for case, position in run.sent if case.alerts and len(case.value or b"") > _MAX_ALERT_BYTES}
    cut = [alert for alert in run.alerts if _source(alert) in large]
    assert len(large) <= len(cut)
    assert all(alert.document["detector"]["truncated"] for alert in cut)
    assert all(alert.key for alert in run.alerts)


def test_mended_bytes_are_flagged(run: Run) -> None:
    """Alerts tell that encoding or keys of their record were broken."""
    flags = {case.name: set[str]() for case, _ in run.sent}
    names = {position: case.name for case, position in run.sent}
    for alert in run.alerts:
        flags[names[_source(alert)]] |= set(alert.document["detector"].get("flags", ()))
    encoding = {"invalid UTF-8", "CESU surrogate", "lone", "broken key", "broken host", "1 MB that triples as UTF-8"}
    assert encoding == {name for name, found in flags.items() if "invalid_encoding" in found}
    assert {"duplicate keys"} == {name for name, found in flags.items() if "duplicate_keys" in found}


def _source(alert: SeenAlert) -> Position:
    source = alert.document["detector"]["source"]
    return source["topic"], source["partition"], source["offset"]


def _last_counts(log: str) -> dict[str, int]:
    line = re.findall(r"counts: (.*)", log)[-1]
    return {name: int(count) for name, count in (part.split("=") for part in line.split())}

"""The worker agrees with the oracle on random histories: what is forwarded, what is alerted, what is a dead letter."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from app.runtime.settings import PACKAGED_RULES
from tests.broker.installation import PARTITIONS, Installation
from tests.broker.records import Outgoing, read_topic
from tests.event_strategies import histories
from tests.events import event, raw
from tests.oracle import Outcome, Record, judge

if TYPE_CHECKING:
    from tests.broker import records
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = pytest.mark.broker

_EXAMPLES: Final = 60
_MILLISECOND: Final = 10**6
_LONGEST_VALUE: Final = 1024

# Both lie past what any clock may be: bounded they are one time, else the second would be new again.
_FUTURE: Final = ("2128-06-11T08:53:20Z", "9999-12-30T00:00:00Z")

Position = tuple[str, int, int]


def test_worker_agrees_with_the_oracle(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """In one run over many histories, verdicts follow from each matches partition in the order of its log."""
    rules = {"RULES": str(PACKAGED_RULES / "exim4_child.toml")}
    with Installation(kafka.brokers, topic_prefix, settings=rules).create() as installation:
        installation.play(Outgoing(None, raw(event(host="future", time=time)), (), 0) for time in _FUTURE)
        installation.play(
            Outgoing(None, value, (), number % PARTITIONS) for number, value in enumerate(_random_records())
        )
        worker = installation.worker()
        installation.wait_caught_up(worker)

        source = read_topic(kafka.brokers, installation.source())
        examined = {_position(record): _examined(record) for record in source}
        matches = installation.matches()
        assert _forwarded(examined) == Counter((_source_of(match), match.key) for match in matches)
        assert _rejected(examined) == Counter((one.source, one.reason) for one in installation.dead_letters())
        alerts = Counter(
            ((place["topic"], place["partition"], place["offset"]), alert.term)
            for alert in installation.alerts()
            for place in [alert.document["detector"]["source"]]
        )
        expected = _alerted(matches, {_position(record): record for record in source}, examined)
        assert expected == alerts
        assert len(expected) > _EXAMPLES


def _random_records() -> list[bytes]:
    """Records of many random histories, the hosts of each renamed into a namespace of its own."""
    drawn: list[list[bytes]] = []

    @settings(
        max_examples=_EXAMPLES,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories())
    def draw(found: list[bytes]) -> None:
        drawn.append(found)

    draw()
    return [
        re.sub(rb'"h(\d+)"', rb'"h%d-\1"' % number, value) for number, values in enumerate(drawn) for value in values
    ]


def _examined(record: records.Record) -> Outcome:
    """What the oracle finds in one source record by itself; its verdicts are not looked at."""
    return judge([Record(record.value or b"", 0, record.timestamp * _MILLISECOND)])[0]


def _forwarded(examined: dict[Position, Outcome]) -> Counter[tuple[Position, bytes | None]]:
    """What the first step must forward: one for each host of a match, and each member of exim4's family to its host."""
    return Counter((place, key) for place, outcome in examined.items() for key in _hosts(outcome))


def _rejected(examined: dict[Position, Outcome]) -> Counter[tuple[Position, str]]:
    return Counter((place, reason) for place, outcome in examined.items() for reason in outcome.dead_letters)


def _alerted(
    matches: list[records.Record], source: dict[Position, records.Record], examined: dict[Position, Outcome]
) -> Counter[tuple[Position, tuple[str, ...]]]:
    """Source position and term of every alert: each partition is one history, in the order of its log."""
    alerts: Counter[tuple[Position, tuple[str, ...]]] = Counter()
    for partition in range(PARTITIONS):
        log = [match for match in matches if match.partition == partition]
        judged = judge(
            Record(
                match.value or b"",
                match.timestamp * _MILLISECOND,
                source[_source_of(match)].timestamp * _MILLISECOND,
                _hosts(examined[_source_of(match)])[match.key],
            )
            for match in log
        )
        for match, outcome in zip(log, judged, strict=True):
            alerts.update((_source_of(match), tuple(map(_shown, term))) for term in outcome.new)
    return alerts


def _hosts(outcome: Outcome) -> dict[bytes | None, str]:
    """A record's hosts by the key that leads to each."""
    family = () if outcome.family is None else (outcome.family,)
    return {_key(host): host for host in (*(host for host, _ in (*outcome.new, *outcome.known)), *family)}


def _key(host: str) -> bytes:
    text = host.encode()
    return text if len(text) <= _LONGEST_VALUE else b"sha256:" + hashlib.sha256(text).hexdigest().encode()


def _shown(value: str) -> str:
    """A term's value as an alert shows it."""
    text = value.encode()
    return value if len(text) <= _LONGEST_VALUE else f"{value[:128]}… (sha256:{hashlib.sha256(text).hexdigest()})"


def _position(record: records.Record) -> Position:
    return record.topic, record.partition, record.offset


def _source_of(match: records.Record) -> Position:
    headers = {name: (value or b"").decode() for name, value in match.headers}
    return (
        headers["eximwatch.source.topic"],
        int(headers["eximwatch.source.partition"]),
        int(headers["eximwatch.source.offset"]),
    )

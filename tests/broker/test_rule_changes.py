"""Rules that change while two workers run, started again one by one: each event by the old or the new rule."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from app.core.alert import alert_id
from app.errors import TopicsError
from app.runtime.rules import build_engine, load_rules
from tests.broker.installation import Installation
from tests.broker.records import Outgoing
from tests.broker.steady import Steady, execution
from tests.core.rules import RULE_FILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = [pytest.mark.broker, pytest.mark.slow]

_STOP_S: Final = 15
_TIMEOUT_S: Final = 30
_QUERY: Final = "process.parent.name:exim4 and not process.name:grep"
_FIELDS: Final = '["host.id", "process.name"]'
_KNOWN: Final = 16


@dataclass(frozen=True)
class _Change:
    """Rule files by name: those before, and those of each step after it."""

    before: dict[str, str]
    steps: tuple[dict[str, str], ...]
    retention: bool = False
    """The changelog's retention has to be raised first."""


def _rule(
    rule_id: str = "child", *, query: str = _QUERY, fields: str = _FIELDS, window: str = "14d", of: int = 3
) -> str:
    text = RULE_FILE.replace('"child"', f'"{rule_id}"').replace(_QUERY, query).replace(_FIELDS, fields)
    return text.replace("14d", window).replace("version = 3", f"version = {of}")


_CHILD: Final = {"child": _rule()}
_WEB: Final = {"web": _rule("web", query="process.parent.name:nginx", fields='["process.executable"]')}
_BY_PATH: Final = {"child_path": _rule("child_path", fields='["process.executable"]')}

CHANGES: Final = {
    "version": _Change(_CHILD, ({"child": _rule(of=4)},)),
    "exclusion": _Change(_CHILD, ({"child": _rule(query=f"{_QUERY} and not process.name:*7")},)),
    "wider query": _Change(_CHILD, ({"child": _rule(query="process.parent.name:(exim4 or nginx)")},)),
    "fields": _Change(_CHILD, ({"child": _rule(fields='["host.id", "process.executable"]')},)),
    "longer window": _Change(_CHILD, ({"child": _rule(window="30d")},), retention=True),
    "added": _Change(_CHILD, (_CHILD | _WEB,)),
    "removed": _Change(_CHILD | _WEB, (_CHILD,)),
    "another scope, by way of both": _Change(_CHILD, (_CHILD | _BY_PATH, _BY_PATH)),
}

Ids = dict[str, set[str]]
"""Ids of alerts by rule."""


@pytest.mark.parametrize("name", CHANGES)
def test_each_event_is_judged_by_the_old_or_the_new_rule(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path, name: str
) -> None:
    """None by neither; what leads nowhere meanwhile is a dead letter, tried again. Id and fields keep history."""
    change = CHANGES[name]
    stages = [
        _written(tmp_path / f"rules-{number}", files) for number, files in enumerate([change.before, *change.steps])
    ]
    settings = {"SESSION_TIMEOUT": "6s"}
    with Installation(
        kafka.brokers, topic_prefix, settings={**settings, "RULES": str(stages[0])}
    ).create() as installation:
        workers = [installation.worker(data_dir=str(tmp_path / f"data-{number}")) for number in range(2)]
        installation.wait_shared(workers)
        known = _known(time.time_ns())
        installation.play(Outgoing(None, value) for value in known)
        installation.wait_caught_up(*workers)
        if change.retention:
            _raise_retention(kafka.brokers, installation, stages[1])

        marks = [time.time_ns()]
        with Steady(installation, parents=("exim4", "nginx")) as stream:
            installation.wait_alerts(len(installation.alerts()) + 20, *workers)
            for stage in stages[1:]:
                marks.append(time.time_ns())
                for number, worker in enumerate(workers):
                    assert 0 == worker.stop(_STOP_S)
                    workers[number] = installation.worker(data_dir=str(tmp_path / f"data-{number}"), rules=str(stage))
                    installation.wait_shared(workers)
                    installation.wait_alerts(len(installation.alerts()) + 8, *workers)
                marks.append(time.time_ns())
            installation.wait_alerts(len(installation.alerts()) + 20, *workers)
        installation.wait_caught_up(*workers)
        letters = len(installation.dead_letters())
        retried = installation.run("dead-letters", "retry", "--all", rules=str(stages[-1]))
        assert 0 == retried.returncode, retried.stderr
        installation.wait_caught_up(*workers)

        seen = {alert.id for alert in installation.alerts()}
        judge = [_oracle(stage) for stage in stages]
        missing = []
        for one in stream.sent:
            # Restarts lie between the second and the third mark, and so on.
            place = sum(one.at >= mark for mark in marks) - 1
            first, last = (place // 2, place // 2) if place % 2 == 0 else (place // 2, place // 2 + 1)
            if place == len(marks) - 1:
                first = last = len(stages) - 1
            due = [judge[stage](one.value) for stage in range(first, last + 1)]
            missing += [one.number for rule in set(due[0]) & set(due[-1]) if not seen & (due[0][rule] | due[-1][rule])]
            if not set(due[0]) & set(due[-1]) and due[0] and due[-1]:
                missing += [] if seen & set().union(*due[0].values(), *due[-1].values()) else [one.number]
        assert [] == missing
        allowed = [ids for oracle in judge for one in stream.sent for ids in oracle(one.value).values()]
        at_first = [ids for value in known for ids in judge[0](value).values()]
        assert seen <= set().union(*allowed, *at_first)
        forwarded = [record.value or b"" for record in installation.matches()]
        if name == "added":
            assert set().union(*(judge[-1](value).get("web", set()) for value in forwarded)) <= seen
        print(f"{name}: {letters} dead letters of {len(stream.sent)} events")

        again = _known(time.time_ns())
        installation.play(Outgoing(None, value) for value in again)
        installation.wait_caught_up(*workers)
        kept = {rule for rule, _ in _histories(stages[0]) & _histories(stages[-1])}
        news = {
            one
            for before, after in zip(known, again, strict=True)
            for rule, ids in judge[-1](after).items()
            for one in ids
            if rule not in kept or rule not in judge[0](before)
        }
        assert news == {alert.id for alert in installation.alerts()} - seen


def _oracle(folder: Path) -> Callable[[bytes], Ids]:
    """Judges an event whose terms are all new by the rules of a folder."""
    engine = build_engine(
        load_rules([folder]), max_alert_bytes=1_000_000, max_future_skew="5m", alert_from=None, learn_until=None
    )

    def due(value: bytes) -> Ids:
        digest = hashlib.sha256(value).hexdigest()
        found = engine.examine(value, None)
        return {
            match.rule.id: {alert_id(match.rule.id, term, digest) for term in match.terms} for match in found.matches
        }

    return due


def _histories(folder: Path) -> set[tuple[str, tuple[str, ...]]]:
    """Whose history the rules of a folder have: it is told by id and fields."""
    return {(rule.id, rule.fields) for rule in load_rules([folder])}


def _written(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def _known(now: int) -> list[bytes]:
    """Executions of programs that are there before the change and after it."""
    return [
        execution(f"known-{number}", f"host-{number % 4}", ("exim4", "nginx")[number % 2], now)
        for number in range(_KNOWN)
    ]


def _raise_retention(brokers: str, installation: Installation, rules: Path) -> None:
    """As `topics check` says; until then the start is refused."""
    refused = installation.run("worker", rules=str(rules))
    assert TopicsError.exit_code == refused.returncode
    told = installation.run("topics", "check", rules=str(rules))
    assert TopicsError.exit_code == told.returncode
    found = re.search(r"--entity-name (\S+) --add-config '(retention\.ms)=\[(\d+)\]'", told.stdout + told.stderr)
    assert found is not None
    assert (installation.names["changelog"], str(2 * 30 * 24 * 3600 * 1000)) == (found[1], found[3])
    entry = ConfigEntry(found[2], found[3], incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, found[1], incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.incremental_alter_configs([resource])[resource].result(_TIMEOUT_S)
    assert 0 == installation.run("topics", "check", rules=str(rules)).returncode

"""A history in memory: the second step in its order, without tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from app.core.alert import MIN_ALERT_BYTES, Maker
from app.core.dead_letter import DeadLetter
from app.core.duration import DAY, SECOND
from app.core.engine import Arrival, Engine, Judgement, Standards
from app.core.event import JsonObject
from app.core.rule import Rule
from app.tools import history as module
from app.tools.history import History
from tests.core.rules import rule
from tests.events import event, raw

NOON = 1_767_614_400 * SECOND  # 2026-01-05T12:00:00Z
HOST = rule("host")
FLEET = rule("fleet", fields=("process.executable",))
STANDARDS = Standards(Maker("1.2.3", MIN_ALERT_BYTES), 28 * DAY, 300 * SECOND)


@dataclass
class Run:
    """A history, and events that are judged in it one after the other."""

    engine: Engine
    history: History
    verdicts: list[str] = field(default_factory=list)
    alerts: list[JsonObject] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    offset: int = 0

    def take(self, document: JsonObject, offset: int | None = None) -> None:
        """Judge an event on all of its routes."""
        record = raw(document)
        examination = self.engine.examine(record, NOON)
        for route in examination.routes():
            self.offset = self.offset + 1 if offset is None else offset
            arrival = Arrival(0, self.offset, NOON, {})
            for judged in self.history.judge(record, examination, route, arrival, NOON):
                if isinstance(judged, DeadLetter):
                    self.dead_letters.append(judged)
                    continue
                _, _, judgement = judged
                self.verdicts.append(judgement.assessment.verdict.value)
                if judgement.alert is not None:
                    self.alerts.append(json.loads(judgement.alert.value)["detector"])


def run(*rules: Rule, slots: int = 64) -> Run:
    """Begin with nothing."""
    engine = Engine(rules or (HOST,), STANDARDS)
    return Run(engine, History(engine, slots))


def test_terms_and_baselines_are_remembered() -> None:
    """A term is new once; each alert says what the rule knew before it."""
    found = run()
    for name in ("sh", "sh", "perl", "sh"):
        found.take(event(name=name))

    assert ["new", "known", "new", "known"] == found.verdicts
    assert [0, 1] == [one["baseline"]["rule"]["terms"] for one in found.alerts]


def test_record_that_comes_again_is_replayed() -> None:
    """At the position at which it was judged."""
    found = run()
    found.take(event(), offset=1)
    found.take(event(), offset=1)

    assert ["new", "replayed"] == found.verdicts
    assert [1] == [one.terms for one in found.history.baselines.values()]


def test_processes_are_remembered_whether_they_match_or_not() -> None:
    """A lineage is made of what came before, also of what no rule asked for."""
    found = run()
    exim4: JsonObject = {"name": "exim4", "process__executable": "/usr/sbin/exim4"}
    found.take(event(parent="systemd", process__entity_id="D", **exim4))
    found.take(event(process__entity_id="W", process__parent__entity_id="D", **exim4))
    found.take(event(process__entity_id="S", process__parent__entity_id="W"))

    names = [[one.get("entity_id") for one in alert["lineage"]["processes"]] for alert in found.alerts]
    assert [["D", "W"], ["D", "W", "S"]] == names


def test_processes_of_hosts_and_of_the_fleet_do_not_mix() -> None:
    """What one host remembers is nothing to another; a fleet's record has its lineage from itself alone."""
    found = run(HOST, FLEET)
    below: JsonObject = {"process__entity_id": "W", "process__parent__entity_id": "D"}
    found.take(event("exim4", "systemd", process__entity_id="D", process__executable="/usr/sbin/exim4"))
    found.take(event("exim4", **below))
    found.take(event("exim4", host="mail02", **below))

    lengths = {len(alert["lineage"]["processes"]) for alert in found.alerts}
    assert {2} == lengths
    assert {"event"} == {one["origin"] for alert in found.alerts for one in alert["lineage"]["processes"]}


def test_fleet_has_no_baseline() -> None:
    """Its terms belong to no host."""
    found = run(FLEET)
    found.take(event())

    assert {} == found.history.baselines
    assert [{}] == [one["baseline"] for one in found.alerts]


def test_processes_of_a_host_are_bounded() -> None:
    """By the slots it was given."""
    found = run(slots=4)
    for n in range(100):
        found.take(event(name="exim4", process__entity_id=str(n), process__parent__entity_id=f"p{n}"))

    assert 4 == len([key for key in found.history.processes if key[1:2] == b"P"])


@pytest.mark.parametrize("failing", ["remember", "judge"])
def test_failure_of_our_own_is_a_dead_letter(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where remembering fails the event is judged all the same; where judging fails nothing of it is kept."""
    found = run()
    letter = DeadLetter("internal_error", "a bug")
    monkeypatch.setattr(found.engine, failing, lambda *_: letter)
    found.take(event(process__entity_id="E"))

    assert [letter] == found.dead_letters
    assert (failing == "judge") == bool(found.history.processes)
    assert (failing == "remember") == bool(found.history.terms) == bool(found.alerts)


def test_history_is_written_after_it_was_taken() -> None:
    """A caller that fails over an alert finds its term as it was before."""
    engine = Engine((HOST,), STANDARDS)
    history = module.History(engine)
    record = raw(event())
    examination = engine.examine(record, NOON)
    [route] = examination.routes()
    judging = history.judge(record, examination, route, Arrival(0, 0, NOON, {}), NOON)

    found = next(judging)
    assert not isinstance(found, DeadLetter)
    assert isinstance(found[2], Judgement)
    assert ({}, {}) == (history.terms, history.baselines)
    assert [] == list(judging)
    assert (1, 1) == (len(history.terms), len(history.baselines))

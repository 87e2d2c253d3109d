"""Every scenario raises its alerts and no others, in the pure core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from app.runtime.rules import load_rules
from app.runtime.settings import PACKAGED_RULES
from tests.scenarios.core import play
from tests.scenarios.scenario import Scenario, lineage_of, load_all

if TYPE_CHECKING:
    from pathlib import Path

ALL: Final = load_all()
ATTACKS: Final = [scenario for scenario in ALL if scenario.story.kind == "attack"]
BENIGN: Final = [scenario for scenario in ALL if scenario.story.kind == "benign"]


def by_name(scenarios: list[Scenario]) -> pytest.MarkDecorator:
    """A test for each scenario, which bears its name."""
    return pytest.mark.parametrize("scenario", scenarios, ids=[scenario.name for scenario in scenarios])


def test_there_are_enough_of_both_kinds() -> None:
    """At least eight attacks and ten benign stories."""
    assert len(ATTACKS) >= 8
    assert len(BENIGN) >= 10


@by_name(ALL)
def test_alerts_are_the_written_ones(scenario: Scenario, tmp_path: Path) -> None:
    """Day, scene, rule and what was new of every alert stand in the file, and no other alert is raised."""
    assert sorted(scenario.wanted) == sorted(map(scenario.raised, play(scenario.events, tmp_path)))


@by_name(ALL)
def test_lineages_are_the_written_ones(scenario: Scenario, tmp_path: Path) -> None:
    """Where the file names a lineage, the alert has it, from the nearest exim4 to the process."""
    found = {scenario.raised(alert): lineage_of(alert) for alert in play(scenario.events, tmp_path)}
    wanted = {key: alert.lineage for key, (_, alert) in scenario.wanted.items() if alert.lineage is not None}

    assert wanted == {key: found.get(key) for key in wanted}


@by_name(ATTACKS)
def test_attack_is_noticed(scenario: Scenario, tmp_path: Path) -> None:
    """At least one rule alerts on an event of a scene that is marked as an attack."""
    attacks = {scene.name for scene in scenario.story.scenes if scene.attack}

    assert attacks <= {scenario.raised(alert).scene for alert in play(scenario.events, tmp_path)}


@by_name(BENIGN)
def test_benign_scene_alerts_on_its_first_day_alone(scenario: Scenario) -> None:
    """What is written agrees with the requirement: a day's work alerts when it comes for the first time, if at all."""
    later = [alert for scene, alert in scenario.wanted.values() if alert.day != scene.days[0]]

    assert [] == later


def test_rules_of_alerts_are_shipped_ones() -> None:
    """A name that no rule has would never be missed where the alert is not expected."""
    rules = {rule.id for rule in load_rules([PACKAGED_RULES])}

    assert {alert.rule for scenario in ALL for _, alert in scenario.wanted.values()} <= rules


@by_name(ALL)
def test_every_written_alert_stands_once(scenario: Scenario) -> None:
    """The same alert twice in a file is a mistake: it is raised once."""
    written = sum(len(scene.alerts) for scene in scenario.story.scenes)

    assert written == len(scenario.wanted)

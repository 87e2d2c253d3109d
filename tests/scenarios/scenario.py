"""A scenario: a story from a file, played on a host of its own, and what it must raise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from tests.broker.seen import SeenAlert
from tests.scenarios.life import Event, events_of, host_id
from tests.scenarios.reading import read_story
from tests.scenarios.story import Scene, Story, Wanted

HERE: Final = Path(__file__).parent


class Raised(NamedTuple):
    """An alert for what an expectation compares: on which day which scene raised it, the rule, and what was new."""

    day: int
    scene: str
    rule: str
    term: str


@dataclass(frozen=True)
class Scenario:
    """One file of this directory."""

    name: str
    story: Story

    @property
    def host(self) -> str:
        """The `host.id` of its events."""
        return host_id(self.name)

    @cached_property
    def events(self) -> list[Event]:
        """Its events in order of their arrival.

        Raises:
            ScenarioError: A step names a process that is not there.
        """
        return events_of(self.story, self.name)

    @cached_property
    def wanted(self) -> dict[Raised, tuple[Scene, Wanted]]:
        """Every alert that it must raise, with the scene that raises it."""
        return {
            Raised(alert.day, scene.name, alert.rule, alert.term): (scene, alert)
            for scene in self.story.scenes
            for alert in scene.alerts
        }

    def raised(self, alert: SeenAlert) -> Raised:
        """An alert for what expectations compare; its event is found by its id."""
        document = alert.document
        event = self._by_id[document["kibana.alert.original_event.id"]]
        return Raised(event.day, event.scene, document["kibana.alert.rule.rule_id"], alert.term[1])

    @cached_property
    def _by_id(self) -> dict[str, Event]:
        return {event.id: event for event in self.events}


def lineage_of(alert: SeenAlert) -> tuple[str, ...]:
    """The names from the nearest exim4 that is known down to the process; a link of which nothing is known is `?`."""
    names = [process.get("name", "?") for process in alert.document["detector"]["lineage"]["processes"]]
    above = [number for number, name in enumerate(names[:-1]) if name == "exim4"]
    return tuple(names[above[-1] if above else 0 :])


def load(path: Path) -> Scenario:
    """Read one file.

    Raises:
        ScenarioError: It is no scenario; the message names file and line.
    """
    return Scenario(path.stem, read_story(path))


def load_all() -> list[Scenario]:
    """All scenarios of this directory, by name.

    Raises:
        ScenarioError: One of them is none.
    """
    return [load(path) for path in sorted(HERE.glob("*.yaml"))]

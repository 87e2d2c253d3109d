"""What a scenario file tells: scenes of steps, and the alerts that they must raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn

Kind = Literal["attack", "benign"]


class ScenarioError(Exception):
    """A scenario file that can't be played: file, line, what is wrong there."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; raises what is wrong with it."""

    file: str
    line: int

    def wrong(self, what: str) -> NoReturn:
        """Refuse the file.

        Raises:
            ScenarioError: Always.
        """
        raise ScenarioError(f"{self.file}:{self.line}: {what}")


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one process at one moment, in the order of the fields: it is forked, changed, executed, ended.

    Attributes:
        id: The name that the file gives the process; a fork may take a name that another process had.
        at_s: Seconds after the scene's begin.
        parent: Who forks it; None where the process is there already.
        user: Whom it becomes; None for no change.
        cwd: Where it goes; None for no change.
        setsid: It begins a session of its own.
        setpgid: It begins a group of its own.
        exe: The path it executes; None for none.
        args: Its arguments from the zeroth on.
        lasts_s: Seconds until it ends; None where it goes on.
        ends: It ends now.
    """

    place: Place
    id: str
    at_s: float
    parent: str | None
    user: str | None
    cwd: str | None
    setsid: bool
    setpgid: bool
    exe: str | None
    args: tuple[str, ...]
    lasts_s: float | None
    ends: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """An alert that a scene must raise.

    Attributes:
        rule: Id of the rule.
        term: What is new on the host: the second field of the rule's terms.
        day: On which day of the scenario.
        lineage: Names from exim4 to the process; None where the file does not say.
    """

    place: Place
    rule: str
    term: str
    day: int
    lineage: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Scene:
    """Steps that are played on one day or several, and the alerts they raise."""

    place: Place
    name: str
    attack: bool
    days: tuple[int, ...]
    at_s: int
    steps: tuple[Step, ...]
    alerts: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """A whole file. `merges` tells whether the sensor merges fork, exec and end of a short-lived process."""

    place: Place
    title: str
    kind: Kind
    about: str
    sources: tuple[str, ...]
    merges: bool
    standing: Scene
    scenes: tuple[Scene, ...]

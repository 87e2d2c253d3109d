"""How much an execution below exim4 deserves attention by itself: a level, a score, and the reasons for it.

The score is the sum of the points of a table (`app.core.criteria`), at most MAX_SCORE. It is a function of the event,
its depth and what the process was before, not of rules, terms or time: it says which alert to look at first, not
whether there is one.
An attacker who knows the table can stay below it; that a reason is absent proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.core.criteria import CRITERIA
from app.core.event import JsonObject, ProcessEvent
from app.core.execution import execution_of
from app.core.lineage import Relation

Level = Literal["low", "medium", "high", "critical"]
MAX_SCORE: Final = 100

LEVELS: Final[tuple[tuple[Level, int], ...]] = (("low", 0), ("medium", 25), ("high", 50), ("critical", 75))
"""Levels, and the score from which on each holds."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A line of the table that holds: its code and points, and what it was found in, bounded in length."""

    code: str
    points: int
    detail: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """The result; reasons in the table's order."""

    level: Level
    score: int
    reasons: tuple[Reason, ...]

    def document(self) -> JsonObject:
        """As it stands in an alert's `detector.assessment`; at most some 12 KiB of JSON."""
        reasons = [{"code": each.code, "points": each.points, "detail": each.detail} for each in self.reasons]
        return {"level": self.level, "score": self.score, "reasons": reasons}


def weigh(event: ProcessEvent, depth: int | None, relation: Relation, earlier: Sequence[str] = ()) -> Assessment:
    """Assess one execution.

    Args:
        event: The decoded event.
        depth: Steps below exim4 (its child has 1), None where it is not known.
        relation: What the process is to exim4; with NONE the depth does not count.
        earlier: Names of what the same process was before, executed in place, the oldest first.
    """
    execution = execution_of(event, None if relation is Relation.NONE else depth, earlier)
    found = ((criterion, criterion.find(execution)) for criterion in CRITERIA)
    reasons = tuple(Reason(each.code, each.points, detail) for each, detail in found if detail is not None)
    score = min(MAX_SCORE, sum(reason.points for reason in reasons))
    return Assessment(level_of(score), score, reasons)


def level_of(score: int) -> Level:
    """The level of a score from 0 to MAX_SCORE."""
    return next(level for level, least in reversed(LEVELS) if score >= least)


def markdown_table() -> str:
    """The table and the levels as Markdown, for the README."""
    rows = ["| code | points | what it says |", "| --- | --- | --- |"]
    rows += [f"| `{each.code}` | {each.points} | {each.meaning} |" for each in CRITERIA]
    levels = ", ".join(f"`{level}` from {least}" for level, least in LEVELS)
    return "\n".join([*rows, "", f"The score is the sum, at most {MAX_SCORE}: {levels}."])

"""The table of scenarios in the README: `python -m tests.scenarios.table` prints it, `--write` puts it there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from tests.readme_part import print_or_write
from tests.scenarios.scenario import HERE, Scenario, load_all

BEGIN: Final = "<!-- scenarios begin -->"
END: Final = "<!-- scenarios end -->"

_RULES: Final = {"exim4_child": "child", "exim4_descendant": "descendant", "exim4_unusual_path": "unusual path"}
_SHOWN: Final = 6


def render() -> str:
    """The table: attacks with what their scenes raise, then benign stories with what their first day raises."""
    scenarios = load_all()
    attacks = [scenario for scenario in scenarios if scenario.story.kind == "attack"]
    benign = [scenario for scenario in scenarios if scenario.story.kind == "benign"]
    return "\n".join([*_table("attack", attacks), "", *_table("benign, first day", benign)])


def _table(head: str, scenarios: Sequence[Scenario]) -> list[str]:
    return [
        f"| {head} | {' | '.join(_RULES.values())} |",
        f"| --- |{' --- |' * len(_RULES)}",
        *(_row(scenario) for scenario in scenarios),
    ]


def _row(scenario: Scenario) -> str:
    cells = [_terms(scenario, rule) for rule in _RULES]
    return f"| {scenario.story.title.replace('|', chr(92) + '|')} | {' | '.join(cells)} |"


def _terms(scenario: Scenario, rule: str) -> str:
    """What a rule finds new: in the scenes that attack, or in all of a benign story."""
    attack = scenario.story.kind == "attack"
    terms = [
        raised.term for raised, (scene, _) in scenario.wanted.items() if raised.rule == rule and scene.attack == attack
    ]
    shown = ", ".join(f"`{term}`" for term in terms[:_SHOWN])
    more = len(terms) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown or "–"


def main(arguments: Sequence[str]) -> int:
    """Print the table or write it; returns the exit code."""
    return print_or_write(arguments, HERE / "README.md", render, BEGIN, END)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

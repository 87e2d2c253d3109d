"""The README's table of scenarios is the one that the files give."""

from __future__ import annotations

from tests.readme_part import README, written
from tests.scenarios.scenario import load_all
from tests.scenarios.table import BEGIN, END, render


def test_every_scenario_has_a_row() -> None:
    """By its title."""
    text = render()

    assert [] == [scenario.name for scenario in load_all() if f"| {scenario.story.title} |" not in text]


def test_readme_shows_the_table() -> None:
    """`python -m tests.scenarios.table --write` makes it so."""
    readme = README.read_text(encoding="utf-8")

    assert readme == written(readme, BEGIN, END, render())

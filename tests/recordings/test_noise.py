"""Ordinary days: what they cost by the shipped rules is what the README says, and nothing when they come again."""

from __future__ import annotations

from collections import Counter

import pytest

from app.core.rule import parse_rule
from app.runtime.settings import PACKAGED_RULES
from tests.readme_part import README, written
from tests.recordings import noise
from tests.recordings.ordinary_days import INIT_SCRIPT, STAGEHAND, Day, ordinary_days


@pytest.fixture(scope="module")
def days() -> tuple[Day, ...]:
    """All ordinary days."""
    return ordinary_days()


def test_readme_has_the_figures() -> None:
    """They are measured anew in every test run."""
    readme = README.read_text(encoding="utf-8")

    assert readme == written(readme, noise.BEGIN, noise.END, noise.render()), (
        "run `python -m tests.recordings.noise --write`"
    )


def test_no_day_alerts_when_it_comes_again(days: tuple[Day, ...]) -> None:
    """By none of the rules, whatever it cost on the first day."""
    rules = [parse_rule((PACKAGED_RULES / f"{name}.toml").read_bytes(), name) for name in noise.RULES]
    found = noise.measure(days, rules)

    assert Counter() == found.again
    assert set(noise.RULES) == set(found.first)


def test_init_script_leads_what_it_starts_under_systemd(days: tuple[Day, ...]) -> None:
    """Nothing below it is led by who plays the administrator, and its helpers are led by a process called exim4."""
    systemd = next(day for day in days if "systemd" in day.title)
    scripts = [event for event in systemd.events if event["process"]["executable"] == INIT_SCRIPT]
    ids = {event["process"]["entity_id"] for event in scripts}
    below = [event for event in systemd.events if ids & set(event["process"]["Ext"]["ancestry"])]
    leaders = [event["process"][f"{name}_leader"]["name"] for event in below for name in ("group", "session", "entry")]

    assert {"systemd"} == {event["process"]["parent"]["name"] for event in scripts} - {"exim4"}
    assert 300 < len(below)
    assert STAGEHAND not in leaders


def test_change_must_fit_the_query() -> None:
    """A form that no longer differs from the shipped rule would be measured as if it did."""
    with pytest.raises(ValueError, match="not once in the query: nowhere"):
        noise.changed(noise.Change("x", noise.PATH, "nowhere", "y"))

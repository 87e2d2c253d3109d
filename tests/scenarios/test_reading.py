"""A scenario file that can't be played is refused, with file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.scenarios.scenario import load
from tests.scenarios.story import ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

GOOD: Final = """\
title: A shell
kind: attack
about: exim4 starts a shell.
sources: ["https://example.test/report"]
standing:
  - {id: daemon, at: 0, parent: init, setsid: true, exe: /usr/sbin/exim4, args: exim4 -bd}
scenes:
  - scene: the shell
    attack: true
    days: [1, 2]
    at: 09:00:00
    processes:
      - {id: sh, at: 0, parent: daemon, exe: /bin/sh, args: sh -c id, lasts: 0.5}
    alerts:
      - {rule: exim4_child, term: sh}
"""


def refusal(folder: Path, text: str) -> str:
    """What is said of a file with this text."""
    file = folder / "play.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(ScenarioError) as caught:
        _ = load(file).events
    return str(caught.value)


def test_good_file_is_played(tmp_path: Path) -> None:
    """The one that the mistakes below are made in: an event a day."""
    file = tmp_path / "play.yaml"
    file.write_text(GOOD, "utf-8")

    assert [1, 2] == [event.day for event in load(file).events]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("kind: attack", "kind: odd", "play.yaml:2: kind is attack or benign"),
        ("kind: attack", "kind: benign", "play.yaml:2: an attack, and no benign story, has a scene with attack: true"),
        ("    attack: true\n", "", "play.yaml:2: an attack, and no benign story, has a scene with attack: true"),
        ("title: A shell", "title: A shell\ntitle: B", "play.yaml:2: title stands here twice"),
        ("title: A shell\n", "", "play.yaml:1: title is missing"),
        ("about: exim4 starts a shell.", "about: ''", "play.yaml:3: a text is wanted here"),
        (
            'sources: ["https://example.test/report"]',
            "sources: []",
            "play.yaml:4: a list of one or more is wanted here",
        ),
        ("at: 09:00:00", "at: 9:00", "play.yaml:11: a time of the day is wanted here, such as 09:30:00"),
        ("days: [1, 2]", "days: [2, 1]", "play.yaml:10: the days must rise"),
        ("days: [1, 2]", "days: [0]", "play.yaml:10: a day is wanted here, 1 for the first"),
        ("setsid: true", "setsid: 1", "play.yaml:6: true or false is wanted here"),
        ("{id: sh, at: 0,", "{id: sh, at: -1,", "play.yaml:13: seconds of a day are wanted here, such as 0.25"),
        ("{id: sh, at: 0,", "{id: sh, at: soon,", "play.yaml:13: seconds of a day are wanted here, such as 0.25"),
        ("args: sh -c id", 'args: sh -c "', "play.yaml:13: args can't be cut into words: No closing quotation"),
        ("exe: /bin/sh, ", "", "play.yaml:13: args belong to an exe"),
        ("{id: sh, at: 0, parent: daemon,", "{id: sh, at: 0,", "play.yaml:13: lasts belongs to a parent"),
        ("lasts: 0.5", "ends: true", "play.yaml:13: what ends does nothing else"),
        ("lasts: 0.5", "last: 0.5", "play.yaml:13: last is unknown here; known are args, at, cwd, ends, exe, id,"),
        ("lasts: 0.5", "user: nobody", "play.yaml:13: there is no user nobody; there are root,"),
        (
            "parent: daemon",
            "parent: demon",
            "play.yaml:13: there is no process demon before this; the file names init,",
        ),
        ("term: sh}", "term: sh, day: 3}", "play.yaml:15: the scene is not played on day 3"),
        ("    alerts:\n", "    alerts: none\n", "play.yaml:15: "),
        ("scenes:\n", "scenes:\n  - oh\n", "play.yaml:8: a mapping is wanted here"),
    ],
)
def test_mistake_is_named_with_file_and_line(tmp_path: Path, before: str, after: str, said: str) -> None:
    """One mistake each, in a file that is good otherwise."""
    assert GOOD != GOOD.replace(before, after, 1)
    assert refusal(tmp_path, GOOD.replace(before, after, 1)).startswith(said)


@pytest.mark.parametrize(("text", "said"), [("", "play.yaml:1: the file is empty"), ("a: [", "play.yaml:1: ")])
def test_file_without_content_or_form_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Not even a mapping."""
    assert refusal(tmp_path, text).startswith(said)


def test_benign_scene_of_two_days_is_refused(tmp_path: Path) -> None:
    """Silence after the first day is only shown by days after it."""
    benign = GOOD.replace("kind: attack", "kind: benign").replace("    attack: true\n", "")

    assert "play.yaml:2: every scene of a benign story is played on 3 days or more" == refusal(tmp_path, benign)


def test_step_of_what_has_ended_is_refused(tmp_path: Path) -> None:
    """A process does nothing after its end, neither by `lasts` nor by `ends`."""
    step = "      - {id: sh, at: 0, parent: daemon, exe: /bin/sh, args: sh -c id, lasts: 0.5}\n"
    later = GOOD.replace(step, f"{step}      - {{id: id, at: 1, parent: sh, exe: /usr/bin/id}}\n")
    twice = GOOD.replace(step, f"{step}      - {{id: sh, at: 0.2, ends: true}}\n")

    assert "play.yaml:14: the process sh has ended by then" == refusal(tmp_path, later)
    assert "play.yaml:13: the process sh is ended twice" == refusal(tmp_path, twice)

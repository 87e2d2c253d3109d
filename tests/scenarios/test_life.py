"""Steps become the events that a sensor sends, in the order in which it sends them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.scenarios.life import host_id
from tests.scenarios.scenario import load

if TYPE_CHECKING:
    from pathlib import Path


def play(folder: Path, steps: str, top: str = "") -> list[dict[str, Any]]:
    """The events of one scene with these steps, below a daemon that stands since the evening before."""
    file = folder / "play.yaml"
    file.write_text(
        f"""\
title: A play
kind: attack
about: For this test.
sources: ["https://example.test/report"]
{top}
standing:
  - {{id: daemon, at: 0, parent: init, setsid: true, exe: /usr/sbin/exim4, args: exim4 -bd}}
  - {{id: daemon, at: 1, user: Debian-exim, cwd: /var/spool/exim4}}
scenes:
  - scene: the scene
    attack: true
    days: [1]
    at: 09:00:00
    processes:
{steps}
""",
        "utf-8",
    )
    return [json.loads(event.value) for event in load(file).events]


def told(event: dict[str, Any]) -> tuple[Any, str, str]:
    """What an event is about: action, name, parent's name."""
    return event["event"]["action"], event["process"]["name"], event["process"]["parent"]["name"]


def test_short_parent_comes_after_its_children(tmp_path: Path) -> None:
    """Fork, exec and end within a second are one event, which is sent at the end; its time is that of the fork."""
    events = play(
        tmp_path,
        """\
      - {id: sh, at: 0, parent: daemon, exe: /bin/sh, args: sh -c id, lasts: 0.5}
      - {id: id, at: 0.1, parent: sh, exe: /usr/bin/id, lasts: 0.01}""",
    )

    merged = ["fork", "exec", "end"]
    assert [(merged, "id", "sh"), (merged, "sh", "exim4")] == [told(event) for event in events]
    assert events[0]["@timestamp"] > events[1]["@timestamp"]


def test_longer_one_comes_when_the_sensor_stops_waiting(tmp_path: Path) -> None:
    """Fork and exec of a process that lives on are sent a second after the fork, its end when it comes."""
    events = play(
        tmp_path,
        """\
      - {id: sh, at: 0, parent: daemon, exe: /bin/sh, lasts: 5}
      - {id: id, at: 0.8, parent: sh, exe: /usr/bin/id, lasts: 0.1}
      - {id: ls, at: 0.8, parent: sh, exe: /usr/bin/ls, lasts: 0.3}""",
    )

    merged = ["fork", "exec", "end"]
    assert [(merged, "id", "sh"), (["fork", "exec"], "sh", "exim4"), (merged, "ls", "sh"), ("end", "sh", "exim4")] == [
        told(event) for event in events
    ]


def test_older_sensor_sends_each_moment_at_once(tmp_path: Path) -> None:
    """Without merging there are three events, the parent's first."""
    events = play(tmp_path, "      - {id: sh, at: 0, parent: daemon, exe: /bin/sh, lasts: 0.5}", top="merges: false")

    assert [("fork", "exim4", "exim4"), ("exec", "sh", "exim4"), ("end", "sh", "exim4")] == [
        told(event) for event in events
    ]


def test_execution_in_place_keeps_the_entity(tmp_path: Path) -> None:
    """Another image of the same process: the same id and parent, and the image before in `process.previous`."""
    first, second = play(
        tmp_path,
        """\
      - {id: shell, at: 0, parent: daemon, exe: /bin/bash}
      - {id: shell, at: 0.1, exe: /bin/sh, args: sh -i}""",
    )

    assert [(["fork", "exec"], "bash", "exim4"), ("exec", "sh", "exim4")] == [told(first), told(second)]
    assert first["process"]["entity_id"] == second["process"]["entity_id"]
    assert "/bin/bash" == second["process"]["previous"][0]["executable"]


def test_leaders_are_inherited_and_made(tmp_path: Path) -> None:
    """A group or session of its own changes what children inherit; the entry stays that of the daemon."""
    leaders = ("group_leader", "session_leader", "entry_leader")
    events = play(
        tmp_path,
        """\
      - {id: sh, at: 0, parent: daemon, exe: /bin/sh, lasts: 9}
      - {id: cat, at: 2, parent: sh, setpgid: true, exe: /usr/bin/cat, lasts: 0.1}
      - {id: pty, at: 4, parent: sh, setsid: true, exe: /bin/bash, lasts: 3}
      - {id: id, at: 5.5, parent: pty, exe: /usr/bin/id, lasts: 0.1}""",
    )
    found = {
        event["process"]["name"]: tuple(event["process"][leader]["name"] for leader in leaders)
        for event in events
        if event["event"]["action"] != "end"
    }

    assert {
        "sh": ("exim4", "exim4", "exim4"),
        "cat": ("cat", "exim4", "exim4"),
        "bash": ("bash", "bash", "exim4"),
        "id": ("bash", "bash", "exim4"),
    } == found


def test_orphan_with_a_session_of_its_own_is_an_entry(tmp_path: Path) -> None:
    """Once its parent has ended and it called setsid, nothing in a process's events leads back to the daemon."""
    events = play(
        tmp_path,
        """\
      - {id: sh, at: 0, parent: daemon, exe: /bin/sh, lasts: 0.1}
      - {id: child, at: 0.05, parent: sh}
      - {id: child, at: 0.2, setsid: true, exe: /usr/bin/udevd}""",
    )
    process = events[-1]["process"]

    assert ("udevd", "systemd", "udevd") == (
        process["name"],
        process["parent"]["name"],
        process["entry_leader"]["name"],
    )
    assert 1 == len(process["Ext"]["ancestry"])


def test_user_and_directory_hold_until_changed(tmp_path: Path) -> None:
    """Children inherit both; a program with the setuid bit runs as root, its real user stays."""
    events = play(
        tmp_path,
        """\
      - {id: worker, at: 0, parent: daemon, lasts: 0.1}
      - {id: delivery, at: 2, parent: daemon, exe: /usr/sbin/exim4, lasts: 5}
      - {id: pipe, at: 4, parent: delivery, user: alice, cwd: /home/alice, exe: /usr/bin/vacation, lasts: 0.1}""",
    )
    found = [
        (process["user"]["name"], process["real_user"]["name"], process["working_directory"])
        for process in (event["process"] for event in events)
    ]

    spool = "/var/spool/exim4"
    assert ("Debian-exim", "Debian-exim", spool) == found[0]
    assert ("root", "Debian-exim", spool) == found[1]
    assert ("alice", "alice", "/home/alice") == found[2]


def test_every_scenario_has_a_host_of_its_own(tmp_path: Path) -> None:
    """By its file's name; arguments keep every character."""
    (event,) = play(
        tmp_path, """      - {id: sh, at: 0, parent: daemon, exe: /bin/sh, args: [sh, -c, 'echo "ä\\"'], lasts: 0.1}"""
    )

    assert host_id("play") == event["host"]["id"]
    assert ["sh", "-c", 'echo "ä\\"'] == event["process"]["args"]

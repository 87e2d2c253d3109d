"""The stored recording is what its trace says, and the alerts written down by hand are right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from tests.recordings import convert
from tests.recordings.strace_lines import Call, Exit, Fork, records, unquote

Event = dict[str, Any]

EXCLUDED: Final = frozenset(
    {
        "exim4",
        "start-stop-daemon",
        "run-parts",
        "systemctl",
        "update-exim4.conf",
        "install",
        "plymouth",
        "readlink",
        "grep",
        "stat",
        "cmake",
        "gcc",
        "cppcheck",
        "sort",
        "sshd",
    }
)
TOOLS: Final = frozenset({"grep", "readlink", "sort", "stat"})
HELPED: Final = frozenset(
    {
        *("cat", "chmod", "chown", "dirname", "expr", "getopt", "hostname", "id", "ls", "mktemp", "mv", "rm"),
        *("sed", "touch", "tr"),
    }
)
DIRECTORIES: Final = (
    *("/usr/bin", "/usr/sbin", "/bin", "/sbin", "/etc/init.d", "/usr/lib", "/usr/libexec", "/usr/lib32", "/usr/lib64"),
    *("/usr/libx32", "/lib", "/lib32", "/lib64", "/libx32"),
)
WINDOW: Final = timedelta(days=14)
REQUIRED: Final = (
    "@timestamp",
    "agent.id",
    "agent.type",
    "data_stream.dataset",
    "ecs.version",
    "event.action",
    "event.category",
    "event.created",
    "event.dataset",
    "event.id",
    "event.kind",
    "event.module",
    "event.sequence",
    "event.type",
    "group.id",
    "group.name",
    "host.id",
    "host.name",
    "host.os.type",
    "process.Ext.ancestry",
    "process.args",
    "process.args_count",
    "process.command_line",
    "process.entity_id",
    "process.executable",
    "process.interactive",
    "process.name",
    "process.pid",
    "process.start",
    "process.user.id",
    "process.group.id",
    "process.working_directory",
    "process.parent.entity_id",
    "process.parent.executable",
    "process.parent.name",
    "process.parent.pid",
    "process.group_leader.name",
    "process.session_leader.name",
    "process.entry_leader.name",
    "process.entry_leader.entry_meta.type",
    "user.id",
    "user.name",
)


def at(event: Event, dotted: str) -> Any:
    """The value under a dotted path; KeyError if there is none."""
    value: Any = event
    for key in dotted.split("."):
        value = value[key]
    return value


def is_execution(event: Event) -> bool:
    """What the three rules have in common."""
    return (
        at(event, "host.os.type") == "linux"
        and "start" in at(event, "event.type")
        and "exec" in at(event, "event.action")
    )


def has_exim4_leader(event: Event) -> bool:
    """Whether exim4 leads the process's group, its session or the tree that it was entered by."""
    return "exim4" in {at(event, f"process.{leader}_leader.name") for leader in ("group", "session", "entry")}


def is_inside(path: str, *directories: str) -> bool:
    """Whether a path lies in one of the directories, and no part of it begins with a dot."""
    return path.startswith(tuple(f"{directory}/" for directory in directories)) and "/." not in path


def is_child(event: Event) -> bool:
    """The child rule's query, spelled out."""
    return (
        is_execution(event)
        and at(event, "process.parent.name") == "exim4"
        and at(event, "process.name") not in EXCLUDED
    )


def is_descendant(event: Event) -> bool:
    """The descendant rule's query, spelled out."""
    executable, name = at(event, "process.executable"), at(event, "process.name")
    by_helper = at(event, "process.parent.executable") == "/usr/sbin/update-exim4.conf"
    by_systemctl = at(event, "process.parent.executable") in {"/usr/bin/systemctl", "/bin/systemctl"}
    agent = by_systemctl and name == "systemd-tty-ask-password-agent"
    quiet = name in TOOLS or (by_helper and name in HELPED) or agent
    return (
        is_execution(event)
        and has_exim4_leader(event)
        and at(event, "process.parent.name") != "exim4"
        and executable not in {"/usr/sbin/exim4", "/etc/init.d/exim4"}
        and not (quiet and is_inside(executable, "/usr/bin", "/bin"))
    )


def is_from_unusual_path(event: Event) -> bool:
    """The path rule's query, spelled out; every event of the recording has an executable."""
    below = at(event, "process.parent.name") == "exim4" or has_exim4_leader(event)
    return is_execution(event) and below and not is_inside(at(event, "process.executable"), *DIRECTORIES)


RULES: Final[dict[str, tuple[Callable[[Event], bool], str]]] = {
    "exim4_child": (is_child, "process.name"),
    "exim4_descendant": (is_descendant, "process.name"),
    "exim4_unusual_path": (is_from_unusual_path, "process.executable"),
}


def matches(events: list[Event]) -> list[tuple[int, str]]:
    """Line and rule of each match, in order."""
    return [
        (line, rule) for line, event in enumerate(events, 1) for rule, (is_match, _) in RULES.items() if is_match(event)
    ]


def novelties(events: list[Event]) -> Iterator[tuple[int, str]]:
    """Those whose host and term the rule did not match in the fourteen days before."""
    last: dict[tuple[str, str, str], datetime] = {}
    for line, rule in matches(events):
        event = events[line - 1]
        term = (rule, at(event, "host.id"), at(event, RULES[rule][1]))
        now = datetime.fromisoformat(at(event, "@timestamp"))
        if term not in last or now - last[term] > WINDOW:
            yield line, rule
        last[term] = max(now, last.get(term, now))


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """The stored events, first line first."""
    return [json.loads(line) for line in convert.EVENTS.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """What was written down by hand."""
    found: dict[str, Any] = json.loads((convert.HERE / "expected-alerts.json").read_text("utf-8"))
    return found


def test_the_stored_trace_gives_the_stored_events_and_phases() -> None:
    """Conversion is deterministic: byte for byte what is in the repository."""
    stored = convert.EVENTS.read_text("utf-8"), convert.PHASES.read_text("utf-8")

    assert stored == convert.rendered()


def test_every_event_has_the_fields_of_a_process_event(events: list[Event]) -> None:
    """No event lacks a field that Defend always sends."""
    missing = []
    for line, event in enumerate(events, 1):
        for dotted in REQUIRED:
            try:
                at(event, dotted)
            except KeyError:
                missing.append((line, dotted))

    assert [] == missing


def test_identifiers_are_unique_and_in_order(events: list[Event]) -> None:
    """Event ids never repeat, sequence numbers are the line numbers, time never runs back."""
    times = [at(event, "@timestamp") for event in events]

    assert len(events) == len({at(event, "event.id") for event in events})
    assert list(range(1, len(events) + 1)) == [at(event, "event.sequence") for event in events]
    assert sorted(times) == times
    assert {30} == {len(time) for time in times}


def test_actions_and_types_belong_together(events: list[Event]) -> None:
    """A lone action is a text, merged ones are a list; the types say which of them start and end."""
    seen = {(json.dumps(at(event, "event.action")), json.dumps(at(event, "event.type"))) for event in events}

    assert {
        ('"fork"', '["start"]'),
        ('"exec"', '["start"]'),
        ('"end"', '["end"]'),
        ('["fork", "exec"]', '["start"]'),
        ('["exec", "end"]', '["start", "end"]'),
        ('["fork", "end"]', '["start", "end"]'),
        ('["fork", "exec", "end"]', '["start", "end"]'),
    } >= seen
    assert ('["fork", "exec", "end"]', '["start", "end"]') in seen


def test_phases_cover_every_line_ordinary_before_attack(events: list[Event]) -> None:
    """Each line lies in exactly one scene, and no attack comes before the ordinary work is over."""
    phases = json.loads(convert.PHASES.read_text("utf-8"))
    lines = [line for phase in phases for line in range(phase["first"], phase["last"] + 1)]
    kinds = [phase["kind"] for phase in phases]

    assert list(range(1, len(events) + 1)) == lines
    assert sorted(kinds, reverse=True) == kinds
    assert {"ordinary", "attack"} == set(kinds)


def test_brute_force_finds_the_alerts_written_by_hand(events: list[Event], expected: dict[str, Any]) -> None:
    """All first sightings of all three rules, day one included."""
    wanted = [(alert["line"], alert["rule"]) for alert in expected["alerts"]]

    assert list(RULES) == expected["rules"]
    assert wanted == list(novelties(events))


def test_known_names_are_the_matches_that_stay_silent(events: list[Event], expected: dict[str, Any]) -> None:
    """Every match is either listed as an alert or as known already."""
    listed = sorted((entry["line"], entry["rule"]) for key in ("alerts", "silent_matches") for entry in expected[key])

    assert listed == matches(events)


def test_written_alerts_describe_their_events(events: list[Event], expected: dict[str, Any]) -> None:
    """Line, id, names and parent of what is listed are those of the event on that line."""
    listed = [entry for key in ("alerts", "silent_matches", "unseen") for entry in expected[key]]
    found = [
        {
            "line": entry["line"],
            "event_id": at(event, "event.id"),
            "process_name": at(event, "process.name"),
            "parent": f"{at(event, 'process.parent.name')} ({at(event, 'process.parent.pid')})",
        }
        for entry in listed
        for event in [events[entry["line"] - 1]]
    ]

    assert [{key: entry[key] for key in found[0]} for entry in listed] == found


def test_with_alert_from_only_the_attack_alerts(events: list[Event], expected: dict[str, Any]) -> None:
    """The ordinary part builds history alone when `alert_from` lies behind it."""
    attack = next(phase for phase in json.loads(convert.PHASES.read_text("utf-8")) if phase["kind"] == "attack")
    later = [alert["line"] for alert in expected["alerts"] if alert["line"] >= attack["first"]]

    assert later == expected["alert_from"]["lines"]
    assert at(events[attack["first"] - 2], "@timestamp") < expected["alert_from"]["time"]
    assert at(events[attack["first"] - 1], "@timestamp") >= expected["alert_from"]["time"]


def test_unseen_attack_steps_are_no_matches_or_known(expected: dict[str, Any]) -> None:
    """What is listed as a blind spot raises nothing, by none of the rules."""
    alerting = {alert["line"] for alert in expected["alerts"]}

    assert set() == alerting & {entry["line"] for entry in expected["unseen"]}
    assert [] != expected["unseen"]


def test_a_call_cut_in_two_is_read_as_one() -> None:
    """An interrupted exec counts from its second half, an interrupted fork from its first."""
    trace = [
        "7 10.000000001 clone(flags=SIGCHLD <unfinished ...>",
        '8 10.000000002 execve("/bin/a", ["a"], 0x1 /* 1 var */ <unfinished ...>',
        "7 10.000000003 <... clone resumed>, child_tidptr=0x1) = 8",
        "8 10.000000004 <... execve resumed>) = 0",
        '8 10.000000005 execve("/bin/b", ["b"], 0x1 /* 1 var */) = -1 ENOENT (No such file or directory)',
        "8 10.000000006 +++ killed by SIGTERM +++",
    ]

    assert [
        Fork(10_000_000_001, 7, 8),
        Call(10_000_000_004, 8, "execve", '"/bin/a", ["a"], 0x1 /* 1 var */', 0),
        Exit(10_000_000_006, 8, 143),
    ] == records(trace)


def test_a_line_that_is_not_the_tracers_is_refused() -> None:
    """A damaged trace stops the conversion."""
    with pytest.raises(ValueError, match="line 1"):
        records(["no trace"])


@pytest.mark.parametrize(
    ("written", "meant"), [(r"a\"b", 'a"b'), (r"\n\t\\", "\n\t\\"), (r"\303\244", "ä"), (r"\377", "\ufffd"), ("", "")]
)
def test_escapes_of_the_tracer_are_undone(written: str, meant: str) -> None:
    """Quotes, named and octal escapes; what is no UTF-8 becomes U+FFFD."""
    assert meant == unquote(written)


def test_times_move_by_whole_minutes_and_message_ids_with_them() -> None:
    """The second of a minute stays; the base date and the chroot's path are what changes."""
    raw = [
        '5 1795503967.9 execve("/usr/bin/setsid", ["setsid"], 0x1) = 0',
        '5 1795503967.900000000 execve("/usr/local/sbin/maintenance", ["maintenance"], 0x1) = 0',
        '5 1795503968.000000000 execve("/usr/sbin/exim4", ["exim4", "-Mc", "1xVkbQ-000064-2E"], 0x1) = 0',
        "5 1795503969.000000000 fchdir(3</tmp/x/root/var/spool/exim4>) = 0",
    ]

    assert [
        '5 1767600007.900000000 execve("/usr/local/sbin/maintenance", ["maintenance"], 0x1) = 0',
        '5 1767600008.000000000 execve("/usr/sbin/exim4", ["exim4", "-Mc", "1vcfVY-000064-2E"], 0x1) = 0',
        "5 1767600009.000000000 fchdir(3</var/spool/exim4>) = 0",
    ] == list(convert.normalised(raw, "/tmp/x/root"))

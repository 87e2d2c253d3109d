"""From a story's steps to the events of its host, in the order in which a sensor sends them.

The steps become the records that a trace would hold, so that groups, sessions, entry leaders, parents of orphans,
users and merging follow the very rules of the recording: see README.md of tests/recordings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tests.events import raw
from tests.recordings.defend_event import MERGE_WINDOW_NS, Host, document, merged
from tests.recordings.process_table import INIT_PID, Moment, Program, Table
from tests.recordings.strace_lines import Call, Exit, Fork, Record
from tests.scenarios.story import Scene, Step, Story

FIRST_DAY: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""Day 1 of every scenario; all else is counted from it."""

SECOND: Final = 10**9
DAY: Final = 86_400 * SECOND

USERS: Final = {
    0: "root",
    1: "daemon",
    8: "mail",
    33: "www-data",
    38: "list",
    105: "Debian-exim",
    110: "rt",
    1001: "alice",
    1002: "bob",
    1003: "carol",
}
"""Accounts of every host; a user's group has the same number and name."""

_SETUID_ROOT: Final = ("/usr/sbin/exim4", "/usr/sbin/sendmail", "/usr/bin/mailq", "/usr/bin/procmail")
_FIRST_PID: Final = 400
_BEGIN_NS: Final = int(FIRST_DAY.timestamp()) * SECOND
_KERNEL: Final = "6.1.0-amd64 #1 SMP PREEMPT_DYNAMIC Debian"


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it arrives.

    Attributes:
        arrives_ns: When the sensor sends it: nothing more can join it then.
        at_ns: Its `@timestamp`.
        day: Of the scenario.
        scene: Name of the scene whose step it tells of.
        id: Its `event.id`, unique on its host.
        value: The record's bytes.
    """

    arrives_ns: int
    at_ns: int
    day: int
    scene: str
    id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class _Happening:
    """A step on a day of its scene, or the end of the process that it began."""

    at_ns: int
    scene: Scene
    step: Step
    end_of: _Happening | None = None


def host_id(name: str) -> str:
    """The `host.id` on which the scenario of this name plays."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def events_of(story: Story, name: str) -> list[Event]:
    """Play a story on a host of its own; the events in order of their arrival.

    Raises:
        ScenarioError: A step names a process that is not there.
    """
    trace, scenes = _trace(story)
    programs = {path: Program(setuid=0) for path in _SETUID_ROOT}
    executed = {call.args.split('"')[1] for call in trace if isinstance(call, Call) and call.name == "execve"}
    host = Host(
        os_version="12.9",
        kernel=_KERNEL,
        users=USERS,
        groups=USERS,
        programs={path: _digested(path) for path in executed},
        id=host_id(name),
        name=f"{name}.example.test",
        agent_id=f"agent-{name}",
    )
    moments = [moment for moment in Table(programs, _BEGIN_NS - DAY).moments(trace) if moment.at_ns >= _BEGIN_NS]
    chunks = merged(moments) if story.merges else [(moment,) for moment in moments]
    arriving = sorted(_arriving(chunks), key=lambda pair: pair[0])
    return [_event(number, arrives_ns, chunk, scenes, host) for number, (arrives_ns, chunk) in enumerate(arriving, 1)]


def _event(
    number: int, arrives_ns: int, chunk: tuple[Moment, ...], scenes: dict[tuple[int, int], str], host: Host
) -> Event:
    at_ns, pid = chunk[0].at_ns, chunk[0].process.pid
    written = document(number, chunk, host)
    day = (at_ns - _BEGIN_NS) // DAY + 1
    return Event(arrives_ns, at_ns, day, scenes[pid, at_ns], written["event"]["id"], raw(written))


def _arriving(chunks: Sequence[tuple[Moment, ...]]) -> Iterator[tuple[int, tuple[Moment, ...]]]:
    """Each event with the time at which it is complete: at the end, at the next event, or when the window closes."""
    next_of: dict[int, int] = {}
    found: list[tuple[int, tuple[Moment, ...]]] = []
    for chunk in reversed(chunks):
        first, last = chunk[0], chunk[-1]
        if last.kind == "end":
            arrives_ns = last.at_ns
        else:
            arrives_ns = min(first.at_ns + MERGE_WINDOW_NS, next_of.get(first.process.pid, first.at_ns + DAY))
        next_of[first.process.pid] = first.at_ns
        found.append((arrives_ns, chunk))
    return reversed(found)


def _digested(path: str) -> Program:
    """Digests that stand for a program's file: the same path has the same."""
    text = path.encode()
    md5, sha1, sha256 = (
        hashlib.new(kind, text, usedforsecurity=False).hexdigest() for kind in ("md5", "sha1", "sha256")
    )
    return Program(md5=md5, sha1=sha1, sha256=sha256)


def _happenings(story: Story) -> list[_Happening]:
    found: list[_Happening] = []
    for scene in (story.standing, *story.scenes):
        for day in scene.days:
            begin_ns = _BEGIN_NS + (day - 1) * DAY + scene.at_s * SECOND
            for step in scene.steps:
                begins = _Happening(begin_ns + round(step.at_s * SECOND), scene, step)
                found.append(begins)
                if step.lasts_s is not None:
                    found.append(_Happening(begins.at_ns + round(step.lasts_s * SECOND), scene, step, begins))
    return sorted(found, key=lambda happening: happening.at_ns)


def _trace(story: Story) -> tuple[list[Record], dict[tuple[int, int], str]]:
    """The records of the whole story, and the scene of each process and time at which a record stands."""
    names: dict[str, int] = {"init": INIT_PID}
    begun: dict[_Happening, int] = {}
    alive = {INIT_PID}
    trace: list[Record] = []
    scenes: dict[tuple[int, int], str] = {}

    def running(step: Step, name: str) -> int:
        if name not in names:
            step.place.wrong(f"there is no process {name} before this; the file names {', '.join(names)} by then")
        if names[name] not in alive:
            step.place.wrong(f"the process {name} has ended by then")
        return names[name]

    for now in _happenings(story):
        step = now.step
        if now.end_of is not None:
            pid = begun[now.end_of]
            if pid not in alive:
                step.place.wrong(f"the process {step.id} is ended twice")
        elif step.parent is not None:
            parent, pid = running(step, step.parent), _FIRST_PID + len(begun)
            names[step.id] = begun[now] = pid
            alive.add(pid)
            trace.append(Fork(now.at_ns, parent, pid))
        else:
            pid = running(step, step.id)
        scenes[pid, now.at_ns] = now.scene.name
        if now.end_of is not None or step.ends:
            alive.discard(pid)
            trace.append(Exit(now.at_ns, pid, 0))
        else:
            trace.extend(Call(now.at_ns, pid, name, args, 0) for name, args in _calls(step))
    return trace, scenes


def _calls(step: Step) -> Iterator[tuple[str, str]]:
    """The system calls of a step, as a tracer writes them."""
    if step.user is not None:
        number = next((id_ for id_, name in USERS.items() if name == step.user), None)
        if number is None:
            step.place.wrong(f"there is no user {step.user}; there are {', '.join(USERS.values())}")
        yield "setresgid", f"{number}, {number}, {number}"
        yield "setresuid", f"{number}, {number}, {number}"
    if step.cwd is not None:
        yield "chdir", _quoted(step.cwd)
    if step.setsid:
        yield "setsid", ""
    if step.setpgid:
        yield "setpgid", "0, 0"
    if step.exe is not None:
        yield "execve", f"{_quoted(step.exe)}, [{', '.join(map(_quoted, step.args))}]"


def _quoted(text: str) -> str:
    """A text with the tracer's escapes: every byte but plain ones in octal."""
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{plain}"'

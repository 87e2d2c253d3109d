"""Who is who at each moment: a fold over the records of a trace that yields forks, executions and ends."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from tests.recordings.strace_lines import Call, Exit, Fork, Record, path_of_descriptor, strings

INIT_PID: Final = 1
Kind = Literal["fork", "exec", "end"]


@dataclass(frozen=True, slots=True)
class Program:
    """What the trace cannot tell about an executable: its interpreter line, setuid owner and digests."""

    interpreter: tuple[str, ...] = ()
    setuid: int | None = None
    setgid: int | None = None
    md5: str = ""
    sha1: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Ids:
    """Real, effective and saved id of a user or a group."""

    real: int = 0
    effective: int = 0
    saved: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """What a process runs: the path as the kernel was given it, and its arguments."""

    executable: str
    args: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.executable)


@dataclass(frozen=True, slots=True)
class Process:
    """One process as it is at one moment."""

    pid: int
    parent: int
    start_ns: int
    image: Image
    previous: Image
    cwd: str
    group: int
    session: int
    entry: int
    users: Ids = Ids()
    groups: Ids = Ids()
    supplemental: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A fork, an execution or an end, with everybody that an event about it names."""

    kind: Kind
    at_ns: int
    process: Process
    parent: Process
    group_leader: Process
    session_leader: Process
    entry_leader: Process
    ancestry: tuple[Process, ...]
    exit_code: int | None = None


def _init(start_ns: int) -> Process:
    """The first process of the host: it is there before the trace begins and stands for what is outside of it."""
    image = Image("/usr/lib/systemd/systemd", ("/sbin/init",))
    return Process(INIT_PID, 0, start_ns, image, image, "/", INIT_PID, INIT_PID, INIT_PID)


def executed(call: Call, cwd: str, programs: Mapping[str, Program]) -> Image:
    """The image after an execve.

    For a script the kernel keeps the script's path and puts its interpreter before the arguments; the interpreter
    never becomes the name (README.md says on what evidence).
    """
    path, *args = strings(call.args)
    path = posixpath.normpath(posixpath.join(cwd, path))
    interpreter = programs.get(path, Program()).interpreter
    return Image(path, (*interpreter, path, *args[1:]) if interpreter else tuple(args))


def _numbers(args: str) -> list[int]:
    return [int(number) for number in re.findall(r"-?\d+", args)]


def _changed(ids: Ids, call: Call, *, privileged: bool) -> Ids:
    """Real, effective and saved id after a call of the setuid or setgid family."""
    wanted = _numbers(call.args)
    if call.name in {"setuid", "setgid"}:
        only = wanted[0]
        return Ids(only, only, only) if privileged else replace(ids, effective=only)
    keep = (ids.real, ids.effective, ids.saved)
    real, effective, *rest = (old if new == -1 else new for new, old in zip(wanted, keep, strict=False))
    if rest:
        return Ids(real, effective, rest[0])
    moves_saved = wanted[0] != -1 or effective != ids.real
    return Ids(real, effective, effective if moves_saved else ids.saved)


def _after(process: Process, call: Call, programs: Mapping[str, Program]) -> Process:
    """A process after one call of its own."""
    root = process.users.effective == 0
    match call.name:
        case "execve" | "execveat":
            image = executed(call, process.cwd, programs)
            program = programs.get(image.executable, Program())
            users, groups = process.users, process.groups
            if program.setuid is not None:
                users = Ids(users.real, program.setuid, program.setuid)
            if program.setgid is not None:
                groups = Ids(groups.real, program.setgid, program.setgid)
            return replace(process, image=image, previous=process.image, users=users, groups=groups)
        case "chdir":
            return replace(process, cwd=posixpath.normpath(posixpath.join(process.cwd, strings(call.args)[0])))
        case "fchdir":
            return replace(process, cwd=path_of_descriptor(call.args))
        case "setsid":
            return replace(process, group=process.pid, session=process.pid)
        case "setuid" | "setreuid" | "setresuid":
            return replace(process, users=_changed(process.users, call, privileged=root))
        case "setgid" | "setregid" | "setresgid":
            return replace(process, groups=_changed(process.groups, call, privileged=root))
        case "setgroups":
            return replace(process, supplemental=tuple(_numbers(call.args)[1:]))
        case _:
            return process


def _entered(process: Process) -> Process:
    """A session leader that init is the parent of is where its tree was entered; all others inherit that."""
    starts_here = process.session == process.pid and process.parent == INIT_PID
    return replace(process, entry=process.pid) if starts_here else process


class Table:
    """All processes that the trace has named so far, the dead ones too: leaders outlive themselves as a name."""

    def __init__(self, programs: Mapping[str, Program], start_ns: int) -> None:
        """Begin with init alone."""
        self._programs = programs
        self._known: dict[int, Process] = {INIT_PID: _init(start_ns)}
        self._alive: set[int] = {INIT_PID}

    def moments(self, records: Iterable[Record]) -> Iterator[Moment]:
        """Take the records in, in order, and yield what an event can be about."""
        for record in records:
            yield from self._take(record)

    def _take(self, record: Record) -> Iterator[Moment]:
        process = self._find(record)
        match record:
            case Fork(at_ns, _, child):
                self._put(_entered(replace(process, pid=child, parent=process.pid, start_ns=at_ns)))
                yield self._moment("fork", at_ns, child)
            case Exit(at_ns, pid, code):
                yield self._moment("end", at_ns, pid, code)
                self._bury(pid)
            case Call(at_ns, pid, "execve" | "execveat"):
                self._put(_entered(_after(process, record, self._programs)))
                yield self._moment("exec", at_ns, pid)
            case Call(name="setpgid"):
                self._join_group(process, record)
            case Call(name="setsid"):
                self._put(_entered(_after(process, record, self._programs)))
            case Call():
                self._put(_after(process, record, self._programs))

    def _find(self, record: Record) -> Process:
        """The process of a record; the first of the trace has no fork and comes from init."""
        if record.pid not in self._known:
            init = self._known[INIT_PID]
            self._put(
                replace(
                    init,
                    pid=record.pid,
                    parent=INIT_PID,
                    start_ns=record.at_ns,
                    group=record.pid,
                    session=record.pid,
                )
            )
        return self._known[record.pid]

    def _put(self, process: Process) -> None:
        self._known[process.pid] = process
        self._alive.add(process.pid)

    def _join_group(self, caller: Process, call: Call) -> None:
        who, group = _numbers(call.args)
        target = self._known[who or caller.pid]
        self._put(replace(target, group=group or target.pid))

    def _bury(self, pid: int) -> None:
        """Hand the children of a dead process to init."""
        self._alive.discard(pid)
        for other in sorted(self._alive):
            if self._known[other].parent == pid:
                self._known[other] = replace(self._known[other], parent=INIT_PID)

    def _ancestry(self, process: Process) -> Iterator[Process]:
        while process.parent:
            process = self._known[process.parent]
            yield process

    def _moment(self, kind: Kind, at_ns: int, pid: int, exit_code: int | None = None) -> Moment:
        process = self._known[pid]
        return Moment(
            kind,
            at_ns,
            process,
            self._known[process.parent],
            self._known[process.group],
            self._known[process.session],
            self._known[process.entry],
            tuple(self._ancestry(process)),
            exit_code,
        )

"""One event as Elastic Defend writes it: which moments share a document, and the document."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.recordings.process_table import INIT_PID, Image, Moment, Process, Program

# How long the sensor holds an event back to merge the next one of the same process into it (README.md).
MERGE_WINDOW_NS: Final = 1_000_000_000
AGENT_ID: Final = "5f0c6f1e-6a0b-4c0e-9d5e-1b8f3a7c2d40"
HOST_ID: Final = "8c1f4b7e93d24a0fb6e5d2719a3c48f0"
HOST_NAME: Final = "mail01.example.test"
_TYPES: Final = {"fork": "start", "exec": "start", "end": "end"}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Host:
    """What was noted about a system beside the trace."""

    os_version: str
    kernel: str
    users: Mapping[int, str]
    groups: Mapping[int, str]
    programs: Mapping[str, Program] = field(default_factory=dict)
    id: str = HOST_ID
    name: str = HOST_NAME
    agent_id: str = AGENT_ID


def merged(moments: Iterable[Moment]) -> list[tuple[Moment, ...]]:
    """Put moments of one process into one tuple where the sensor would: fork with exec, either with end.

    An exec never joins an exec, and nothing joins what began longer ago than the window. Ordered by first moment.
    """
    closed: list[list[Moment]] = []
    open_: dict[int, list[Moment]] = {}
    for moment in moments:
        pid = moment.process.pid
        chunk = open_.get(pid)
        joins = (
            chunk is not None
            and moment.at_ns - chunk[0].at_ns <= MERGE_WINDOW_NS
            and (moment.kind == "end" or (moment.kind == "exec" and chunk[-1].kind == "fork"))
        )
        if chunk is not None and joins:
            chunk.append(moment)
        else:
            open_[pid] = [moment]
            closed.append(open_[pid])
    return [tuple(chunk) for chunk in closed]


def timestamp(at_ns: int) -> str:
    """A time with nine fractional digits."""
    return f"{datetime.fromtimestamp(at_ns // 10**9, tz=UTC):%Y-%m-%dT%H:%M:%S}.{at_ns % 10**9:09d}Z"


def _start(at_ns: int) -> str:
    """A start time in the kernel's ticks of 10 ms."""
    return f"{datetime.fromtimestamp(at_ns // 10**9, tz=UTC):%Y-%m-%dT%H:%M:%S}.{at_ns % 10**9 // 10**7:02d}Z"


def _entity_id(process: Process, host: Host) -> str:
    text = f"{host.agent_id}-{process.pid}-{process.start_ns // 10**9}"
    return base64.b64encode(text.encode()).decode()


def _event_id(sequence: int, chunk: tuple[Moment, ...]) -> str:
    """An id with the alphabet and length of the sensor's, from the event's place alone."""
    seed = f"{sequence}-{chunk[0].process.pid}-{chunk[0].at_ns}".encode()
    return base64.b64encode(hashlib.sha256(seed).digest()[:18]).decode()


def _image(image: Image) -> Document:
    return {"args": list(image.args), "args_count": len(image.args), "executable": image.executable}


def _named(id_: int, names: Mapping[int, str]) -> Document:
    return {"id": id_, "name": names[id_]} if id_ in names else {"id": id_}


def _identity(process: Process, host: Host) -> Document:
    """The fields that a process carries whatever its part in the event is."""
    supplemental = [_named(group, host.groups) for group in process.supplemental]
    return {
        **_image(process.image),
        "entity_id": _entity_id(process, host),
        "group": _named(process.groups.effective, host.groups),
        "interactive": False,
        "name": process.image.name,
        "pid": process.pid,
        "real_group": _named(process.groups.real, host.groups),
        "real_user": _named(process.users.real, host.users),
        "start": _start(process.start_ns),
        **({"supplemental_groups": supplemental} if supplemental else {}),
        "user": _named(process.users.effective, host.users),
        "working_directory": process.cwd,
    }


def _leader(leader: Process, of: Process, host: Host) -> Document:
    return {**_identity(leader, host), "same_as_process": leader.pid == of.pid}


def _entry_leader(moment: Moment, host: Host) -> Document:
    """The entry leader, with how its tree was entered: everything here comes from init."""
    leader = moment.entry_leader
    parent: Document = {}
    if leader.pid != INIT_PID:
        init = moment.ancestry[-1]
        parent = {"parent": {"entity_id": _entity_id(init, host), "pid": init.pid, "start": _start(init.start_ns)}}
    return {**_leader(leader, moment.process, host), "entry_meta": {"type": "init"}, **parent}


def _process(chunk: tuple[Moment, ...], host: Host) -> Document:
    told = next((moment for moment in reversed(chunk) if moment.kind == "exec"), chunk[0])
    process, last = told.process, chunk[-1]
    program = host.programs.get(process.image.executable)
    hashes = {"md5": program.md5, "sha1": program.sha1, "sha256": program.sha256} if program else {}
    ended = {"end": timestamp(last.at_ns), "exit_code": last.exit_code} if last.kind == "end" else {}
    return {
        **_identity(process, host),
        "Ext": {"ancestry": [_entity_id(ancestor, host) for ancestor in told.ancestry]},
        "command_line": " ".join(process.image.args),
        **ended,
        "entry_leader": _entry_leader(told, host),
        "group_leader": _leader(told.group_leader, process, host),
        **({"hash": hashes} if hashes else {}),
        "parent": {**_identity(told.parent, host), "command_line": " ".join(told.parent.image.args)},
        **({"previous": [_image(process.previous)]} if told.kind == "exec" else {}),
        "session_leader": _leader(told.session_leader, process, host),
    }


def document(sequence: int, chunk: tuple[Moment, ...], host: Host) -> Document:
    """The event for the moments that share it."""
    process = _process(chunk, host)
    kinds = [moment.kind for moment in chunk]
    at = timestamp(chunk[0].at_ns)
    return {
        "@timestamp": at,
        "agent": {"id": host.agent_id, "type": "endpoint", "version": "8.18.2"},
        "data_stream": {"dataset": "endpoint.events.process", "namespace": "default", "type": "logs"},
        "ecs": {"version": "8.10.0"},
        "elastic": {"agent": {"id": host.agent_id}},
        "event": {
            "action": kinds[0] if len(kinds) == 1 else list(kinds),
            "category": ["process"],
            "created": at,
            "dataset": "endpoint.events.process",
            "id": _event_id(sequence, chunk),
            "kind": "event",
            "module": "endpoint",
            "outcome": "unknown",
            "sequence": sequence,
            "type": list(dict.fromkeys(_TYPES[kind] for kind in kinds)),
        },
        "group": {"Ext": {"real": process["real_group"]}, **process["group"]},
        "host": {
            "architecture": "x86_64",
            "hostname": host.name,
            "id": host.id,
            "ip": ["127.0.0.1", "192.0.2.25"],
            "mac": ["02-00-00-00-00-25"],
            "name": host.name,
            "os": {
                "Ext": {"variant": "Debian"},
                "family": "debian",
                "full": f"Debian {host.os_version}",
                "kernel": host.kernel,
                "name": "Linux",
                "platform": "debian",
                "type": "linux",
                "version": host.os_version,
            },
        },
        "message": "Endpoint process event",
        "process": process,
        "user": {"Ext": {"real": process["real_user"]}, **process["user"]},
    }

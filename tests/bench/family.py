"""A busy mail server's executions, as a sensor sees them: what the benchmarks of the lineage are fed with.

The shapes are those of the recording (tests/recordings): a delivering `exim4 -Mc` below a fork of the daemon that
executed nothing itself; procmail below a fork of that delivery, a script and `wc` below procmail. Events are merged, so
that what is deeper comes first. Of the daemon itself only the queue runs are children. Entity ids are never used again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from app.core.clock import format_time
from app.core.duration import SECOND
from app.core.event import JsonObject
from app.tools.generator import Host

EXECUTIONS_AN_HOUR: Final = 10_000
"""Of a busy host's family."""

_QUEUE_RUNS_AN_HOUR: Final = 2
_PROCMAIL_SHARE: Final = 0.4
_EXIM: Final = ("Debian-exim", 105)
_ROOT: Final = ("root", 0)
_USERS: Final = (("alice", 1001), ("bob", 1002), ("carol", 1003))
_FIRST_PID: Final = 1_000
_LAST_PID: Final = 4_194_304
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

EXECUTIONS_A_MAIL: Final = 1 + 3 * _PROCMAIL_SHARE
"""Mean executions of a mail, but for queue runs."""


class MailHost:
    """One host whose exim4 delivers mail; the same number gives the same executions."""

    def __init__(self, number: int, begin: int) -> None:
        """Start its daemon.

        Args:
            number: Which host of the fleet.
            begin: When the daemon started, nanoseconds since 1970.
        """
        self._host = Host(number)
        self._random = Random(f"mail host {number}")
        self._agent = f"{self._random.getrandbits(128):032x}"
        self._pid = _FIRST_PID
        self._events = 0
        self.id = self._host.id
        self.daemon = self._process(begin, "/usr/sbin/exim4", ["/usr/sbin/exim4", "-bd", "-q30m"], _EXIM)
        self._shared = {
            "agent": {"id": self._agent, "type": "endpoint", "version": "8.17.3"},
            "data_stream": {"type": "logs", "dataset": "endpoint.events.process", "namespace": "default"},
            "ecs": {"version": "8.10.0"},
            "host": {
                "id": self.id,
                "name": self._host.name,
                "hostname": self._host.name,
                "architecture": "x86_64",
                "ip": [f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", "127.0.0.1", "::1"],
                "os": {"type": "linux", "name": "Linux", "family": "debian", "platform": "debian", "version": "12.9"},
            },
            "message": "Endpoint process event",
        }

    def started(self) -> JsonObject:
        """The daemon's own execution, by the init script."""
        return self._event(
            self.daemon, [self._process(0, "/usr/lib/systemd/systemd", ["/sbin/init"], _ROOT)], self.daemon
        )

    def mail(self, at: int) -> Iterator[JsonObject]:
        """The executions of one mail, and now and then of a queue run before it, in the order of their arrival.

        Args:
            at: When, nanoseconds since 1970.
        """
        daemon = self.daemon
        if self._random.random() < _QUEUE_RUNS_AN_HOUR * EXECUTIONS_A_MAIL / EXECUTIONS_AN_HOUR:
            run = self._process(at, "/usr/sbin/exim4", ["/usr/sbin/exim4", "-q"], _EXIM)
            yield self._event(run, [daemon], daemon)
        receiver = self._fork(daemon, at)
        arguments = ["/usr/sbin/exim4", "-Mc", self._message_id()]
        delivery = self._process(at + 20_000_000, "/usr/sbin/exim4", arguments, _ROOT)
        if self._random.random() < _PROCMAIL_SHARE:
            user = self._random.choice(_USERS)
            transport = self._fork(delivery, at + 30_000_000)
            procmail = self._process(at + 32_000_000, "/usr/bin/procmail", ["/usr/bin/procmail"], user)
            script = ["/bin/sh", "/usr/local/bin/note-mail", user[0]]
            note = self._process(at + 40_000_000, "/usr/local/bin/note-mail", script, user)
            count = self._process(at + 44_000_000, "/usr/bin/wc", ["wc", "-c"], user)
            above = [transport, delivery, receiver, daemon]
            yield self._event(count, [note, procmail, *above], procmail)
            yield self._event(note, [procmail, *above], procmail)
            yield self._event(procmail, above, procmail)
        yield self._event(delivery, [receiver, daemon], daemon)

    def _process(self, start: int, executable: str, arguments: list[str], user: tuple[str, int]) -> dict[str, Any]:
        self._pid = _FIRST_PID if self._pid == _LAST_PID else self._pid + 1
        owner = {"name": user[0], "id": user[1]}
        return {
            "pid": self._pid,
            "entity_id": base64.b64encode(f"{self._agent}-{self._pid}-{start // SECOND}".encode()).decode(),
            "name": executable.rpartition("/")[2],
            "executable": executable,
            "args": arguments,
            "args_count": len(arguments),
            "command_line": " ".join(arguments),
            "working_directory": "/var/spool/exim4",
            "interactive": False,
            "start": format_time(start - start % 10_000_000),
            "user": owner,
            "group": owner,
        }

    def _fork(self, of: dict[str, Any], start: int) -> dict[str, Any]:
        """A process that executes nothing: the image of the one that it came from."""
        return self._process(start, of["executable"], of["args"], (of["user"]["name"], of["user"]["id"]))

    def _event(self, process: dict[str, Any], above: list[dict[str, Any]], group: dict[str, Any]) -> JsonObject:
        self._events += 1
        daemon = self.daemon
        when = process["start"]
        return {
            **self._shared,
            "@timestamp": when,
            "event": {
                "action": ["fork", "exec", "end"],
                "category": ["process"],
                "type": ["start", "end"],
                "kind": "event",
                "module": "endpoint",
                "dataset": "endpoint.events.process",
                "id": f"{self._agent[:16]}+{self._events}",
                "sequence": self._events,
                "created": when,
            },
            "process": {
                **process,
                "hash": {"sha256": _SHA256[process["name"]]},
                "Ext": {"ancestry": [one["entity_id"] for one in above]},
                "parent": above[0],
                "group_leader": group,
                "session_leader": daemon,
                "entry_leader": daemon,
            },
            "user": process["user"],
        }

    def _message_id(self) -> str:
        letters = "".join(self._random.choices(_LETTERS, k=14))
        return f"1{letters[:5]}-{letters[5:11]}-{letters[11:13]}"


_SHA256: Final = {name: f"{Random(name).getrandbits(256):064x}" for name in ("exim4", "procmail", "note-mail", "wc")}

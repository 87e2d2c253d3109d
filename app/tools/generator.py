"""Ordinary process events of a Linux fleet, shaped like Elastic Defend's: noise for the demo and the benchmarks.

Pure: the same random source and times give the same bytes. No event names exim4.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import msgspec

from app.core.clock import format_time
from app.core.duration import SECOND
from app.core.event import JsonObject

_PROGRAMS: Final = (
    ("/usr/bin/ls", "-la {path}"),
    ("/usr/bin/cat", "{path}"),
    ("/usr/bin/grep", "-rn {word} {path}"),
    ("/usr/bin/find", "{path} -name *.{word} -mtime +{number}"),
    ("/usr/bin/sed", "-e s/{word}/{word}/g {path}"),
    ("/usr/bin/awk", "{{print ${number}}} {path}"),
    ("/usr/bin/python3.11", "{path}/{word}.py --{word} {number}"),
    ("/usr/bin/perl", "-w {path}/{word}.pl"),
    ("/usr/bin/curl", "-sS --max-time {number} https://{word}.example.test/{word}"),
    ("/usr/bin/rsync", "-a --delete {path}/ backup.example.test:{path}/"),
    ("/usr/bin/tar", "czf /var/backups/{word}-{number}.tar.gz {path}"),
    ("/usr/bin/gzip", "-9 {path}/{word}.log.{number}"),
    ("/usr/sbin/logrotate", "/etc/logrotate.d/{word}"),
    ("/usr/bin/dpkg-query", "-W -f=${{Version}} {word}"),
    ("/usr/bin/apt-get", "-qq update"),
    ("/usr/bin/systemd-tmpfiles", "--clean {path}"),
    ("/usr/bin/git", "-C {path} fetch --prune"),
    ("/usr/bin/ssh-keygen", "-lf /etc/ssh/ssh_host_{word}_key.pub"),
    ("/usr/bin/psql", "-U {word} -c select {number}"),
    ("/usr/bin/php8.2", "-f {path}/{word}.php"),
    ("/usr/bin/node", "{path}/{word}.js --port {number}"),
    ("/usr/bin/make", "-C {path} -j{number}"),
    ("/usr/bin/uptime", "-p"),
    ("/usr/bin/df", "-P {path}"),
    ("/usr/bin/ps", "axo pid,user,{word}"),
    ("/usr/bin/sensors", "-u"),
    ("/usr/lib/nagios/plugins/check_disk", "-w {number}% -c 5% -p {path}"),
    ("/usr/bin/docker", "inspect {word}-{number}"),
    ("/usr/bin/mysqldump", "--single-transaction {word}"),
    ("/usr/bin/openssl", "x509 -noout -enddate -in {path}/{word}.pem"),
)
_ENTRIES: Final = (
    ("/usr/sbin/sshd", "sshd: {user} [priv]", "sshd", True),
    ("/usr/sbin/cron", "/usr/sbin/CRON -f", "init", False),
    ("/usr/lib/systemd/systemd", "/lib/systemd/systemd --system", "init", False),
    ("/usr/sbin/nagios-nrpe", "/usr/sbin/nrpe -c /etc/nagios/nrpe.cfg -f", "init", False),
)
_SHELLS: Final = ("/usr/bin/bash", "/usr/bin/dash", "/usr/bin/zsh")
_USERS: Final = (("root", 0), ("www-data", 33), ("backup", 34), ("postgres", 110), ("anna", 1000), ("deploy", 1001))
_WORDS: Final = (
    "access",
    "billing",
    "cache",
    "catalog",
    "daily",
    "export",
    "fetch",
    "geo",
    "http",
    "index",
    "invoice",
    "job",
    "kernel",
    "ledger",
    "mail",
    "metrics",
    "nginx",
    "order",
    "payment",
    "queue",
    "report",
    "search",
    "session",
    "stats",
    "sync",
    "tenant",
    "upload",
    "user",
    "vault",
    "weekly",
    "worker",
    "zone",
)
_PATHS: Final = ("/var/log", "/srv/www", "/home/anna/src", "/var/lib/postgresql", "/opt/app/releases", "/etc")


@dataclass(frozen=True, slots=True)
class Host:
    """A host of the made-up fleet."""

    number: int

    @property
    def name(self) -> str:
        """Its name, under a domain that no one owns."""
        return f"node{self.number:05d}.example.test"

    @property
    def id(self) -> str:
        """Its machine id: 32 hex digits."""
        return Random(f"host {self.number}").randbytes(16).hex()


def ordinary_event(random: Random, host: Host, time: int, *, small: bool = False) -> bytes:
    """One execution on a host: about 4.9 KB as JSON, about 2.4 KB if `small`.

    Args:
        random: Decides what runs, as whom, under what.
        host: Where.
        time: When, nanoseconds since 1970.
        small: Leave out the leaders' details, as sensors with a lean configuration do.
    """
    return msgspec.json.encode(ordinary_document(random, host, time, small=small))


def ordinary_document(random: Random, host: Host, time: int, *, small: bool = False) -> JsonObject:
    """The same as an object, to be changed by a caller that wants something less ordinary."""
    entry_path, entry_command, entry_type, interactive = random.choice(_ENTRIES)
    user = random.choice(_USERS)
    pids = [random.randrange(400, 4_000_000) for _ in range(4)]
    starts = [time - random.randrange(10**9, 10**14) for _ in range(3)]
    entry = _process(
        host, random, pids[0], starts[0], entry_path, entry_command.format(user=user[0]), ("root", 0), interactive
    )
    shell = random.choice(_SHELLS)
    leader = _process(host, random, pids[1], starts[1], shell, f"-{shell.rpartition('/')[2]}", user, interactive)
    parent_command = f"{shell} {_fill(random, '{path}/{word}.sh {word}')}"
    parent = _process(host, random, pids[2], starts[2], shell, parent_command, user, interactive)
    path, arguments = random.choice(_PROGRAMS)
    process = _process(host, random, pids[3], time, path, f"{path} {_fill(random, arguments)}", user, interactive)
    ids = [part["entity_id"] for part in (parent, leader, entry)]
    entry["entry_meta"] = {"type": entry_type}
    process |= {
        "parent": parent,
        "group_leader": _brief(leader) if small else leader,
        "session_leader": _brief(leader) if small else leader,
        "entry_leader": _brief(entry) if small else entry,
        "Ext": {"ancestry": ids[: 1 if small else 3]},
        "hash": {"sha256": random.randbytes(32).hex()},
    }
    short_lived = random.random() < 0.5
    when = format_time(time)
    return {
        "@timestamp": when,
        "agent": {"id": host.id[:8] + "-agent", "type": "endpoint", "version": "8.17.3"},
        "data_stream": {"type": "logs", "dataset": "endpoint.events.process", "namespace": "default"},
        "ecs": {"version": "8.10.0"},
        "event": {
            "action": ["fork", "exec", "end"] if short_lived else ["exec"],
            "category": ["process"],
            "type": ["start", "end"] if short_lived else ["start"],
            "kind": "event",
            "module": "endpoint",
            "dataset": "endpoint.events.process",
            "id": base64.b64encode(random.randbytes(16)).decode(),
            "sequence": random.randrange(10**7),
            "created": when,
        },
        "host": _host(host),
        "message": "Endpoint process event",
        "process": process,
        "user": {"name": user[0], "id": user[1]},
        "group": {"name": user[0], "id": user[1]},
    }


def _process(
    host: Host, random: Random, pid: int, start: int, executable: str, command: str, user: tuple[str, int], tty: bool
) -> dict[str, Any]:
    arguments = command.split()
    identity = f"{host.id}-{pid}-{start // SECOND}.{start % SECOND}".encode()
    owner = {"name": user[0], "id": user[1]}
    return {
        "pid": pid,
        "entity_id": base64.b64encode(identity).decode(),
        "name": executable.rpartition("/")[2],
        "executable": executable,
        "args": arguments,
        "args_count": len(arguments),
        "command_line": " ".join(arguments),
        "working_directory": random.choice(_PATHS),
        "interactive": tty,
        "start": format_time(start),
        "user": owner,
        "group": owner,
        "real_user": owner,
        "real_group": owner,
        "supplemental_groups": [owner],
        "tty": {"char_device": {"major": 136, "minor": pid % 16}} if tty else {"char_device": {"major": 0, "minor": 0}},
        "same_as_process": False,
    }


def _brief(process: dict[str, Any]) -> dict[str, Any]:
    kept = ("pid", "entity_id", "name", "executable", "entry_meta")
    return {key: process[key] for key in kept if key in process}


def _host(host: Host) -> JsonObject:
    return {
        "id": host.id,
        "name": host.name,
        "hostname": host.name,
        "architecture": "x86_64",
        "ip": [f"10.{host.number >> 16 & 255}.{host.number >> 8 & 255}.{host.number & 255}", "127.0.0.1", "::1"],
        "mac": [f"02-00-{host.number >> 24 & 255:02x}-{host.number >> 16 & 255:02x}-00-{host.number & 255:02x}"],
        "os": {
            "type": "linux",
            "name": "Linux",
            "family": "debian",
            "full": "Debian 12.11",
            "kernel": "6.1.0-37-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)",
            "platform": "debian",
            "version": "12.11",
        },
    }


def _fill(random: Random, template: str) -> str:
    return template.format(path=random.choice(_PATHS), word=random.choice(_WORDS), number=random.randrange(1, 100))

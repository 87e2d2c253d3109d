"""Ordinary process events of a Linux fleet, shaped like Elastic Defend's: noise for the demo and the benchmarks.

Pure: the same random source and times give the same bytes. No event names exim4. As varied as a fleet's, so that
batches of them compress as real ones do (some five to seven times): ids, starts, hashes and arguments differ.
"""

from __future__ import annotations

import base64
import functools
import hashlib
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
    ("/usr/bin/python3.11", "{path}/{word}.py --{word} {number} --run {id}"),
    ("/usr/bin/perl", "-w {path}/{word}.pl"),
    ("/usr/bin/curl", "-sS --max-time {number} https://{word}.example.test/{word}/{id}"),
    ("/usr/bin/rsync", "-a --delete {path}/ backup.example.test:{path}/"),
    ("/usr/bin/tar", "czf /var/backups/{word}-{id}.tar.gz {path}"),
    ("/usr/bin/gzip", "-9 {path}/{word}.log.{number}"),
    ("/usr/sbin/logrotate", "/etc/logrotate.d/{word}"),
    ("/usr/bin/dpkg-query", "-W -f=${{Version}} {word}"),
    ("/usr/bin/apt-get", "-qq update"),
    ("/usr/bin/systemd-tmpfiles", "--clean {path}"),
    ("/usr/bin/git", "-C {path} fetch --prune origin {id}"),
    ("/usr/bin/ssh-keygen", "-lf /etc/ssh/ssh_host_{word}_key.pub"),
    ("/usr/bin/psql", "-U {word} -c select {number}"),
    ("/usr/bin/php8.2", "-f {path}/{word}.php session={id}"),
    ("/usr/bin/node", "{path}/{word}.js --port {number}"),
    ("/usr/bin/make", "-C {path} -j{number}"),
    ("/usr/bin/uptime", "-p"),
    ("/usr/bin/df", "-P {path}"),
    ("/usr/bin/ps", "axo pid,user,{word}"),
    ("/usr/bin/sensors", "-u"),
    ("/usr/lib/nagios/plugins/check_disk", "-w {number}% -c 5% -p {path}"),
    ("/usr/bin/docker", "inspect {id}"),
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
_USERS: Final = (
    ("root", 0),
    ("www-data", 33),
    ("backup", 34),
    ("postgres", 110),
    ("nagios", 115),
    ("redis", 118),
    ("anna", 1000),
    ("deploy", 1001),
    ("jenkins", 1002),
    ("mehmet", 1003),
    ("olga", 1004),
    ("siobhan", 1017),
)
_GROUPS: Final = (("adm", 4), ("tty", 5), ("sudo", 27), ("ssl-cert", 112), ("docker", 998), ("staff", 50))
_RELEASES: Final = (
    ("11.11", "5.10.0-35-amd64 #1 SMP Debian 5.10.237-1 (2025-05-19)"),
    ("12.9", "6.1.0-29-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.123-1 (2025-01-02)"),
    ("12.11", "6.1.0-37-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)"),
    ("13.1", "6.12.43+deb13-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.43-1 (2025-08-27)"),
)
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


_TICK: Final = 10**7


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
        return _machine_id(self.number)


def ordinary_event(random: Random, host: Host, time: int, *, small: bool = False) -> bytes:
    """One execution on a host: about 4.9 KB as JSON, about 2.4 KB if `small`.

    Args:
        random: Decides what runs, as whom, under what.
        host: Where.
        time: When, nanoseconds since 1970.
        small: Leave out the leaders' details and the lesser ids, as sensors with a lean configuration do.
    """
    return msgspec.json.encode(ordinary_document(random, host, time, small=small))


def ordinary_document(random: Random, host: Host, time: int, *, small: bool = False) -> JsonObject:
    """The same as an object, to be changed by a caller that wants something less ordinary."""
    entry_path, entry_command, entry_type, interactive = random.choice(_ENTRIES)
    user = random.choice(_USERS)
    shell, login_shell = random.choice(_SHELLS), random.choice(_SHELLS)
    path, arguments = random.choice(_PROGRAMS)
    made = _Maker(random, host, interactive, small)
    root = _USERS[0]
    entry = made.process(_before(random, time, small), entry_path, entry_command.format(user=user[0]), root)
    session = made.process(_before(random, time, small), login_shell, f"-{_file_name(login_shell)}", user)
    script = _fill(random, "{path}/{word}.sh {word} --job {id}")
    parent = made.process(_before(random, time, small), shell, f"{shell} {script}", user)
    group = made.process(_before(random, time, small), shell, f"{shell} -c {_fill(random, '{word} {id}')}", user)
    process = made.process(time, path, f"{path} {_fill(random, arguments)}", user)
    ids = [part["entity_id"] for part in (parent, session, entry)]
    entry["entry_meta"] = _entry_meta(random, entry_type)
    if small:
        process |= {"parent": parent, "session_leader": _brief(session), "entry_leader": _brief(entry)}
        process["Ext"] = {"ancestry": ids[:1]}
    else:
        process |= {"parent": parent, "group_leader": group, "session_leader": session, "entry_leader": entry}
        process["Ext"] = {"ancestry": ids}
        process["hash"] = {"sha256": _sha256(host.number % len(_RELEASES), path)}
        process["env_vars"] = [
            f"INVOCATION_ID={random.getrandbits(128):032x}",
            f"JOURNAL_STREAM=8:{random.randrange(10**8)}",
            f"SSH_CLIENT=10.{random.randrange(256)}.{random.randrange(256)}.7 {random.randrange(1024, 65536)} 22",
        ]
    return _envelope(random, host, time) | {"process": process, "user": process["user"], "group": process["user"]}


def _envelope(random: Random, host: Host, time: int) -> JsonObject:
    """Everything around the process."""
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
        "host": _host(host.number),
        "message": "Endpoint process event",
    }


class _Maker:
    """Makes the processes of one event."""

    def __init__(self, random: Random, host: Host, tty: bool, small: bool) -> None:
        self._random = random
        self._host_id = host.id
        self._tty = tty
        self._small = small

    def process(self, start: int, executable: str, command: str, user: tuple[str, int]) -> dict[str, Any]:
        random = self._random
        arguments = command.split()
        pid = random.randrange(400, 4_000_000)
        identity = f"{self._host_id}-{pid}-{start // SECOND}.{start % SECOND}".encode()
        owner = {"name": user[0], "id": user[1]}
        made = {
            "pid": pid,
            "entity_id": base64.b64encode(identity).decode(),
            "name": _file_name(executable),
            "executable": executable,
            "args": arguments,
            "args_count": len(arguments),
            "command_line": " ".join(arguments),
            "working_directory": _fill(random, "{path}/{word}"),
            "interactive": self._tty,
            "start": format_time(start),
            "user": owner,
            "group": owner,
            "real_user": owner,
            "real_group": owner,
        }
        if not self._small:
            name, number = random.choice(_GROUPS)
            device = (136, pid % 16) if self._tty else (0, 0)
            made |= {
                "same_as_process": False,
                "supplemental_groups": [owner, {"name": name, "id": number}],
                "tty": {"char_device": {"major": device[0], "minor": device[1]}},
            }
        return made


def _brief(process: dict[str, Any]) -> dict[str, Any]:
    kept = ("pid", "name", "executable", "entry_meta")
    return {key: process[key] for key in kept if key in process}


def _entry_meta(random: Random, kind: str) -> JsonObject:
    if kind != "sshd":
        return {"type": kind}
    return {"type": kind, "source": {"ip": f"10.{random.randrange(256)}.{random.randrange(256)}.7"}}


def _before(random: Random, time: int, small: bool) -> int:
    """Anything from a second to a day earlier; small events have it in the kernel's ticks of 10 ms."""
    start = time - random.randrange(10**9, 10**14)
    return start - start % _TICK if small else start


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _fill(random: Random, template: str) -> str:
    return template.format(
        path=random.choice(_PATHS),
        word=random.choice(_WORDS),
        number=random.randrange(1, 100),
        id=f"{random.getrandbits(48):012x}",
    )


@functools.cache
def _sha256(release: int, executable: str) -> str:
    """The same program has the same hash on all hosts of a release."""
    return hashlib.sha256(f"{release} {executable}".encode()).hexdigest()


@functools.lru_cache(maxsize=10_000)
def _machine_id(number: int) -> str:
    return Random(f"host {number}").randbytes(16).hex()


def _host(number: int) -> JsonObject:
    host = Host(number)
    version, kernel = _RELEASES[number % len(_RELEASES)]
    return {
        "id": host.id,
        "name": host.name,
        "hostname": host.name,
        "architecture": "x86_64",
        "ip": [f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", "127.0.0.1", "::1"],
        "mac": [f"02-00-{number >> 24 & 255:02x}-{number >> 16 & 255:02x}-00-{number & 255:02x}"],
        "os": {
            "type": "linux",
            "name": "Linux",
            "family": "debian",
            "full": f"Debian {version}",
            "kernel": kernel,
            "platform": "debian",
            "version": version,
        },
    }

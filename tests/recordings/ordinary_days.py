"""Ordinary days of a mail host: the recording's, whole and as systemd would have it, and what it has no scene of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.events import event
from tests.recordings import convert

Document = dict[str, Any]

INIT_SCRIPT: Final = "/etc/init.d/exim4"
STAGEHAND: Final = "maintenance"
"""Who plays the administrator in the recording, and so leads what the init script starts."""

DELIVERY: Final = "/usr/sbin/exim4"


@dataclass(frozen=True, slots=True)
class Day:
    """One day's events, in order."""

    title: str
    events: tuple[Document, ...]


_DELIVERIES: Final = (
    # Debian's packages, as their manuals have exim4 run them.
    "/usr/bin/procmail /bin/sh /usr/bin/formail",
    "/usr/bin/procmail /usr/bin/spamc",
    "/usr/bin/procmail /usr/sbin/sendmail /usr/sbin/exim4",
    "/usr/bin/maildrop /bin/sh /usr/bin/reformail",
    "/usr/bin/maildrop /usr/bin/spamc",
    "/usr/bin/vacation /usr/sbin/sendmail /usr/sbin/exim4",
    "/usr/bin/spamc",
    "/usr/sbin/exim4",  # a transport that hands the mail to exim again, as for SpamAssassin
    "/usr/lib/dovecot/dovecot-lda /usr/sbin/sendmail",
    "/usr/bin/rt-mailgate",
    "/usr/lib/sympa/bin/queue",
    "/var/lib/mailman/mail/mailman",
    "/usr/bin/python3",  # what mailman's wrapper becomes, in place
    # What people install themselves.
    "/opt/otrs/bin/otrs.Console.pl",
    "/bin/sh /usr/bin/php",
    "/usr/local/bin/file-mail /usr/bin/grep",
    "/usr/local/bin/file-mail /usr/bin/sort",
    "/usr/local/bin/file-mail /usr/bin/sed",
    "/usr/local/bin/file-mail /usr/bin/date",
    "/usr/local/bin/file-mail /usr/bin/mktemp",
    "/usr/local/bin/file-mail /bin/gzip",
)
"""Below the delivering exim4, which leads their session."""

_HOUSEKEEPING: Final = (
    # /etc/cron.daily/exim4-base, run by its systemd timer or by cron.
    "/usr/sbin/exim4",
    "/usr/bin/sed",
    "/usr/bin/hostname",
    "/usr/bin/grep",
    "/usr/bin/wc",
    "/usr/sbin/eximstats",
    "/usr/bin/mail /usr/sbin/sendmail /usr/sbin/exim4",
    "/usr/bin/tail",
    "/usr/bin/logger",
    "/usr/bin/find",
    "/usr/bin/xargs /sbin/start-stop-daemon",
    "/usr/bin/xargs /usr/sbin/exim_tidydb",
    "/usr/sbin/logrotate /bin/sh /bin/gzip",
)
"""Below exim4-base, which leads their session: nothing of exim4's family but the mails that it sends."""


def ordinary_days() -> tuple[Day, ...]:
    """All of them."""
    whole = _whole_recording()
    return (
        Day("the recording as it is stored", tuple(_stored_recording())),
        Day("the recording, nothing left out", tuple(whole)),
        Day("the same, its init script run by systemd", tuple(_under_systemd(whole))),
        Day("delivery programs and filters", tuple(_chains(_DELIVERIES, DELIVERY, "exim4"))),
        Day(
            "the package's daily housekeeping",
            tuple(_chains(_HOUSEKEEPING, "/etc/cron.daily/exim4-base", "exim4-base")),
        ),
    )


def _stored_recording() -> list[Document]:
    phases = json.loads(convert.PHASES.read_bytes())
    last = max(phase["last"] for phase in phases if phase["kind"] == "ordinary")
    return [json.loads(line) for line in convert.EVENTS.read_bytes().splitlines()[:last]]


def _whole_recording() -> list[Document]:
    host = convert.host_of(json.loads(convert.HOST.read_bytes()))
    lines, phases = convert.converted(convert.stored_trace(), host, whole=True)
    last = max(phase.last for phase in phases if phase.kind == "ordinary")
    return [json.loads(line) for line in lines[:last]]


def _under_systemd(events: Iterable[Document]) -> Iterator[Document]:
    """Each run of the init script is a service: its own leader, entered from systemd, and it leads all it starts."""
    scripts: dict[str, Document] = {}
    for document in events:
        process = document["process"]
        if process["executable"] == INIT_SCRIPT:
            scripts[process["entity_id"]] = {**process["group_leader"], "name": "exim4", "executable": INIT_SCRIPT}
        above = [process["entity_id"], *process["Ext"]["ancestry"]]
        script = next((scripts[entity] for entity in above if entity in scripts), None)
        leaders = {
            name: script
            for name in ("group_leader", "session_leader", "entry_leader")
            if script is not None and process[name]["name"] == STAGEHAND
        }
        parent = process["parent"]
        if process["executable"] == INIT_SCRIPT and parent["name"] == STAGEHAND:
            parent = {**parent, "name": "systemd", "executable": "/usr/lib/systemd/systemd"}
        yield {**document, "process": {**process, **leaders, "parent": parent}}


def _chains(chains: Iterable[str], first: str, leader: str) -> Iterator[Document]:
    """The executions of each chain, whose first program `first` starts."""
    for chain in chains:
        parent = first
        for executable in chain.split():
            # A mail that is sent from there is delivered by an exim4 of a session of its own.
            sends = executable == DELIVERY and parent == "/usr/sbin/sendmail"
            yield _execution(executable, parent, "exim4" if sends else leader)
            parent = executable


def _execution(executable: str, parent: str, leader: str) -> Document:
    return event(
        executable.rpartition("/")[2],
        parent.rpartition("/")[2],
        **{
            "process.executable": executable,
            "process.parent.executable": parent,
            "process.session_leader.name": leader,
            "process.args": [executable],
        },
    )

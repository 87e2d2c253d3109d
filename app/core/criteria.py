"""The assessment's table: what costs how many points, and how it is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.core.clock import parse_time
from app.core.document import CUT_TEXT
from app.core.duration import SECOND, format_duration
from app.core.execution import AWKS, Execution
from app.core.family import ROOT
from app.core.programs import Kind, base_name, kind_of, plain_name

DEEP: Final = 3
"""Steps below exim4 from which on a process counts as deep: a shell, what it runs, and what that runs."""

WRITABLE: Final = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/user", "/home", "/var/spool/exim4")  # noqa: S108
"""Directories below which everybody, a user, or exim's own user may write."""


LIVED: Final = SECOND
"""Nanoseconds between a fork and an exec from which on the process counts as one that was its parent's program: a child
that is started to run something executes that within milliseconds."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the table.

    Attributes:
        code: Its name, as alerts carry it.
        points: What it adds to the score.
        meaning: What it says, Markdown.
        find: Gives what it was found in, at most CUT_TEXT characters of the event and some of ours; None if it is
            not so.
    """

    code: str
    points: int
    meaning: str
    find: Callable[[Execution], str | None]


def _interpreter(run: Execution) -> str | None:
    for program in run.programs:
        kind = kind_of(program)
        if kind == "shell":
            return f"{program} is a shell"
        if kind == "interpreter":
            return f"{program} is an interpreter"
    return None


def _downloader(run: Execution) -> str | None:
    return _runs("downloader", "a downloader", run)


def _network_tool(run: Execution) -> str | None:
    if "openssl" in run.programs and not {"s_client", "s_server"}.isdisjoint(run.args):
        return "openssl opens a connection"
    return _runs("network_tool", "a network tool", run)


def _runs(wanted: Kind, what: str, run: Execution) -> str | None:
    for program in run.programs:
        if kind_of(program) == wanted:
            return f"{program} is {what}"
    for command in run.commands:
        if kind_of(command) == wanted:
            return f"its code calls {base_name(command)}, {what}"
    return None


def _inline_code(run: Execution) -> str | None:
    return f"it is told to run: {_brief(run.code)}" if run.code else None


_INTO = re.compile(r"\|&?[ \t]{0,8}(?:(?:sudo|exec|nohup|env)[ \t]{1,8})?([\w./-]{1,128})", re.ASCII)


def _pipe_to_interpreter(run: Execution) -> str | None:
    for arg in run.args:
        for found in _INTO.finditer(arg):
            if kind_of(found[1]) in ("shell", "interpreter") and plain_name(base_name(found[1])) not in AWKS:
                return f"an argument pipes something into {found[1]}"
    return None


_ENCODED = re.compile(
    r"base(?:64|32)[ \t]{1,8}(?:-d|-D|--d)|b64decode|decode_base64|base64_decode|xxd[ \t]{1,8}-\w{0,4}r|"
    r"enc[ \t]{1,8}-d|(?:\\x[0-9a-fA-F]{2}){8}|\$\{IFS\}",
    re.ASCII,
)


def _encoded_payload(run: Execution) -> str | None:
    found = _ENCODED.search(" ".join(run.args))
    return f"its arguments hold {found[0]}" if found else None


_DEVICE = re.compile(r"/dev/(?:tcp|udp)/|/inet[46]?/(?:tcp|udp)/")
_SOCAT_PROGRAM = re.compile(r"(?i)\b(?:exec|system|shell):", re.ASCII)
_NETCAT_PROGRAM = re.compile(r"-[A-Za-z0-9]{0,8}[ec]\Z|--(?:sh-)?exec\b|--lua-exec\b", re.ASCII)
_NETCATS = frozenset({"nc", "ncat", "netcat", "nc.openbsd", "nc.traditional", "cryptcat"})
_CODE_SOCKET = re.compile(r"(?i:socket)|fsockopen|net\.connect|createConnection")


def _remote_shell(run: Execution) -> str | None:
    for arg in run.args:
        found = _DEVICE.search(arg)
        if found is None and "socat" in run.plain:
            found = _SOCAT_PROGRAM.search(arg)
        if found is None and run.plain & _NETCATS:
            found = _NETCAT_PROGRAM.match(arg)
        if found:
            return f"its arguments hold {found[0]}"
    found = _CODE_SOCKET.search(run.code)
    return f"its code speaks of {found[0]}" if found else None


_BELOW_WRITABLE = tuple(f"{directory}/" for directory in WRITABLE)


def _writable_path(run: Execution) -> str | None:
    for path in run.event.values("process.executable"):
        if ".." in path.split("/"):
            return f"{_brief(path)} has .. in its path"
        if path.startswith(_BELOW_WRITABLE):
            return f"{_brief(path)} lies where others than root may write"
    return None


_WORDS = re.compile(r"[^\s\"';|&<>()=]+")
_NO_HOME = tuple(directory for directory in _BELOW_WRITABLE if directory != "/home/")


def _writable_argument(run: Execution) -> str | None:
    for arg in run.args[1:]:
        for word in _WORDS.findall(arg):
            if word.startswith(_NO_HOME):
                return f"an argument names {_brief(word)}"
    return None


def _deleted_executable(run: Execution) -> str | None:
    for path in run.event.values("process.executable"):
        if path.endswith(" (deleted)"):
            return f"{_brief(path.removesuffix(' (deleted)'))} was deleted"
        if path.startswith(("memfd:", "/memfd:", "/proc/self/fd/", "/dev/fd/")):
            return f"{_brief(path)} lies in memory only"
    return None


def _hidden_path(run: Execution) -> str | None:
    for path in run.event.values("process.executable"):
        if any(part.startswith(".") and part not in (".", "..") for part in path.split("/")):
            return f"{_brief(path)} is hidden, or lies in a hidden directory"
    return None


def _in_place(run: Execution) -> str | None:
    if ROOT in run.earlier:
        return f"the process itself was {ROOT} before"
    # Sensors name the program before the exec also right after a fork, so that every child of exim4 has it there.
    previous = run.event.values("process.previous.executable")
    if not previous or base_name(previous[-1]) != ROOT:
        return None
    start, time = parse_time(run.event.first("process.start") or ""), parse_time(run.event.first("@timestamp") or "")
    if start is None or time is None or time - start < LIVED:
        return None
    return f"the process was {ROOT} for {format_duration(time - start)} before it became this"


def _persistence_tool(run: Execution) -> str | None:
    return _runs("persistence_tool", "a tool to stay", run)


def _root(run: Execution) -> str | None:
    for field, root in (
        ("user.id", "0"),
        ("process.user.id", "0"),
        ("user.name", "root"),
        ("process.user.name", "root"),
    ):
        if root in run.event.values(field):
            return f"{field} is {root}"
    return None


def _interactive(run: Execution) -> str | None:
    if "true" in run.event.values("process.interactive"):
        return "process.interactive is true"
    if run.event.has_value("process.tty") and "0" not in run.event.values("process.tty.char_device.major"):
        return "it has a terminal"
    if "shell" in run.kinds and "-i" in run.args[1:]:
        return "a shell with -i"
    return None


def _deep(run: Execution) -> str | None:
    return f"it runs {run.depth} steps below exim4" if run.depth is not None and run.depth >= DEEP else None


def _brief(text: str) -> str:
    return text if len(text) <= CUT_TEXT else f"{text[:CUT_TEXT]}…"


_DIRECTORIES = ", ".join(f"`{path}`" for path in WRITABLE)

CRITERIA: Final = tuple(
    Criterion(*row)
    for row in (
        ("interpreter", 20, "a shell, or an interpreter such as Python, Perl, PHP or awk", _interpreter),
        ("downloader", 30, "curl, wget, ftp, scp and their like, or a shell's code that calls one", _downloader),
        ("network_tool", 30, "nc, socat, telnet, ssh and their like, or code that calls one", _network_tool),
        ("inline_code", 10, "its code stands among the arguments: `-c`, `-e`, `-r`, an awk program", _inline_code),
        ("pipe_to_interpreter", 30, "an argument pipes something into an interpreter", _pipe_to_interpreter),
        ("encoded_payload", 20, "an argument decodes base64 or hexadecimal text, or hides spaces", _encoded_payload),
        ("remote_shell", 40, "`/dev/tcp`, `nc -e`, socat's `EXEC:`, or inline code with a socket", _remote_shell),
        ("writable_path", 30, f"the executable lies below {_DIRECTORIES}, or by way of `..`", _writable_path),
        ("writable_argument", 10, "an argument names a file below one of these but `/home`", _writable_argument),
        ("deleted_executable", 40, "the executable was deleted, or lies in memory only", _deleted_executable),
        ("hidden_path", 30, "the executable or one of its directories begins with a dot", _hidden_path),
        ("in_place", 40, "the process was exim4 for a second or more, and became this in place", _in_place),
        ("persistence_tool", 20, "a tool to stay: accounts, crontab, at, chattr, modules", _persistence_tool),
        ("root", 15, "it runs as root", _root),
        ("interactive", 20, "`process.interactive`, a terminal, or a shell's `-i`", _interactive),
        ("deep", 10, f"it runs {DEEP} or more steps below exim4", _deep),
    )
)
"""The table. Codes are stable; points may change with a version of ours."""

CODES: Final = tuple(criterion.code for criterion in CRITERIA)
"""Every code there is, as the alert's schema lists them."""

"""The text of a trace, line by line: calls, forks and exits in the order in which they took effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

_LINE: Final = re.compile(r"^(?P<pid>\d+)\s+(?P<s>\d+)\.(?P<ns>\d{9}) (?P<rest>.*)$")
_CALL: Final = re.compile(r"^(?P<name>\w+)\((?P<args>.*)\)\s+= (?P<result>-?\d+|\?).*$")
_UNFINISHED: Final = re.compile(r"^(?P<head>\w+\(.*?)\s*<unfinished \.\.\.>$")
_RESUMED: Final = re.compile(r"^<\.\.\. \w+ resumed>(?P<tail>.*)$")
_EXIT: Final = re.compile(r"^\+\+\+ (?:exited with (?P<code>\d+)|killed by (?P<signal>SIG\w+).*) \+\+\+$")
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\([0-7]{1,3}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_NAMED_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f", "a": "\a", "b": "\b"}
_FORKS: Final = frozenset({"fork", "vfork", "clone", "clone3"})


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that succeeded, at the time at which it took effect."""

    at_ns: int
    pid: int
    name: str
    args: str
    result: int


@dataclass(frozen=True, slots=True)
class Fork:
    """A new process. Placed where its parent entered the call: before the first line of the child."""

    at_ns: int
    pid: int
    child: int


@dataclass(frozen=True, slots=True)
class Exit:
    """A process that ended; the code of a signal is 128 plus its number, as a shell reports it."""

    at_ns: int
    pid: int
    code: int


Record = Call | Fork | Exit

_SIGNALS: Final = {
    "SIGHUP": 1,
    "SIGINT": 2,
    "SIGQUIT": 3,
    "SIGKILL": 9,
    "SIGPIPE": 13,
    "SIGALRM": 14,
    "SIGTERM": 15,
}


def unquote(text: str) -> str:
    """Undo the escapes of one quoted string; bytes that are no UTF-8 become U+FFFD."""

    def one(match: re.Match[str]) -> str:
        body = match[1]
        if body[0] in "01234567":
            return chr(int(body, 8))
        if body[0] == "x":
            return chr(int(body[1:], 16))
        return _NAMED_ESCAPES.get(body, body)

    return _ESCAPE.sub(one, text).encode("latin-1").decode("utf-8", "replace")


def strings(args: str) -> list[str]:
    """All quoted strings of an argument list, in order."""
    return [unquote(found) for found in _STRING.findall(args)]


def path_of_descriptor(args: str) -> str:
    """The path that the tracer resolved for the first descriptor, as in `fchdir(3</var/spool>)`."""
    return args.partition("<")[2].rpartition(">")[0]


def records(lines: Iterable[str]) -> list[Record]:
    """Read a whole trace.

    Failed calls and threads are left out. A call that another process interrupted counts from its second half,
    save for forks, whose child may be on the page before the parent returns.

    Raises:
        ValueError: A line is none that the tracer writes.
    """
    found: list[tuple[int, Record]] = []
    open_calls: dict[int, tuple[int, int, str]] = {}
    threads: set[int] = set()
    for number, line in enumerate(lines):
        parts = _LINE.match(line)
        if parts is None:
            msg = f"line {number + 1} is not the tracer's: {line[:80]!r}"
            raise ValueError(msg)
        pid, at_ns, rest = int(parts["pid"]), int(parts["s"]) * 10**9 + int(parts["ns"]), parts["rest"]
        began, began_ns = number, at_ns
        if cut := _UNFINISHED.match(rest):
            open_calls[pid] = (number, at_ns, cut["head"])
            continue
        if (resumed := _RESUMED.match(rest)) and pid in open_calls:
            began, began_ns, head = open_calls.pop(pid)
            rest = head + resumed["tail"]
        if ended := _EXIT.match(rest):
            code = int(ended["code"]) if ended["code"] else 128 + _SIGNALS.get(ended["signal"], 0)
            found.append((number, Exit(at_ns, pid, code)))
        elif (call := _CALL.match(rest)) and call["result"] != "?" and int(call["result"]) >= 0:
            record = Call(at_ns, pid, call["name"], call["args"], int(call["result"]))
            if record.name not in _FORKS:
                found.append((number, record))
            elif "CLONE_THREAD" in record.args:
                threads.add(record.result)
            else:
                found.append((began, Fork(began_ns, pid, record.result)))
    ordered = [record for _, record in sorted(found, key=lambda pair: pair[0])]
    return [record for record in ordered if record.pid not in threads]


def shifted(records_: Iterable[Record], by_ns: int) -> Iterator[Record]:
    """The same records at another time."""
    for record in records_:
        yield replace(record, at_ns=record.at_ns + by_ns)

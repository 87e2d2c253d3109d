"""An execution as the assessment looks at it: its programs, its arguments, and the code among them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.event import ProcessEvent
from app.core.programs import Kind, kind_of, plain_name, program_of

MAX_ARGS: Final = 256
MAX_TEXT: Final = 32_768
"""How many arguments, and characters of them all, are looked at; what is beyond can only lower a score."""

AWKS: Final = frozenset({"awk", "gawk", "mawk", "nawk", "original-awk"})
"""Interpreters whose first argument is code."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What the lines of the assessment's table ask of an event.

    Attributes:
        event: The event.
        depth: Steps below exim4, None where unknown.
        earlier: Names of what the same process was before, executed in place, the oldest first.
        programs: What it runs by name and by executable; the applet, where that is busybox.
        plain: The same without versions.
        kinds: The kinds of these programs.
        args: Its arguments, as many as are looked at.
        code: Those of them that are code for the interpreter that it is, joined by spaces; else "".
        commands: The programs that this code calls, where it is a shell's.
    """

    event: ProcessEvent
    depth: int | None
    earlier: Sequence[str]
    programs: tuple[str, ...]
    plain: frozenset[str]
    kinds: frozenset[Kind]
    args: tuple[str, ...]
    code: str
    commands: tuple[str, ...]


def execution_of(event: ProcessEvent, depth: int | None, earlier: Sequence[str]) -> Execution:
    """Look at an event; linear in the event's size, and in no more than MAX_TEXT of its arguments."""
    args = tuple(_args(event))
    paths = (*event.values("process.name")[:MAX_ARGS], *event.values("process.executable")[:MAX_ARGS])
    programs = tuple(dict.fromkeys(program_of(path, args) for path in paths))
    plain = frozenset(map(plain_name, programs))
    kinds = frozenset(kind for kind in map(kind_of, programs) if kind is not None)
    code = ""
    if "shell" in kinds:
        code = _shell_code(args)
    elif plain & AWKS:
        code = _awk_code(args)
    elif "interpreter" in kinds:
        code = _script_code(plain, args)
    return Execution(event, depth, earlier, programs, plain, kinds, args, code, tuple(_commands(code, kinds)))


def _args(event: ProcessEvent) -> Iterator[str]:
    left = MAX_TEXT
    args: Sequence[str] = event.values("process.args")
    if not args:
        args = (event.first("process.command_line") or "")[:MAX_TEXT].split()
    for arg in args[:MAX_ARGS]:
        if left <= 0:
            return
        yield arg[:left]
        left -= len(arg)


# A shell's letters stand together in any order, and its code is the next argument: -c, -lc, -ec, -ic.
_SHELL_FLAG = re.compile(r"-[A-Za-z]{0,8}c[A-Za-z]{0,8}\Z")
# Other interpreters take code behind the letter itself too: -e'…', -ne '…', -pi -e '…', -Ic '…'.
_BEFORE_THE_LETTER = "[nlpawsStTuUbBdEiIOqvx0-9]{0,8}?"
_CODE_LETTERS: Final = {
    "perl": "eE",
    "ruby": "e",
    "lua": "e",
    "luajit": "e",
    "php": "rBR",
    "node": "ep",
    "nodejs": "ep",
}
_LONG_FLAG = re.compile(r"--(?:eval|print|run|command|code)(?:=|\Z)|eval\Z")


def _shell_code(args: Sequence[str]) -> str:
    for at, arg in enumerate(args[1:], 1):
        if _SHELL_FLAG.match(arg) or arg == "--command":
            return " ".join(args[at + 1 :])
        if not arg.startswith(("-", "+")):
            return ""  # a script, and its own arguments
    return ""


def _script_code(plain: frozenset[str], args: Sequence[str]) -> str:
    letters = "".join(sorted({letter for name in plain for letter in _CODE_LETTERS.get(name, "c")}))
    flag = re.compile(f"-{_BEFORE_THE_LETTER}[{letters}]")
    for at, arg in enumerate(args[1:], 1):
        found = flag.match(arg) or _LONG_FLAG.match(arg)
        if found:
            return " ".join([arg[found.end() :], *args[at + 1 :]]).strip()
        if not arg.startswith("-"):
            return ""
    return ""


def _awk_code(args: Sequence[str]) -> str:
    if any(arg.startswith(("-f", "--file", "-E", "--exec")) for arg in args[1:]):
        return ""
    return " ".join(args[1:])


_SEPARATORS = re.compile(r"[|;&()`\n{}]+")
_BEFORE_A_COMMAND = frozenset(
    {"exec", "command", "sudo", "nohup", "setsid", "then", "do", "else", "if", "while", "until", "env", "time", "eval"}
)


def _commands(code: str, kinds: frozenset[Kind]) -> Iterator[str]:
    """The first word of every simple command of a shell's code; quotes are taken off, not understood."""
    if "shell" not in kinds:
        return
    for part in _SEPARATORS.split(code):
        for quoted in part.split():
            word = quoted.strip("\"'$")
            if word and word not in _BEFORE_A_COMMAND and "=" not in word:
                yield word
                break

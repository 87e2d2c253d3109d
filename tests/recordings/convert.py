"""Turn a recorded trace into process events; pure but for the files that `main` reads and writes.

python -m tests.recordings.convert events                      stored trace and host.json -> events.ndjson, phases.json
python -m tests.recordings.convert normalise RAW --root DIR    tracer's output -> what is stored, on standard output
python -m tests.recordings.convert inventory TRACE --root DIR  facts about the recorded system -> host.json
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from tests.recordings.defend_event import Host, document, merged
from tests.recordings.process_table import Moment, Program, Table
from tests.recordings.strace_lines import Record, records

HERE: Final = Path(__file__).parent
TRACE: Final = HERE / "trace.strace.gz"
HOST: Final = HERE / "host.json"
EVENTS: Final = HERE / "events.ndjson"
PHASES: Final = HERE / "phases.json"

# 2026-01-05T08:00:00Z. Whole minutes are taken off or added, so that what cron does stays at the top of a minute.
BASE_S: Final = 1_767_600_000
KERNEL: Final = "6.1.0-amd64 #1 SMP PREEMPT_DYNAMIC Debian"
# Longer than any recording.
SOON_S: Final = 100_000
# Debian's configuration script: some 200 processes a run, the same each time.
WORDY: Final = "/usr/sbin/update-exim4.conf"
BEFORE_THE_TRACE_NS: Final = 60 * 10**9
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MESSAGE_ID: Final = re.compile(r"\b([0-9A-Za-z]{6})(-[0-9A-Za-z]{6}-[0-9A-Za-z]{2})\b")
_STAMP: Final = re.compile(r"^(\d+\s+)(\d{10})(\.\d{9} )")


@dataclass(frozen=True, slots=True)
class Phase:
    """A scene of the recording: its lines in the events, from the first to the last, counted from one."""

    name: str
    kind: str
    first: int
    last: int


def _base62(text: str) -> int:
    number = 0
    for digit in text:
        number = number * 62 + _BASE62.index(digit)
    return number


def _to_base62(number: int) -> str:
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def _moved(line: str, shift_s: int) -> str:
    """A line at its new time, the message ids in it too; what only looks like an id lies years away and stays."""

    def message_id(match: re.Match[str]) -> str:
        now = _base62(match[1]) + shift_s
        return f"{_to_base62(now)}{match[2]}" if abs(now - BASE_S) < SOON_S else match[0]

    moved = _STAMP.sub(lambda match: f"{match[1]}{int(match[2]) + shift_s}{match[3]}", line)
    return _MESSAGE_ID.sub(message_id, moved)


def normalised(lines: Iterable[str], root: str) -> Iterator[str]:
    """Take out what tells where and when a trace was made.

    Kept from the moment at which the scenario starts inside the chroot; without the chroot's path; with times, and the
    times inside exim's message ids, moved to the base date by whole minutes.
    """
    shift: int | None = None
    for line in lines:
        stamp = _STAMP.match(line)
        if shift is None and stamp is not None and 'execve("/usr/local/sbin/maintenance"' in line:
            shift = BASE_S - int(stamp[2]) // 60 * 60
        if shift is not None:
            yield _moved(line, shift).replace(root, "")


def _digest(kind: str, data: bytes) -> str:
    return hashlib.new(kind, data, usedforsecurity=False).hexdigest()


def _program(path: Path) -> Program:
    """Facts about an executable that the trace does not hold."""
    data, mode = path.read_bytes(), path.stat()
    shebang = data[2:].split(b"\n", 1)[0].decode().split(None, 1) if data.startswith(b"#!") else []
    return Program(
        interpreter=tuple(part.strip() for part in shebang),
        setuid=mode.st_uid if mode.st_mode & stat.S_ISUID else None,
        setgid=mode.st_gid if mode.st_mode & stat.S_ISGID else None,
        md5=_digest("md5", data),
        sha1=_digest("sha1", data),
        sha256=_digest("sha256", data),
    )


def inventory(trace: Sequence[Record], root: Path) -> dict[str, Any]:
    """Look at the recorded system after the recording. Changes the root directory of this process."""
    seen = Table({}, 0).moments(trace)
    paths = sorted({moment.process.image.executable for moment in seen if moment.kind == "exec"})
    os.chroot(root)
    accounts = {
        kind: {int(row.split(":")[2]): row.split(":")[0] for row in Path(file).read_text("utf-8").splitlines()}
        for kind, file in (("users", "/etc/passwd"), ("groups", "/etc/group"))
    }
    return {
        "os_version": Path("/etc/debian_version").read_text("utf-8").strip(),
        "kernel": KERNEL,
        **accounts,
        "programs": {path: asdict(_program(Path(path))) for path in paths if Path(path).is_file()},
    }


def host_of(facts: dict[str, Any]) -> Host:
    """Read host.json's content."""
    return Host(
        os_version=facts["os_version"],
        kernel=facts["kernel"],
        users={int(id_): name for id_, name in facts["users"].items()},
        groups={int(id_): name for id_, name in facts["groups"].items()},
        programs={
            path: Program(**{**program, "interpreter": tuple(program["interpreter"])})
            for path, program in facts["programs"].items()
        },
    )


def _mark(moment: Moment) -> tuple[str, str] | None:
    """The scene that a moment opens, if it is the mark of one."""
    args = moment.process.image.args
    return (args[2], args[3]) if args[1:2] == ("phase",) and moment.kind == "exec" else None


def _abridged(chunks: Iterable[tuple[Moment, ...]]) -> Iterator[tuple[Moment, ...]]:
    """Leave out what repeats itself, to keep the stored events small.

    Below update-exim4.conf only programs are kept, no subshells, and those of its first run alone.
    """
    first_run: int | None = None
    for chunk in chunks:
        runs = [ancestor.pid for ancestor in chunk[0].ancestry if ancestor.image.executable == WORDY]
        first_run = runs[-1] if runs and first_run is None else first_run
        if not runs or (runs[-1] == first_run and any(moment.kind == "exec" for moment in chunk)):
            yield chunk


def converted(trace: Sequence[Record], host: Host, *, whole: bool = False) -> tuple[list[str], list[Phase]]:
    """Make the events, one line of JSON each, and the scenes that they fall into.

    Args:
        trace: What was recorded.
        host: Facts about the recorded system.
        whole: Leave nothing out.
    """
    moments = list(Table(host.programs, trace[0].at_ns - BEFORE_THE_TRACE_NS).moments(trace))
    marks = [(moment.at_ns, mark) for moment in moments if (mark := _mark(moment))]
    stagehands = {moment.process.pid for moment in moments if _mark(moment)}
    first_ns, last_ns = marks[0][0], marks[-1][0]
    shown = [m for m in moments if first_ns < m.at_ns < last_ns and m.process.pid not in stagehands]
    chunks = merged(shown) if whole else list(_abridged(merged(shown)))
    lines = [
        json.dumps(document(number, chunk, host), ensure_ascii=False, separators=(",", ":"))
        for number, chunk in enumerate(chunks, 1)
    ]
    phases: list[Phase] = []
    for (begin_ns, (name, kind)), (end_ns, _) in pairwise(marks):
        inside = [number for number, chunk in enumerate(chunks, 1) if begin_ns <= chunk[0].at_ns < end_ns]
        phases.append(Phase(name, kind, inside[0], inside[-1]))
    return lines, phases


def stored_trace() -> list[Record]:
    """The trace of this folder."""
    return records(gzip.decompress(TRACE.read_bytes()).decode("utf-8").splitlines())


def rendered() -> tuple[str, str]:
    """The content of events.ndjson and phases.json, from the stored trace."""
    lines, phases = converted(stored_trace(), host_of(json.loads(HOST.read_text("utf-8"))))
    return "".join(f"{line}\n" for line in lines), json.dumps([asdict(phase) for phase in phases], indent=2) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Run one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("events", "normalise", "inventory"))
    parser.add_argument("trace", nargs="?", type=Path)
    parser.add_argument("--root", type=Path, default=Path("/"))
    options = parser.parse_args(argv)
    if options.step == "events":
        events, phases = rendered()
        EVENTS.write_text(events, "utf-8")
        PHASES.write_text(phases, "utf-8")
        return
    with options.trace.open(encoding="utf-8") as trace:
        if options.step == "normalise":
            sys.stdout.writelines(normalised(trace, str(options.root)))
        else:
            facts = inventory(records(line.rstrip("\n") for line in trace), options.root)
            sys.stdout.write(json.dumps(facts, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

"""A contender's process, from its start to the end of its span."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.corpus import Source
from tests.bench.marks import END, FOUND, START
from tests.bench.results import Span
from tests.broker.jars import REPOSITORY
from tests.broker.process import Child, Guard
from tests.broker.waiting import wait_until

DEADLINE_S: Final = 240.0
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")

_PAUSE_S: Final = 0.05
_MARK: Final = re.compile(r"^BENCH (\w+) ([\d.]+)(?: (\d+))?$", re.MULTILINE)
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class ContenderError(Exception):
    """A contender ended early, was too slow, or found something else than there is; the message says which."""


def resident(pid: int) -> int:
    """Bytes of memory that a process has at this moment."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def peak_rss(pid: int) -> int:
    """The greatest resident size of a process so far, bytes."""
    found = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace"))
    return int(found[1]) * 1024 if found else 0


def run_marked(command: Sequence[str], source: Source, *, checks_matches: bool = True) -> Span:
    """Run a contender that prints its own marks, and end it.

    Args:
        command: Program and arguments; `{folder}` becomes a directory that is removed afterwards.
        source: What it reads.
        checks_matches: It says how many records held the needle.

    Raises:
        ContenderError: There is no span, or it found something else.
    """
    folder = Path(tempfile.mkdtemp(prefix="eximwatch-bench-"))
    guard = Guard(folder)
    child = Child(
        [part.format(folder=folder) for part in command],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
        cwd=REPOSITORY,
        log=folder / "contender.log",
        guard=guard,
    )
    last = FOUND if checks_matches else END
    try:
        child.start()

        def marks() -> dict[str, tuple[float, int]]:
            running = child.running
            found = {name: (float(at), int(ticks or 0)) for name, at, ticks in _MARK.findall(child.output())}
            if last not in found and not running:
                raise ContenderError(f"it ended with {child.exit_code}: {_last_words(child)}")
            return found if last in found else {}

        try:
            found = wait_until(marks, DEADLINE_S, "the contender's end", pause=_PAUSE_S)
        except TimeoutError:
            raise ContenderError(f"no end within {DEADLINE_S:g} s: {_last_words(child)}") from None
        if checks_matches and int(found[FOUND][0]) != source.matches:
            raise ContenderError(f"it found {int(found[FOUND][0])} matches of {source.matches}")
        (begun, ticks_before), (ended, ticks_after) = found[START], found[END]
        cpu = (ticks_after - ticks_before) / TICKS_A_SECOND
        return Span(source.events, ended - begun, cpu, peak_rss(child.pid or 0))
    finally:
        child.kill()
        guard.close()
        shutil.rmtree(folder, ignore_errors=True)


def _last_words(child: Child) -> str:
    lines = [line for line in child.tail().splitlines() if line.strip() and not line.startswith("BENCH")]
    return " / ".join(lines[-3:])[-400:] or "it said nothing"

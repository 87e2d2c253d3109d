"""The two marks of a measured span, printed by a contender for the bench that started it.

Standard library only: contenders run in virtual environments of their own.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

START: Final = "start"
END: Final = "end"
FOUND: Final = "found"


def cpu_ticks(pid: int | str = "self") -> int:
    """CPU time of a process so far, user and system, all its threads, in ticks of the system's clock."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    # The second field, the command's name, may hold blanks; it ends with the last parenthesis.
    fields = stat[stat.rindex(")") + 2 :].split()
    return int(fields[11]) + int(fields[12])


def mark(name: str) -> None:
    """Print a mark: its name, the monotonic clock, the CPU ticks so far."""
    ticks = cpu_ticks()
    print(f"\nBENCH {name} {time.monotonic():.6f} {ticks}", flush=True)


class Count:
    """Counts records that a contender has looked at, and marks the span's beginning and end."""

    def __init__(self, wanted: int) -> None:
        """Take how many records there are."""
        self._wanted = wanted
        self._seen = 0
        self._found = 0
        self._started = False

    def start(self) -> None:
        """Mark the beginning, once: at the assignment, or at the first record where nothing tells of it."""
        if not self._started:
            self._started = True
            mark(START)

    def add(self, seen: int, found: int) -> bool:
        """Count records; marks the end and is true as soon as all were seen."""
        self._seen += seen
        self._found += found
        if self._seen < self._wanted:
            return False
        mark(END)
        print(f"\nBENCH {FOUND} {self._found}", flush=True)
        return True


def hold() -> None:
    """Stand still, so that the bench can still read this process's memory figures before it ends it."""
    while True:
        time.sleep(3600)

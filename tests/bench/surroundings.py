"""Whether anything else took the machine's cores while something was measured."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from tests.bench.marks import cpu_ticks
from tests.bench.measuring import TICKS_A_SECOND

QUIET: Final = 0.05
"""Others may take this share of all cores; with more of it events/s say little, CPU an event is less harmed."""

_IDLE: Final = (3, 4)  # idle, iowait
_COUNTED: Final = 8  # without guests', which stand in user time as well


class Surroundings:
    """Watches from its making to `others`."""

    def __init__(self, broker: int) -> None:
        """Begin.

        Args:
            broker: The broker's process id, which is not counted as another; nor are we and what we started.
        """
        self._broker = broker
        self._begun = time.monotonic()
        self._busy = self._foreign_ticks()

    def others(self) -> float:
        """The share of all cores that others took: 0 for a machine of our own, 1 for one that had nothing for us.

        To be asked when all processes that were started since have ended.
        """
        ticks = (time.monotonic() - self._begun) * (os.cpu_count() or 1) * TICKS_A_SECOND
        return max(0.0, (self._foreign_ticks() - self._busy) / ticks)

    def _foreign_ticks(self) -> float:
        first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
        fields = [int(text) for text in first.split()[1:]][:_COUNTED]
        busy = sum(ticks for place, ticks in enumerate(fields) if place not in _IDLE)
        spent = os.times()
        ours = spent.user + spent.system + spent.children_user + spent.children_system
        return busy - ours * TICKS_A_SECOND - cpu_ticks(self._broker)

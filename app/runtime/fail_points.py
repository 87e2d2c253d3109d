"""Fail points: places between two effects at which a test makes the worker die, as a power cut would.

`EXIMWATCH_FAIL_AT=<point>[:<n>]` in the environment kills the process (SIGKILL) at the n-th passing of the point.
Without it passing costs one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from app.errors import SettingsError

VARIABLE: Final = "EXIMWATCH_FAIL_AT"

POINTS: Final = (
    "before_forward",
    "after_forward_ack",
    "after_lineage_write",
    "after_lineage_ack",
    "before_alert",
    "after_alert_ack",
    "after_table_write",
    "after_changelog_ack",
    "before_commit",
)
"""In the order in which a record of a new term passes them."""


class FailPoint:
    """The one point at which this process is to die, if any."""

    def __init__(self, text: str) -> None:
        """Read what the environment says; empty means nowhere.

        Raises:
            SettingsError: It names no point of ours.
        """
        self._name, _, times = text.partition(":")
        if self._name and (self._name not in POINTS or not (times or "1").isdecimal() or times == "0"):
            raise SettingsError(f"{VARIABLE}={text} must be <point>[:<n>] with a point of {', '.join(POINTS)}")
        self._left = int(times or "1")

    def passed(self, name: str) -> None:
        """The process is at this point; it may not be a moment later."""
        if name != self._name:
            return
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


FAIL_POINT: Final = FailPoint(os.environ.get(VARIABLE, ""))

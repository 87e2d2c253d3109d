"""A log filter for what repeats: clients of Kafka report an unreachable broker many times a second."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

INTERVAL: Final = 10.0
"""Seconds in which one message of a library is written once."""

_OURS: Final = "eximwatch"


class SeldomFilter(logging.Filter):
    """Lets each message of other loggers than ours through once in an interval, and then says how many it held back."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Take the clock: seconds that never go back."""
        super().__init__()
        self._now = now
        self._next: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        if record.name.startswith(_OURS):
            return True
        message = (record.name, str(record.msg))
        now = self._now()
        if now < self._next.get(message, now):
            self._held[message] = self._held.get(message, 0) + 1
            return False
        self._next[message] = now + INTERVAL
        held = self._held.pop(message, 0)
        if held:
            record.msg = f"{record.msg} ({held} more like this since)"
        return True

"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_PAUSE_S: Final = 0.02


def wait_until(condition: Callable[[], T | None], deadline: float, what: str, *, pause: float = _PAUSE_S) -> T:
    """Ask again and again until the condition holds, and return what it returned then.

    Args:
        condition: Called at least once; holds as soon as it returns something true. What it raises
            ends the wait.
        deadline: Seconds after which the wait is given up.
        what: What is waited for, for the message.
        pause: Seconds between two questions, so that the wait does not take a core from what it waits for.

    Raises:
        TimeoutError: It never held; the message says for what, how long, and what came last.
    """
    end = time.monotonic() + deadline
    while not (result := condition()):
        if time.monotonic() >= end:
            raise TimeoutError(f"waited {deadline:g} s for {what}; the last answer was {result!r}")
        time.sleep(pause)
    return result

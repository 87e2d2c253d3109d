"""Durations as people write them: `14d`, `5m`, `2h30m`."""

from __future__ import annotations

import re
from typing import Final

SECOND: Final = 1_000_000_000
"""Nanoseconds in a second; every time and duration of the core is a count of nanoseconds."""

DAY: Final = 86_400 * SECOND
"""Nanoseconds in a day."""

_UNITS: Final = {"d": DAY, "h": 3_600 * SECOND, "m": 60 * SECOND, "s": SECOND}
_WHOLE = re.compile(r"(?:\d{1,9}d)?(?:\d{1,9}h)?(?:\d{1,9}m)?(?:\d{1,9}s)?", re.ASCII)
_PART = re.compile(r"(\d+)([dhms])", re.ASCII)


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration such as `14d` or `2h30m`; units d, h, m, s, largest first, each once.

    Raises:
        ValueError: The text is no such duration.
    """
    if not text or not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is no duration: write it like 14d, 12h, 5m or 1h30m")
    return sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))


def date_math(text: str) -> str:
    """A duration before the present in Elasticsearch's date math: `14d` is `now-14d`, `1h30m` `now-1h-30m`."""
    return "now" + "".join(f"-{count}{unit}" for count, unit in _PART.findall(text))


def format_duration(nanoseconds: int) -> str:
    """The two largest units of a duration, for people: `16 d 2 h`, `5 m`, `0 s`. Negative gives `0 s`."""
    rest = max(nanoseconds, 0)
    parts: list[str] = []
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"

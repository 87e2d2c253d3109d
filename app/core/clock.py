"""The clock of an event: which of its times counts, and how far into the future it may lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from app.core.duration import SECOND
from app.core.event import ProcessEvent

ClockSource = Literal["event.ingested", "@timestamp", "record_timestamp"]

LATEST: Final = 253_402_300_800 * SECOND - 1
"""The last nanosecond of the year 9999; a later time could not be written again."""

CLOCK_FIELDS: Final[tuple[ClockSource, ...]] = ("event.ingested", "@timestamp")
"""Fields of an event that may hold its time, the preferred one first."""

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"(?:[Zz]|([+-])(\d\d):?(\d\d)?)?)?",
    re.ASCII,
)
_MILLISECONDS = re.compile(r"\d{1,15}", re.ASCII)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of an event.

    Attributes:
        time: Nanoseconds since 1970-01-01T00:00:00Z.
        source: Where it was read.
        passed_over: Fields that came first but hold no time.
        bounded_from: The time that was read, where it lay too far in the future; else None.
    """

    time: int
    source: ClockSource
    passed_over: tuple[str, ...] = ()
    bounded_from: int | None = None


def read_clock(event: ProcessEvent, record_timestamp: int | None) -> Clock | None:
    """The first usable time: `event.ingested`, `@timestamp`, then the source record's own timestamp.

    Args:
        event: The decoded event.
        record_timestamp: Nanoseconds since 1970, or None where the source has none.

    Returns:
        The clock, not yet bounded; None where no time can be had.
    """
    passed_over: list[str] = []
    for field in CLOCK_FIELDS:
        texts = event.values(field)
        for text in texts:
            time = parse_time(text)
            if time is not None:
                return Clock(time, field, tuple(passed_over))
        if texts or event.has_value(field):
            passed_over.append(field)
    if record_timestamp is not None and 0 <= record_timestamp <= LATEST:
        return Clock(record_timestamp, "record_timestamp", tuple(passed_over))
    return None


def bound_clock(clock: Clock, taken_at: int, max_future_skew: int) -> Clock:
    """Limit a clock to the time at which the event was taken plus the skew that is tolerated.

    A date in the far future would otherwise make a term known for ever. All three in nanoseconds.
    """
    bound = taken_at + max_future_skew
    if clock.time <= bound:
        return clock
    return Clock(bound, clock.source, clock.passed_over, bounded_from=clock.time)


def parse_time(text: str) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 time or of a count of milliseconds; None if it is neither."""
    if _MILLISECONDS.fullmatch(text):
        nanoseconds = int(text) * (SECOND // 1000)
        return nanoseconds if nanoseconds <= LATEST else None
    return parse_iso_time(text)


def parse_iso_time(text: str) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 time, with at least a date; None if it is none.

    Up to nine fractional digits, `Z` or an offset; without one it is UTC, as Elasticsearch reads it. Times
    before 1970 or after 9999 are none.
    """
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = found.groups("0")
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > 23 or minutes > 59 or seconds > 59 or int(zone_hours) > 23 or int(zone_minutes) > 59:
        return None
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        return None
    total = days * 86_400 + hours * 3_600 + minutes * 60 + seconds
    offset = int(zone_hours) * 3_600 + int(zone_minutes) * 60
    total += offset if sign == "-" else -offset
    nanoseconds = total * SECOND + int(fraction.ljust(9, "0"))
    return nanoseconds if 0 <= nanoseconds <= LATEST else None


def format_time(nanoseconds: int) -> str:
    """An ISO 8601 time in UTC with as many of three, six or nine fractional digits as it needs."""
    seconds, rest = divmod(nanoseconds, SECOND)
    whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{rest:09d}"
    while len(digits) > 3 and digits.endswith("000"):
        digits = digits[:-3]
    return f"{whole}.{digits}Z"

"""The clock of an event: which time counts, how it is read, and how far into the future it may lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.clock import Clock, bound_clock, format_time, parse_time, read_clock
from app.core.duration import SECOND
from app.core.event import decode
from tests.events import ABSENT, TIME, event, raw

NOON = 1_767_614_400 * SECOND  # 2026-01-05T12:00:00Z
END_OF_9999 = 253_402_300_800 * SECOND - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05T12:00:00Z", NOON),
        ("2026-01-05t12:00:00z", NOON),
        ("2026-01-05 12:00:00Z", NOON),
        ("2026-01-05T12:00:00", NOON),
        ("2026-01-05T12:00", NOON),
        ("2026-01-05T12:00Z", NOON),
        ("2026-01-05", NOON - 43_200 * SECOND),
        ("2026-01-05T12:00:00.1Z", NOON + 100_000_000),
        ("2026-01-05T12:00:00,25Z", NOON + 250_000_000),
        ("2026-01-05T12:00:00.123456789Z", NOON + 123_456_789),
        ("2026-01-05T12:00:00.000000001Z", NOON + 1),
        ("2026-01-05T14:00:00+02:00", NOON),
        ("2026-01-05T17:45:00+0545", NOON),
        ("2026-01-05T04:00:00-08", NOON),
        ("2026-01-06T01:30:00.5+13:30", NOON + 500_000_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * SECOND),
        ("1970-01-01T00:00:00Z", 0),
        ("1767614400000", NOON),
        ("0", 0),
        ("9999-12-31T23:59:59.999999999Z", END_OF_9999),
        ("253402300799999", END_OF_9999 - 999_999),
    ],
)
def test_time_is_read(text: str, expected: int) -> None:
    """ISO 8601 with up to nine fractional digits and an offset, UTC without one, or milliseconds."""
    assert expected == parse_time(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-05T24:00:00Z",
        "2026-01-05T12:60:00Z",
        "2026-01-05T12:00:60Z",
        "2026-01-05T12:00:00+24:00",
        "2026-01-05T12:00:00+02:60",
        "2026-01-05T12:00:00.1234567890Z",
        "2026-01-05T12:00:00.Z",
        "2026-01-05T12Z",
        "2026-1-5T12:00:00Z",
        "26-01-05T12:00:00Z",
        " 2026-01-05T12:00:00Z",
        "2026-01-05T12:00:00Z\n",
        "٢٠٢٦-01-05T12:00:00Z",
        "٢٠٢٦",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+01:00",
        "-1",
        "1.5",
        "1e12",
        "253402300800000",
        "9999999999999999",
    ],
)
def test_other_text_is_no_time(text: str) -> None:
    """Impossible dates, times before 1970 and other texts give None, never an error."""
    assert parse_time(text) is None


@settings(deadline=None)
@given(st.integers(0, END_OF_9999))
def test_written_time_is_read_again(time: int) -> None:
    """Writing loses nothing, and gives three, six or nine fractional digits."""
    written = format_time(time)

    assert time == parse_time(written)
    assert len(written) in {len("2026-01-05T12:00:00.") + digits + 1 for digits in (3, 6, 9)}


@settings(deadline=None)
@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)), st.integers(-1439, 1439))  # noqa: DTZ001
def test_offset_is_honoured(local: datetime, minutes: int) -> None:
    """A time with an offset is the same moment as the standard library says."""
    moment = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert (moment - _EPOCH) // timedelta(microseconds=1) * 1000 == parse_time(moment.isoformat())


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_time_or_none(text: str) -> None:
    """Text of an event never raises, and a time is never negative."""
    assert (parse_time(text) or 0) >= 0


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (NOON, "2026-01-05T12:00:00.000Z"),
        (NOON + 120_000_000, "2026-01-05T12:00:00.120Z"),
        (NOON + 123_456_000, "2026-01-05T12:00:00.123456Z"),
        (NOON + 1, "2026-01-05T12:00:00.000000001Z"),
    ],
)
def test_time_is_written_in_as_many_digits_as_it_needs(time: int, expected: str) -> None:
    """At least milliseconds, at most nanoseconds."""
    assert expected == format_time(time)


@pytest.mark.parametrize(
    ("ingested", "timestamp", "record", "expected"),
    [
        ("2026-01-05T12:00:00Z", TIME, 1, Clock(NOON, "event.ingested")),
        (ABSENT, "2026-01-05T12:00:00Z", 1, Clock(NOON, "@timestamp")),
        (None, "2026-01-05T12:00:00Z", 1, Clock(NOON, "@timestamp")),
        ([], 1767614400000, 1, Clock(NOON, "@timestamp")),
        ("soon", "2026-01-05T12:00:00Z", 1, Clock(NOON, "@timestamp", ("event.ingested",))),
        (ABSENT, ABSENT, NOON, Clock(NOON, "record_timestamp")),
        (ABSENT, "", NOON, Clock(NOON, "record_timestamp", ("@timestamp",))),
        (True, "never", 0, Clock(0, "record_timestamp", ("event.ingested", "@timestamp"))),
        (["x", "2026-01-05T12:00:00Z"], ABSENT, None, Clock(NOON, "event.ingested")),
        (ABSENT, ABSENT, None, None),
        (ABSENT, "never", None, None),
        (ABSENT, ABSENT, -1, None),
    ],
)
def test_first_usable_time_is_the_clock(
    ingested: object, timestamp: object, record: int | None, expected: Clock | None
) -> None:
    """`event.ingested`, else `@timestamp`, else the record's own; what can't be read is passed over and named."""
    found = decode(raw(event(time=timestamp, event__ingested=ingested)))

    assert expected == read_clock(found, record)


@pytest.mark.parametrize("record", [b'{"@timestamp":"2026-01-05T12:00:00Z"}', b'{"event":{"ingested":"2026-01-05"}}'])
def test_time_of_the_event_wins_over_that_of_the_record(record: bytes) -> None:
    """Record timestamps are the producer's: they count only where the event has none."""
    found = read_clock(decode(record), 1)

    assert found is not None
    assert "record_timestamp" != found.source


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (NOON, Clock(NOON, "@timestamp", ("event.ingested",))),
        (NOON + 300, Clock(NOON + 300, "@timestamp", ("event.ingested",))),
        (NOON + 301, Clock(NOON + 300, "@timestamp", ("event.ingested",), NOON + 301)),
        (END_OF_9999, Clock(NOON + 300, "@timestamp", ("event.ingested",), END_OF_9999)),
    ],
)
def test_clock_is_bounded_from_above(time: int, expected: Clock) -> None:
    """No clock lies later than the time at which the topic took the event plus the skew; what was read is kept."""
    assert expected == bound_clock(Clock(time, "@timestamp", ("event.ingested",)), NOON, 300)

"""Durations as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.duration import SECOND, date_math, format_duration, parse_duration

HOUR = 3600 * SECOND
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14d", 14 * DAY),
        ("5m", 300 * SECOND),
        ("1h30m", HOUR + 1800 * SECOND),
        ("1d2h3m4s", DAY + 2 * HOUR + 184 * SECOND),
        ("90s", 90 * SECOND),
        ("0s", 0),
        ("007d", 7 * DAY),
    ],
)
def test_duration_is_read(text: str, expected: int) -> None:
    """Units d, h, m, s, the largest first, each at most once."""
    assert expected == parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "14",
        "d",
        "14 d",
        "-1d",
        "1.5h",
        "1m1h",
        "1d1d",
        "14D",
        "1w",
        "1ms",
        " 1d",
        "1d\n",
        "1234567890d",
        "now-14d",
        "١٤d",
    ],
)
def test_other_text_is_no_duration(text: str) -> None:
    """The error quotes what was written and shows how to write it."""
    with pytest.raises(ValueError, match="is no duration: write it like 14d") as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"), [("14d", "now-14d"), ("1h30m", "now-1h-30m"), ("1d2h3m4s", "now-1d-2h-3m-4s")]
)
def test_duration_is_told_in_date_math(text: str, expected: str) -> None:
    """Elasticsearch takes one unit a step."""
    assert expected == date_math(text)


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (16 * DAY + 2 * HOUR, "16 d 2 h"),
        (16 * DAY + 2 * HOUR + 59 * 60 * SECOND, "16 d 2 h"),
        (DAY + 5 * 60 * SECOND, "1 d"),
        (2 * HOUR + 61 * SECOND, "2 h 1 m"),
        (300 * SECOND, "5 m"),
        (59 * SECOND, "59 s"),
        (SECOND - 1, "0 s"),
        (0, "0 s"),
        (-DAY, "0 s"),
    ],
)
def test_duration_is_told_in_its_two_largest_units(nanoseconds: int, expected: str) -> None:
    """Only neighbouring units stand together; less than a second, and less than nothing, is `0 s`."""
    assert expected == format_duration(nanoseconds)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_what_is_told_is_never_more_than_what_was(days: int, hours: int, minutes: int, seconds: int) -> None:
    """Reading a told duration again gives the duration itself or a little less."""
    whole = parse_duration(f"{days}d{hours}h{minutes}m{seconds}s")
    told = parse_duration(format_duration(whole).replace(" ", ""))

    assert told <= whole
    assert whole - told <= whole // 24

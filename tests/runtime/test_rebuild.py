"""What a rebuild has to read."""

from __future__ import annotations

import pytest

from app.runtime.rebuild import Span, missing_span


@pytest.mark.parametrize(
    ("persisted", "low", "high", "expected"),
    [
        (None, 0, 0, Span(0, 0)),
        (None, 0, 10, Span(0, 10)),
        (None, 4, 10, Span(4, 10)),
        (0, 0, 10, Span(1, 10)),
        (9, 0, 10, Span(10, 10)),
        (8, 0, 10, Span(9, 10)),
        (2, 7, 10, Span(7, 10)),
        (6, 7, 10, Span(7, 10)),
        (9, 10, 10, Span(10, 10)),
        (5, 10, 10, Span(10, 10)),
        (10, 0, 10, None),
        (99, 0, 10, None),
        (0, 0, 0, None),
    ],
)
def test_missing_span(persisted: int | None, low: int, high: int, expected: Span | None) -> None:
    """From the offset after the last that is there, or from the log's beginning; a database that is ahead has none."""
    assert expected == missing_span(persisted, low, high)

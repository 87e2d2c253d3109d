"""Alerts in one line, for a person."""

from __future__ import annotations

from typing import Any

import pytest

from app.tools.alerts import SeenAlert, summary_line

_ALERT: dict[str, Any] = {
    "kibana.alert.original_time": "2026-01-05T08:00:00.000Z",
    "kibana.alert.severity": "medium",
    "kibana.alert.rule.rule_id": "exim4_child",
    "kibana.alert.reason": "exim4 started sh.",
}


@pytest.mark.parametrize(
    ("detector", "shown"),
    [
        ({"assessment": {"level": "critical", "score": 85, "reasons": []}}, "critical  85"),
        ({"assessment": {"level": "low", "score": 0, "reasons": []}}, "low        0"),
        ({"assessment": "none"}, "-          -"),
        ({}, "-          -"),
        (None, "-          -"),
    ],
)
def test_line_tells_level_and_score_of_the_execution(detector: object, shown: str) -> None:
    """Which alert to look at first; of a record that has none dashes."""
    line = summary_line(SeenAlert(b"", _ALERT | {"detector": detector}, 0.0)).plain

    assert f"2026-01-05T08:00:00.000Z {shown} exim4_child exim4 started sh." == line

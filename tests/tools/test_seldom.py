"""What repeats in the log is written seldom, and ours always."""

from __future__ import annotations

import logging

from app.tools.seldom import INTERVAL, SeldomFilter


def _record(name: str, message: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, message, (), None)


def test_repeated_message_of_a_library_is_held_back() -> None:
    """One in an interval is written, and the next one says how many were not."""
    now = 0.0
    seldom = SeldomFilter(lambda: now)

    written = [seldom.filter(_record("aiokafka", "no broker")) for _ in range(4)]
    now = INTERVAL
    again = _record("aiokafka", "no broker")

    assert [True, False, False, False] == written
    assert seldom.filter(again)
    assert "no broker (3 more like this since)" == again.getMessage()
    assert seldom.filter(_record("aiokafka", "another"))


def test_own_messages_are_always_written() -> None:
    """Nothing of ours is repeated for no reason."""
    seldom = SeldomFilter(lambda: 0.0)

    assert [True, True] == [seldom.filter(_record("eximwatch", "counts")) for _ in range(2)]

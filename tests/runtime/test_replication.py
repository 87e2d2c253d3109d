"""What is said of the copies of topics."""

from __future__ import annotations

import pytest

from app.runtime.replication import Copies, differences, warnings

_FEW = "fewer than 3 replicas"
_BLOCKED = "more in-sync replicas asked for than there are"
_STRICT = "all replicas must be in sync"


@pytest.mark.parametrize(
    ("replicas", "min_insync", "written", "said"),
    [
        (3, 1, True, []),
        (3, 2, True, []),
        (3, 3, True, [_STRICT]),
        (3, 4, True, [_BLOCKED]),
        (5, 2, True, []),
        (2, 1, True, [_FEW]),
        (2, 2, True, [_FEW, _STRICT]),
        (1, 1, True, [_FEW]),
        (1, 2, True, [_FEW, _BLOCKED]),
        (3, 3, False, []),
        (1, 2, False, [_FEW]),
    ],
)
def test_copies_that_put_records_at_risk_are_told(
    replicas: int, min_insync: int, written: bool, said: list[str]
) -> None:
    """A single copy that must be in sync is no more than a single copy; what others write is theirs to decide."""
    found = warnings([Copies("mail.alerts", replicas, min_insync, written)])

    assert said == [next(begin for begin in (_FEW, _BLOCKED, _STRICT) if line.startswith(begin)) for line in found]
    assert all("mail.alerts (" in line for line in found)


def test_topics_of_one_kind_share_a_line() -> None:
    """A single broker would else fill a page."""
    [line] = warnings([Copies("a", 1, 1, True), Copies("b", 3, 2, True), Copies("c", 2, 1, False)])

    assert line.endswith(": a (1), c (2)")


def test_copies_of_our_topics_are_compared_with_the_setting() -> None:
    """Source topics are their owner's."""
    found = [Copies("a", 1, 1, True), Copies("b", 3, 2, True), Copies("c", 1, 1, False)]

    [line] = differences(found, 3)
    assert line.startswith("topic a has 1 replicas, not 3 (EXIMWATCH_REPLICATION_FACTOR): ")

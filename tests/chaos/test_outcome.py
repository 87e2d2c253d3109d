"""What fails a run or a suite, besides what was lost."""

from __future__ import annotations

import pytest

from tests.chaos.outcome import Outcome, shortfalls
from tests.chaos.supervisor import End, wrong_ends

NOBODY = frozenset[int]()


@pytest.mark.parametrize("code", [1, 2, 4, 5, 6, 7, 8, 9, 10, 11])
def test_exit_code_that_no_fault_allows_is_wrong(code: int) -> None:
    """It is named with its log, and fails the run; where the faults allow it, it is fine."""
    (found,) = wrong_ends([End(code, "worker-1.log", ready=True)], NOBODY)
    assert f"ended with {code}," in found
    assert "worker-1.log" in found
    assert Outcome("kill -9", "1", 1, wrong=[found]).failed
    assert [] == wrong_ends([End(code, "worker-1.log", ready=True)], frozenset({code}))


def test_sigterm_may_end_only_who_is_not_ready() -> None:
    """With the signal's own code; SIGKILL and 0 are always fine."""
    assert [] == wrong_ends([End(-15, "a", ready=False), End(-9, "a", ready=True), End(0, "a", ready=True)], NOBODY)
    assert 1 == len(wrong_ends([End(-15, "a", ready=True)], NOBODY))


def test_ready_worker_ends_in_time_and_in_order() -> None:
    """Of one that was not ready nothing is asked."""
    assert [] == wrong_ends([End(0, "a", ready=True, stopped=True, seconds=9.5)], NOBODY)
    assert [] == wrong_ends([End(0, "a", ready=False, stopped=True, seconds=15)], NOBODY)
    (slow,) = wrong_ends([End(0, "a", ready=True, stopped=True, seconds=11.5)], NOBODY)
    assert "11.5 s" in slow
    (killed,) = wrong_ends([End(-9, "a", ready=True, stopped=True, seconds=1)], NOBODY)
    assert "with -9" in killed


def test_too_few_faults_of_a_kind_or_in_all_are_found() -> None:
    """Less than nine in ten of a kind, over all its runs."""
    good, bad = Outcome("kill -9", "1", 10, injected=9), Outcome("SIGTERM", "1", 10, injected=8)
    assert [] == shortfalls([good], 9)
    assert ["SIGTERM: only 8 of 10 faults were injected"] == shortfalls([good, bad])
    assert ["only 9 faults were injected, 300 are the least"] == shortfalls([good], 300)

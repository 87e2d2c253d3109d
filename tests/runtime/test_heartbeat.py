"""The guard of a frozen worker: what was long without a heartbeat may not act."""

from __future__ import annotations

from typing import NoReturn

import pytest

from app.errors import FrozenError
from app.runtime.heartbeat import Heartbeat, boot_time

SESSION = 10.0


class EndedError(Exception):
    """Stands for the end of the process."""


class Member:
    """A member of a group, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.heartbeat = Heartbeat(SESSION, lambda: self.now, self._fail)
        self.failed: list[tuple[BaseException, str]] = []

    def _fail(self, error: BaseException, where: str) -> NoReturn:
        self.failed.append((error, where))
        raise EndedError

    def acts_after(self, seconds: float) -> bool:
        """Whether an effect this long from now is allowed."""
        self.now += seconds
        try:
            self.heartbeat.require("a record for topic alerts")
        except EndedError:
            return False
        return True


def test_before_the_first_join_nothing_is_too_old() -> None:
    """A worker that is no member has no partitions to lose."""
    assert Member().acts_after(1000)


@pytest.mark.parametrize(("seconds", "expected"), [(0, True), (8, True), (8.1, False), (1000, False)])
def test_effect_needs_a_heartbeat_of_late(seconds: float, expected: bool) -> None:
    """Up to 0.8 of the session it may act."""
    member = Member()
    member.heartbeat.taken(member.now)

    assert expected == member.acts_after(seconds)


def test_heartbeat_counts_from_when_it_was_sent() -> None:
    """A worker that freezes between the request and its answer must not take the answer for fresh."""
    member = Member()
    sent_at = member.heartbeat.now()
    member.now += 9
    member.heartbeat.taken(sent_at)

    assert not member.acts_after(0)


def test_next_heartbeat_allows_again() -> None:
    """What was taken last counts."""
    member = Member()
    member.heartbeat.taken(member.now)
    member.now += 9
    member.heartbeat.taken(member.now)

    assert member.acts_after(7)


def test_refusal_names_age_and_effect() -> None:
    """The operator reads how old the last heartbeat was, and what was about to be written."""
    member = Member()
    member.heartbeat.taken(member.now)
    member.acts_after(9)
    ((error, where),) = member.failed

    assert isinstance(error, FrozenError)
    assert (10, "a record for topic alerts") == (error.exit_code, where)
    assert "9.0 s old (allowed: 8 s)" in str(error)


def test_boot_time_goes_on() -> None:
    """It never goes back."""
    assert boot_time() <= boot_time()

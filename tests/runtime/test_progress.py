"""Progress: what must move, what may stand, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from app.runtime.progress import Account, Place, Progress, Sample

LIMIT = 60.0
EVENTS: Place = ("events", 3)


class Watched:
    """A worker that is looked at every ten seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.progress = Progress(LIMIT)

    def look(
        self,
        account: Account | None = None,
        end: int | None = 100,
        *,
        ready: bool = True,
        in_flight: int = 0,
        waiting: int = 0,
        recovered: int | None = None,
        silent: float = 0.0,
    ) -> str | None:
        """See it in one state; `end` None: Kafka does not answer."""
        self.now += 10
        accounts = {} if account is None else {EVENTS: account}
        under_way = frozenset((*EVENTS, 41 + n) for n in range(in_flight))
        sample = Sample(ready, under_way, {EVENTS[0]: waiting}, recovered, accounts)
        ends: Mapping[Place, int] | None = None if end is None else {EVENTS: end}
        return self.progress.observe(self.now, sample, ends, silent)

    def first_alarm(self, states: Iterator[tuple[Account, int, int]]) -> tuple[float, str] | None:
        """When and of what it is said that it is stuck; states of account, end and records under way."""
        for account, end, in_flight in states:
            stuck = self.look(account, end, in_flight=in_flight)
            if stuck is not None:
                return self.now, stuck
        return None


def _always(account: Account, end: int = 100, in_flight: int = 0) -> Iterator[tuple[Account, int, int]]:
    return iter([(account, end, in_flight)] * 30)


def test_idle_worker_may_stand() -> None:
    """Everything is read, done and committed: nothing needs to move."""
    assert None is Watched().first_alarm(_always(Account(100, 100, 100)))


def test_lag_without_movement_is_told() -> None:
    """There is more to read, and the position stands still."""
    expected = (80.0, "events:3 is read to offset 40 of 100, and has not moved for 70 s")

    assert expected == Watched().first_alarm(_always(Account(40, 40, 40)))


@pytest.mark.parametrize("part", ["position", "done"])
def test_lag_that_moves_is_no_alarm(part: str) -> None:
    """Reading on is progress, and so is finishing what was read while the queues are full."""
    states = ((Account(40 + n, 40 + n, 40 + n) if part == "position" else Account(40, n, n), 100, 1) for n in range(30))

    assert None is Watched().first_alarm(states)


def test_pending_record_that_nobody_processes_is_told() -> None:
    """It was handed on, is not under way, and will never be done."""
    expected = (
        80.0,
        "events:3:41 is not done although it is neither in process nor waiting for it, and has not moved for 70 s",
    )

    assert expected == Watched().first_alarm(_always(Account(100, 41, 41)))


def test_busy_neighbours_do_not_hide_a_record_that_nobody_processes() -> None:
    """Others of the worker are under way all the time; this one is not, and its agent has nothing more to begin."""
    watched = Watched()
    sample = Sample(True, frozenset({("events", 1, 7)}), {}, None, {EVENTS: Account(100, 41, 41)})
    found = [watched.progress.observe(10.0 * n, sample, {EVENTS: 100}) for n in range(8)]

    assert [None] * 7 == found[:-1]
    assert found[-1] is not None


def test_record_that_waits_for_its_agent_is_given_time() -> None:
    """It is told as soon as the agent has nothing left that it might be."""
    watched = Watched()
    account = Account(100, 41, 41)
    found = [watched.look(account, waiting=waiting) for waiting in [3] * 20 + [0]]

    assert [None] * 20 == found[:-1]
    assert found[-1] is not None


def test_record_under_way_has_a_limit_of_its_own() -> None:
    """Its effects end the worker by their own deadline, which is shorter."""
    assert None is Watched().first_alarm(_always(Account(100, 41, 41), in_flight=1))


def test_finished_work_that_is_never_committed_is_told() -> None:
    """The worker reads and finishes, and the coordinator is lost to it."""
    states = ((Account(40 + n, 40 + n, 17), 100, 0) for n in range(30))

    assert (80.0, "events:3 is committed to offset 17, and done to 47, and has not moved for 70 s") == (
        Watched().first_alarm(states)
    )


def test_loop_that_stands_still_is_told_whatever_kafka_says() -> None:
    """No new sample is taken: the process hangs."""
    watched = Watched()

    assert None is watched.look(silent=60.0, end=None)
    assert "the worker's event loop has stood still for 61 s" == watched.look(silent=61.0, end=None)


def test_nothing_is_expected_while_kafka_does_not_answer() -> None:
    """A worker that waits for its broker is all right, and has its full time once that is back."""
    watched = Watched()
    account = Account(40, 40, 40)
    found = [watched.look(account, end) for end in [100] * 6 + [None] * 30 + [100] * 7 + [100]]

    assert [None] * 43 == found[:-1]
    assert found[-1] is not None


def test_recovery_must_apply_records() -> None:
    """It may take as long as it needs while it goes on."""
    watched = Watched()
    moving = [watched.look(ready=False, recovered=n) for n in range(30)]
    standing = [watched.look(ready=False, recovered=29) for _ in range(7)]

    assert [None] * 36 == moving + standing[:-1]
    assert "recovery has applied 29 changelog records, and has not moved for 70 s" == standing[-1]


def test_join_may_wait_for_others() -> None:
    """A rebalance takes its time, though not for ever."""
    watched = Watched()
    found = [watched.look(ready=False) for _ in range(20)]

    assert [None] * 19 == found[:-1]
    assert "the worker has no assignment, and has not moved for 190 s" == found[-1]


def test_open_transaction_is_no_lag() -> None:
    """The end that counts is the last stable offset, which stands before it."""
    assert None is Watched().first_alarm(_always(Account(40, 40, 40), end=40))


def test_partition_without_a_leader_is_left_alone() -> None:
    """Its end is unknown, so nothing can be said."""
    watched = Watched()
    sample = Sample(True, accounts={EVENTS: Account(40, 40, 40)})

    assert [None] * 3 == [watched.progress.observe(now, sample, {}) for now in (0.0, 30.0, 60.0)]


def test_topic_that_the_client_does_not_know_is_told() -> None:
    """A broker that has just come back may leave one out of its answer: then nobody reads it, and nothing lags."""
    progress = Progress(LIMIT)
    sample = Sample(ready=True, missing=frozenset({"events"}))
    found = [progress.observe(10.0 * n, sample, {}) for n in range(8)]

    assert [None] * 7 == found[:-1]
    assert (
        "the worker's client knows nothing of topic events, so nobody reads it, and has not moved for 70 s" == found[-1]
    )

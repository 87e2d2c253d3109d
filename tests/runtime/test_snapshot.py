"""Snapshots of a loop, and the ages of what is not done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.runtime.progress import Account, Sample
from app.runtime.snapshot import PendingHeads, Snapshot, Snapshots
from tests.broker.waiting import wait_until

_PLACE = ("events", 0)


@contextmanager
def _running() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_age_counts_from_the_first_sight_of_a_head() -> None:
    """It grows while the same record is the first that is not done, and begins anew with the next one."""
    heads = PendingHeads()
    found = [
        heads.observe(now, {_PLACE: Account(position, committable, 0)})[_PLACE]
        for now, position, committable in [(0.0, 9, 5), (4.0, 9, 5), (6.0, 9, 7), (9.0, 12, 7), (10.0, 12, 12)]
    ]

    assert [0.0, 4.0, 0.0, 3.0, 0.0] == found


def test_age_is_forgotten_with_the_partition() -> None:
    """Assigned again a partition's head is new."""
    heads = PendingHeads()
    heads.observe(0.0, {_PLACE: Account(9, 5, 0)})
    heads.observe(5.0, {})

    assert {_PLACE: 0.0} == heads.observe(7.0, {_PLACE: Account(9, 5, 0)})


def test_busy_loop_gives_what_it_told_last() -> None:
    """Who asks is answered in time, and the loop owes one snapshot however often it is asked."""
    taken: list[int] = []

    def take() -> Snapshot:
        taken.append(1)
        return Snapshot(Sample(ready=True), in_flight=len(taken))

    with _running() as loop:
        snapshots = Snapshots(loop, take, 0.05)
        wait_until(lambda: 1 <= snapshots.newest().in_flight, 10, "a first snapshot")
        told = len(taken)
        free = threading.Event()
        loop.call_soon_threadsafe(free.wait)
        found = [snapshots.newest().in_flight for _ in range(3)]
        free.set()
        wait_until(lambda: told < snapshots.newest().in_flight, 10, "a snapshot of the loop that is free again")

    assert [told] * 3 == found


def test_closed_loop_gives_what_it_told_last() -> None:
    """A worker that ends is still scraped."""
    with _running() as loop:
        snapshots = Snapshots(loop, lambda: Snapshot(in_flight=7), 10)
        snapshots.newest()

    assert 7 == snapshots.newest().in_flight

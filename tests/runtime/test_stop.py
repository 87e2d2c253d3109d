"""The stop: told once to who must know, and over at its deadline."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest

from app.errors import EffectError
from app.runtime import stop
from app.runtime.stop import StoppingWorker

DEADLINE = 30.0


class Stopping:
    """A worker process that is told to stop, and what comes of it."""

    def __init__(self) -> None:
        self.begun = 0
        self.failed: list[str] = []
        self.ended = threading.Event()
        self.worker = StoppingWorker.__new__(StoppingWorker)
        self.worker.begin_stop = self._begin
        self.worker.fail = self._fail  # type: ignore[assignment]

    def _begin(self) -> None:
        self.begun += 1

    def _fail(self, error: BaseException, where: str) -> None:
        assert isinstance(error, EffectError)
        self.failed.append(where)
        self.ended.set()


def test_stop_begins_once() -> None:
    """A second signal, or the end that follows a signal, begins nothing anew."""
    stopping = Stopping()
    for _ in range(3):
        stopping.worker.on_worker_shutdown()
    timer = stopping.worker._deadline
    assert timer is not None
    timer.cancel()

    assert 1 == stopping.begun


def test_stop_that_takes_too_long_ends_hard(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs nothing of the loop, which may be what hangs."""
    monkeypatch.setattr(stop, "STOP_S", 0.05)
    stopping = Stopping()
    stopping.worker.on_worker_shutdown()

    assert stopping.ended.wait(DEADLINE)
    assert ["the stop"] == stopping.failed


def test_stop_that_takes_too_long_tells_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each task that is left, from its own function to the innermost that waits."""
    monkeypatch.setattr(stop, "STOP_S", 0.05)
    stopping = Stopping()
    never = asyncio.Event()

    async def inner() -> None:
        await never.wait()

    async def outer() -> None:
        await inner()

    async def run() -> None:
        task = asyncio.create_task(outer())
        stopping.worker.on_worker_shutdown()
        assert await asyncio.to_thread(stopping.ended.wait, DEADLINE)
        never.set()
        await task

    asyncio.run(run())
    assert ["the stop"] == stopping.failed
    (told,) = [record.message for record in caplog.records if "outer" in record.message]
    assert re.fullmatch(r"not over: test_stop\.\S*outer:\d+ > test_stop\.\S*inner:\d+ > locks\.Event\.wait:\d+", told)


def test_deadline_leaves_room_for_a_supervisor_that_allows_ten_seconds() -> None:
    """Docker and most others kill then."""
    assert stop.STOP_S < 10

"""The stop of a worker: graceful, and over in time whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import faust
from aiokafka.errors import KafkaError

from app.errors import EffectError
from app.runtime.log import logger

PRIVATE_NAMES: Final = ("mode.worker.Worker._schedule_shutdown",)

STOP_S: Final = 9.0
"""Seconds from the signal to the hard end, so that a supervisor who allows ten need not kill."""


class StoppingWorker(faust.Worker):
    """Faust's worker process: finishes what is in hand, commits and leaves the group, or ends hard at the deadline.

    With Kafka out of reach the libraries' own stops wait for a minute and more.
    """

    begin_stop: Callable[[], None]
    """Called once when the stop begins, whatever the reason."""

    fail: Callable[[BaseException, str], NoReturn]
    """Ends the process, given what went wrong and where; does not return."""

    reason: BaseException | None = None
    """Why it ends, if it does not because it was told to."""

    _deadline: threading.Timer | None = None
    _stop_loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Start, and keep what goes wrong with Kafka, which needs no traceback: the start is given up then."""
        try:
            await super().start()
        except KafkaError as error:
            self.reason = error
            raise asyncio.CancelledError from error

    async def crash(self, reason: BaseException) -> None:
        """Keep what went wrong."""
        self.reason = self.reason or reason
        await super().crash(reason)

    def _schedule_shutdown(self, signal: Any) -> None:  # noqa: ANN401 — as it is overridden
        self._begin()
        super()._schedule_shutdown(signal)

    def on_worker_shutdown(self) -> None:
        """The worker stops for another reason than a signal."""
        self._begin()

    def _begin(self) -> None:
        if self._deadline is None:
            self._deadline = threading.Timer(STOP_S, self._end)
            self._deadline.daemon = True
            self._deadline.start()
            with contextlib.suppress(RuntimeError):  # nobody waits in a loop that does not run
                self._stop_loop = asyncio.get_running_loop()
            self.begin_stop()
            logger.info("stopping: what is in hand is finished and committed, then the worker leaves its group")

    def _end(self) -> None:
        # The loop goes on meanwhile, or hangs: what can't be told must not keep the process from ending.
        with contextlib.suppress(Exception):
            for task in asyncio.all_tasks(self._stop_loop) if self._stop_loop else ():
                logger.warning("not over: {task}", task=waits_in(task))
        error = EffectError(
            f"the stop took longer than {STOP_S:g} s: what was begun could not be finished and committed, or Kafka "
            "does not answer; nothing is lost"
        )
        self.fail(error, "the stop")


def waits_in(task: asyncio.Task[Any]) -> str:
    """The places at which a task's coroutines wait for one another, the outermost first, for people."""
    places = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        code = getattr(waiting, "cr_code", None) or getattr(waiting, "gi_code", None)
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if code is None or frame is None:
            break
        places.append(f"{Path(code.co_filename).stem}.{code.co_qualname}:{frame.f_lineno}")
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return " > ".join(places)

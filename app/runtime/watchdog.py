"""The watchdog: a thread that samples the worker, asks Kafka with a client of its own, and ends what is stuck."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.errors import SettingsError, StuckError
from app.runtime.health import Look
from app.runtime.log import logger
from app.runtime.progress import Place, Progress, Sample

_SAMPLES_PER_LIMIT: Final = 12
_LONGEST_PAUSE_S: Final = 5.0
_ANSWER_S: Final = 5.0
_TELL_S: Final = 60.0
_SAMPLE_S: Final = 1.0
"""How long a loop may take for a sample before it is taken for busy."""


class Watchdog:
    """Ends the process when nothing moves although there is something to do.

    Attributes:
        look: What was seen last; begins with nothing.
    """

    def __init__(
        self,
        limit: float,
        loop: asyncio.AbstractEventLoop,
        sample: Callable[[], Sample],
        ends: Callable[[Iterable[Place]], dict[Place, int] | None],
        fail: Callable[[BaseException, str], None],
    ) -> None:
        """Bind to a worker; see `start`.

        Args:
            limit: Seconds without progress after which the process is ended.
            loop: The worker's event loop, on which samples are taken.
            sample: Takes one, on the loop.
            ends: Asks Kafka for the last stable offset of partitions; None if it does not answer.
            fail: Ends the process, given what went wrong and where.
        """
        self._limit = limit
        self._loop = loop
        self._sample = sample
        self._ends = ends
        self._fail = fail
        self._newest = Sample()
        self.look = Look(time.monotonic())
        self._owed_since: float | None = None
        self._taken = threading.Event()
        self._told = -_TELL_S
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """The worker is about to end, for which there is a deadline of its own."""
        self._stopped.set()

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout)

    def _watch(self) -> None:
        try:
            self._look()
        except Exception as error:  # noqa: BLE001 — a worker that nobody watches must not look like one that is
            self._fail(error, "the watchdog")

    def _look(self) -> None:
        progress = Progress(self._limit)
        while not self._stopped.wait(min(self._limit / _SAMPLES_PER_LIMIT, _LONGEST_PAUSE_S)):
            if not self._ask_for_sample():
                return
            ends = self._ends(self._newest.accounts)
            self._tell(ends is None)
            now = time.monotonic()
            stuck = progress.observe(now, self._newest, ends, self._silent())
            self.look = Look(now, progress.standing, ends is not None, self.look.ends if ends is None else ends)
            if stuck is not None and not self._stopped.is_set():
                self._fail(StuckError(stuck), "the watchdog")
                return

    def _ask_for_sample(self) -> bool:
        """Ask for a sample, if none is owed, and wait for it a little; false once the worker has ended."""
        if self._silent() == 0.0:
            self._owed_since = time.monotonic()
            self._taken.clear()
            try:
                self._loop.call_soon_threadsafe(self._take)
            except RuntimeError:  # the loop is closed
                return False
        self._taken.wait(_SAMPLE_S)
        return True

    def _silent(self) -> float:
        """For how many seconds a sample has been owed."""
        owed_since = self._owed_since
        return 0.0 if owed_since is None else time.monotonic() - owed_since

    def _tell(self, silent: bool) -> None:
        """Say now and then that Kafka does not answer: meanwhile nothing but the loop is watched."""
        now = time.monotonic()
        if silent and now - self._told > _TELL_S:
            self._told = now
            logger.warning("Kafka does not answer the watchdog; what the worker reads and commits can't be watched")

    def _take(self) -> None:
        self._newest = self._sample()
        self._owed_since = None
        self._taken.set()


class StableOffsets:
    """Asks Kafka for last stable offsets: where a reader of committed records can come to."""

    def __init__(self, connect: Callable[[], AdminClient], answer: float = _ANSWER_S) -> None:
        """Take what makes a client, which connects when it is first asked, and the seconds that an answer may take."""
        self._connect = connect
        self._answer = answer
        self._client: AdminClient | None = None

    def __call__(self, places: Iterable[Place]) -> dict[Place, int] | None:
        """Ask.

        Returns:
            Offsets by place, places that have no leader left out; None if Kafka does not answer.
        """
        found = None
        # A certificate or password that is being replaced as the client is made anew does not stop what works.
        with contextlib.suppress(KafkaException, SettingsError):
            client = self._client = self._client or self._connect()
            found = _ask(client, places, self._answer)
        if found is None:
            # After a broker's restart a client may go on with what it knew of its leaders, for ever.
            self._client = None
        return found


def _ask(client: AdminClient, places: Iterable[Place], answer: float) -> dict[Place, int] | None:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # its stub gives no types
    asked = {TopicPartition(*place): latest for place in places}
    if not asked:
        client.list_topics(timeout=answer)
        return {}
    futures = client.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=answer)
    found: dict[Place, int] = {}
    for place, future in futures.items():
        try:
            found[place.topic, place.partition] = future.result(2 * answer).offset
        except (KafkaException, TimeoutError):
            continue
    return found or None

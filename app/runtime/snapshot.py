"""What a worker's event loop alone can tell of it, for those who ask from other threads."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from app.runtime.progress import Account, Place, Sample

ANSWER_S: Final = 1.0
"""How long a busy loop is waited for; then what it told last has to do."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a worker.

    Attributes:
        sample: What the watchdog sees.
        pending: By partition, for how many seconds its first record that is not done has been so; 0.0 if all are.
        in_flight: Records whose effects are not confirmed.
        entries: By table, what RocksDB takes for the number of its entries.
    """

    sample: Sample = field(default_factory=Sample)
    pending: Mapping[Place, float] = field(default_factory=dict)
    in_flight: int = 0
    entries: Mapping[str, int] = field(default_factory=dict)

    def assigned(self) -> Counter[str]:
        """How many partitions are read, by topic."""
        return Counter(topic for topic, _ in self.sample.accounts)


class PendingHeads:
    """Since when the first record that is not done is the first: pure, over accounts as they are looked at."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._since: dict[Place, tuple[int, float]] = {}

    def observe(self, now: float, accounts: Mapping[Place, Account]) -> dict[Place, float]:
        """Look at all partitions that are read.

        Returns:
            The age in seconds of each partition's first record that is not done, since it was first seen as such.
        """
        since: dict[Place, tuple[int, float]] = {}
        for place, account in accounts.items():
            if account.committable < account.position:
                head, begun = self._since.get(place, (None, now))
                since[place] = (account.committable, begun if head == account.committable else now)
        self._since = since
        return {place: now - since[place][1] if place in since else 0.0 for place in accounts}


class Snapshots:
    """Asks a loop for snapshots. For any thread but the loop's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[], Snapshot], answer: float = ANSWER_S) -> None:
        """Bind to a loop, and what takes a snapshot on it; `answer` is how many seconds it is waited for."""
        self._loop = loop
        self._take = take
        self._answer = answer
        self._newest = Snapshot()
        self._owed: threading.Event | None = None
        self._lock = threading.Lock()

    def newest(self) -> Snapshot:
        """A new snapshot, or where the loop is busy or closed the last that there is."""
        with self._lock:
            asked = self._owed
            if asked is None:
                asked = self._owed = threading.Event()
                try:
                    self._loop.call_soon_threadsafe(self._answered, asked)
                except RuntimeError:  # the loop is closed
                    self._owed = None
                    return self._newest
        asked.wait(self._answer)
        return self._newest

    def _answered(self, asked: threading.Event) -> None:
        self._owed = None
        try:
            self._newest = self._take()
        finally:
            asked.set()

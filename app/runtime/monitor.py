"""What can be told of a worker from outside: its health and its figures, from the first moment to the last."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.duration import SECOND, parse_duration
from app.core.rule import Rule
from app.runtime.counts import Counts
from app.runtime.database import tables_folder
from app.runtime.health import Health, Look, liveness, readiness
from app.runtime.rebuild import RecoveryProgress
from app.runtime.settings import Settings
from app.runtime.snapshot import Snapshot, Snapshots
from app.runtime.table_kind import LINEAGE, NEW_TERMS

if TYPE_CHECKING:
    from app.runtime.fetch_sift import FetchCounts, FetchSift
    from app.runtime.heartbeat import Heartbeat

_TABLES = (NEW_TERMS, LINEAGE)


class Monitor:
    """One worker, as others see it. For any thread; nothing in here waits for Kafka."""

    def __init__(self, settings: Settings, rules: Sequence[Rule], counts: Counts) -> None:
        """Before there is an application: the worker starts."""
        self.rules = tuple(rules)
        self.counts = counts
        self.recovery = RecoveryProgress()
        self._settings = settings
        self._limit = parse_duration(settings.watchdog_timeout) / SECOND
        self._look: Callable[[], Look] | None = None
        self._snapshots: Snapshots | None = None
        self._sift: Callable[[], FetchSift | None] = lambda: None
        self._heartbeat: Heartbeat | None = None

    def attach(
        self,
        snapshots: Snapshots,
        look: Callable[[], Look],
        sift: Callable[[], FetchSift | None],
        heartbeat: Heartbeat,
        recovery: RecoveryProgress,
    ) -> None:
        """There is an application, and a watchdog that looks at it."""
        self._sift, self._heartbeat, self.recovery = sift, heartbeat, recovery
        self._look, self._snapshots = look, snapshots

    def snapshot(self) -> Snapshot:
        """The newest; an empty one while the worker starts."""
        return Snapshot() if self._snapshots is None else self._snapshots.newest()

    def look(self) -> Look | None:
        """What the watchdog saw last; None while the worker starts."""
        return None if self._look is None else self._look()

    def live(self) -> Health:
        """Whether the worker makes progress. While it starts there is none to be made: its checks have limits."""
        look = self.look()
        if look is None:
            return Health(True, {"status": "the worker starts"})
        return liveness(look, time.monotonic(), self._limit)

    def ready(self) -> Health:
        """Whether the worker has what it needs and has caught up."""
        look = self.look()
        if look is None:
            return Health(False, {"status": "the worker starts"})
        health = readiness(self.snapshot().sample, look.ends, self._settings.ready_max_lag)
        if not health.ok:
            return health
        # What is known of the lag is old in both cases, and would stay as good as it was.
        live = self.live()
        if not live.ok:
            return Health(False, {**health.body, "status": live.body["status"]})
        if not look.answers:
            return Health(False, {**health.body, "status": "Kafka does not answer, so that its lag is not known"})
        return health

    def heartbeat_age(self) -> float | None:
        """Seconds since the last heartbeat that the group took; None before the first."""
        return None if self._heartbeat is None else self._heartbeat.age()

    def fetched(self) -> dict[str, list[FetchCounts]]:
        """What the sieve saw, by source topic; one entry for each partition that was ever read."""
        sift = self._sift()
        found: dict[str, list[FetchCounts]] = {}
        for (topic, _), counts in [] if sift is None else list(sift.counts.items()):
            found.setdefault(topic, []).append(counts)
        return found

    def read(self) -> Counter[str]:
        """Offsets that were read past, by source topic; each is there from the start, so that silence can be seen."""
        known = Counter(dict.fromkeys(self._settings.source_topics, 0))
        known.update(self.counts.read.copy())
        return known

    def lost(self) -> Counter[str]:
        """Offsets that retention deleted before they were read, by topic; every topic that is read is there."""
        sift = self._sift()
        known = Counter(dict.fromkeys((*self._settings.source_topics, self._settings.matches_topic), 0))
        known.update(Counter() if sift is None else sift.lost.copy())
        return known

    def table_bytes(self) -> Mapping[str, int]:
        """What the files of each table take on disk."""
        folder = tables_folder(self._settings.data_dir)
        return {kind.name: sum(folder_bytes(path) for path in folder.glob(f"{kind.name}-*.db")) for kind in _TABLES}

    def free_bytes(self) -> int | None:
        """Space left for the worker's user where its data is; None before there is a directory."""
        try:
            return shutil.disk_usage(self._settings.data_dir).free
        except OSError:
            return None


def folder_bytes(folder: Path) -> int:
    """What a database's files take; nothing where it was deleted meanwhile, as a rebuild from the start does."""
    try:
        files = list(folder.iterdir())
    except OSError:
        return 0
    return sum(_size(file) for file in files)


def _size(file: Path) -> int:
    """A file's size; RocksDB deletes some at any time."""
    try:
        return file.stat().st_size
    except OSError:
        return 0

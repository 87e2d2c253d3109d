"""Readiness of a worker whose figures are old: what was well once says nothing of now."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from app.runtime.counts import Counts
from app.runtime.health import Look
from app.runtime.monitor import Monitor, folder_bytes
from app.runtime.progress import Account, Sample, Standing
from app.runtime.rebuild import RecoveryProgress
from app.runtime.settings import load_settings
from app.runtime.snapshot import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

_EVENTS = ("events", 0)


@pytest.mark.parametrize(
    ("age", "standing", "answers", "expected"),
    [
        (0.0, Standing(), True, "ok"),
        (0.0, Standing(), False, "Kafka does not answer, so that its lag is not known"),
        (
            0.0,
            Standing(61.0, 60.0, "the worker's event loop"),
            True,
            "the worker's event loop, and has not moved for 61 s",
        ),
        (91.0, Standing(), True, "the watchdog has not looked for 91 s"),
    ],
)
def test_worker_whose_figures_are_old_is_not_ready(
    tmp_path: Path, age: float, standing: Standing, answers: bool, expected: str
) -> None:
    """Partitions, tables and lag as it last knew them are well in each of these."""
    monitor = Monitor(load_settings(data_dir=tmp_path), (), Counts())
    look = Look(time.monotonic() - age, standing, answers, {_EVENTS: 7})
    snapshot = Snapshot(Sample(ready=True, accounts={_EVENTS: Account(7, 7, 7)}))
    snapshots = cast(Any, SimpleNamespace(newest=lambda: snapshot))
    monitor.attach(snapshots, lambda: look, lambda: None, cast(Any, None), RecoveryProgress())

    health = monitor.ready()

    assert ("ok" == expected, expected) == (health.ok, health.body["status"])


def test_database_that_is_deleted_meanwhile_takes_nothing(tmp_path: Path) -> None:
    """A scrape in the middle of a rebuild's beginning does not fail."""
    folder = tmp_path / "lineage-0.db"
    folder.mkdir()
    (folder / "000001.sst").write_bytes(b"12345")
    there = folder_bytes(folder)

    assert (5, 0) == (there, folder_bytes(tmp_path / "lineage-1.db"))

"""The short form of `make chaos`: one run of few faults each, of the kinds that tell most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.chaos.run import run
from tests.chaos.suite import broker
from tests.chaos.table import line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.broker.kafka import Kafka
    from tests.broker.proxy import DelayProxy

pytestmark = pytest.mark.broker

SEED: Final = "5"
SHORT: Final = {
    "effects": ("after_alert_ack", "after_table_write", "before_commit"),
    "disks": ("data directory lost", "database file overwritten"),
    "workers": ("worker frozen", "second worker", "SIGTERM"),
    "broker": ("broker killed", "poison flood", "matches topic made anew"),
    "answers": ("aborted transactions", "answers 200 ms late"),
}


@pytest.fixture(scope="module")
def grounds() -> Iterator[tuple[Kafka, DelayProxy]]:
    """A Kafka for these tests alone, which they kill."""
    with broker() as both:
        yield both


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_and_nothing_is_made_up(grounds: tuple[Kafka, DelayProxy], tmp_path: Path, name: str) -> None:
    """All alerts come, none that is not due, no commit is too early, and the workers catch up."""
    kinds = SHORT[name]
    outcome = run(", ".join(kinds), SEED, len(kinds), *grounds, tmp_path / "run")
    assert not outcome.failed, line(outcome)
    assert len(kinds) == outcome.injected, line(outcome)
    assert 50 < outcome.expected <= outcome.seen

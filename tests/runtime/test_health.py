"""Liveness and readiness: what is answered for what was seen."""

from __future__ import annotations

import pytest

from app.runtime.health import BLIND_S, Look, liveness, readiness
from app.runtime.progress import Account, Sample, Standing

_LIMIT = 60.0
_EVENTS = ("events", 3)
_MATCHES = ("matches", 0)


@pytest.mark.parametrize(
    ("look", "now", "expected"),
    [
        (Look(100.0), 101.0, "ok"),
        (Look(100.0, Standing(59.0, 60.0, "events:3 is read to offset 40 of 100")), 100.5, "ok"),
        (
            Look(100.0, Standing(59.0, 60.0, "events:3 is read to offset 40 of 100")),
            102.0,
            "events:3 is read to offset 40 of 100, and has not moved for 59 s",
        ),
        (Look(100.0, Standing(100.0, 180.0, "the worker has no assignment")), 105.0, "ok"),
        (Look(100.0), 100.0 + _LIMIT + BLIND_S, "ok"),
        (Look(100.0), 191.0, "the watchdog has not looked for 91 s"),
    ],
)
def test_worker_lives_while_what_must_move_moves(look: Look, now: float, expected: str) -> None:
    """What stands is alive until its time is over, and so is who watches; the answer says what it is."""
    health = liveness(look, now, _LIMIT)

    assert ("ok" == expected, expected) == (health.ok, health.body["status"])


@pytest.mark.parametrize(
    ("sample", "ends", "expected"),
    [
        (Sample(), {}, "it has no assignment yet"),
        (Sample(recovered=7), {}, "its tables are being recovered"),
        (Sample(ready=True), {}, "ok"),
        (Sample(ready=True, missing=frozenset({"matches"})), {}, "its client knows nothing of matches"),
        (
            Sample(ready=True, accounts={_EVENTS: Account(100, 90, 80)}),
            {},
            "Kafka has not told yet how far events:3 go",
        ),
        (Sample(ready=True, accounts={_EVENTS: Account(100, 90, 80)}), {_EVENTS: 180}, "ok"),
        (Sample(ready=True, accounts={_EVENTS: Account(300, 90, 200)}), {_EVENTS: 180}, "ok"),
        (
            Sample(ready=True, accounts={_EVENTS: Account(100, 90, 80), _MATCHES: Account(5, 5, 5)}),
            {_EVENTS: 181, _MATCHES: 5},
            "over 100 offsets behind: events:3",
        ),
    ],
)
def test_worker_is_ready_with_partitions_tables_and_little_lag(
    sample: Sample, ends: dict[tuple[str, int], int], expected: str
) -> None:
    """The first condition that fails is told; a worker with no partition stands by and is ready."""
    health = readiness(sample, ends, 100)

    assert ("ok" == expected, expected) == (health.ok, health.body["status"])


def test_many_partitions_are_told_in_few_words() -> None:
    """An answer stays readable with a thousand partitions behind."""
    accounts = {("events", number): Account(0, 0, 0) for number in range(1000)}
    health = readiness(Sample(ready=True, accounts=accounts), dict.fromkeys(accounts, 101), 100)

    assert "over 100 offsets behind: events:0 events:1 events:10 events:100 events:101 and 995 more" == str(
        health.body["status"]
    )

"""Whether a worker lives and is ready: pure, over what was seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.runtime.progress import Place, Sample, Standing

BLIND_S: Final = 30.0
"""Seconds beyond the limit after which a watchdog that has not looked is taken for dead: what it asks of Kafka may
take twenty of them."""

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Look:
    """What the watchdog saw when it last looked.

    Attributes:
        at: When that was, in seconds of a monotonic clock.
        standing: What was nearest to the end of its time.
        answers: Kafka answered.
        ends: The last stable offsets that Kafka told when it last answered; a partition without a leader is not there.
    """

    at: float
    standing: Standing = field(default_factory=Standing)
    answers: bool = False
    ends: Mapping[Place, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """An answer: whether all is well, and why, as it is put into JSON."""

    ok: bool
    body: Mapping[str, object]


def liveness(look: Look, now: float, limit: float) -> Health:
    """Whether what must move moves, as the watchdog sees it, and whether the watchdog itself does.

    A worker that fails ends by itself within seconds; the answer is for those who watch from outside.

    Args:
        look: What the watchdog saw last.
        now: The present, by the same clock.
        limit: Seconds that anything may stand still.
    """
    age = now - look.at
    standing = look.standing
    body = {
        "status": "ok",
        "standing_seconds": round(standing.seconds, 1),
        "standing": standing.told,
        "kafka_answers": look.answers,
        "watchdog_age_seconds": round(age, 1),
    }
    if age > limit + BLIND_S:
        return Health(False, {**body, "status": f"the watchdog has not looked for {age:.0f} s"})
    if standing.seconds and standing.seconds + age > standing.limit:
        return Health(False, {**body, "status": f"{standing.told}, and has not moved for {standing.seconds:.0f} s"})
    return Health(True, body)


def readiness(sample: Sample, ends: Mapping[Place, int], max_lag: int) -> Health:
    """Whether the worker has its partitions, their tables, and next to nothing left to do.

    A worker for which its group has no partition is ready: it stands by.

    Args:
        sample: What the worker was doing last.
        ends: The last stable offset of every partition that is known.
        max_lag: Offsets that a partition may have between what is committed and its last stable offset.
    """
    body: dict[str, object] = {"status": "ok", "assigned": len(sample.accounts), "recovering": False}
    if sample.recovered is not None:
        return Health(False, {**body, "status": "its tables are being recovered", "recovering": True})
    if not sample.ready:
        return Health(False, {**body, "status": "it has no assignment yet"})
    if sample.missing:
        return Health(False, {**body, "status": f"its client knows nothing of {_listed(sample.missing)}"})
    unknown = sorted(_shown(place) for place in sample.accounts if place not in ends)
    if unknown:
        return Health(False, {**body, "status": f"Kafka has not told yet how far {_listed(unknown)} go"})
    lags = {place: max(0, ends[place] - account.committed) for place, account in sample.accounts.items()}
    body["lag"] = max(lags.values(), default=0)
    behind = sorted(_shown(place) for place, lag in lags.items() if lag > max_lag)
    if behind:
        return Health(False, {**body, "status": f"over {max_lag} offsets behind: {_listed(behind)}"})
    return Health(True, body)


def _shown(place: Place) -> str:
    return f"{place[0]}:{place[1]}"


def _listed(names: frozenset[str] | list[str]) -> str:
    first = sorted(names)[:_SHOWN]
    more = len(names) - len(first)
    return " ".join(first) + (f" and {more} more" if more else "")

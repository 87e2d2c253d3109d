"""Whether a worker makes progress: pure, over what was sampled of it and of its topics.

Liveness is that something moves while there is something to do; a process that answers is not enough.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final

Place = tuple[str, int]
"""A topic and a partition."""

_JOINING_SHARE: Final = 3
"""A join waits for the other members, for up to a minute: it gets this many times as long."""


@dataclass(frozen=True, slots=True)
class Account:
    """One partition's offsets: the scanned position, what may be committed, what is committed."""

    position: int
    committable: int
    committed: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What a worker was doing at one moment.

    Attributes:
        ready: Partitions are assigned, and their tables are recovered.
        in_flight: Records under way: topic, partition, offset; a limit of their own ends them.
        waiting: By topic, how many records its agent has yet to begin.
        recovered: What recovery has applied so far, of all recoveries; None while none is under way.
        accounts: The partitions that are read, while ready.
        missing: Topics that the worker's client knows nothing of: they have no part in its assignment.
    """

    ready: bool = False
    in_flight: frozenset[tuple[str, int, int]] = frozenset()
    waiting: Mapping[str, int] = field(default_factory=dict)
    recovered: int | None = None
    accounts: Mapping[Place, Account] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Due:
    """Something that must move: the value that does, what to say if it doesn't, and how many limits it may take.

    What is not sure has its time counted all the same, and is told once it is.
    """

    value: Hashable
    told: str
    limits: int = 1
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """What must move and does not: for how many seconds, how many it may take, and what it is."""

    seconds: float = 0.0
    limit: float = 0.0
    told: str = ""


class Progress:
    """What must move, and since when it has not.

    Attributes:
        standing: What was nearest to its limit when it was last looked at.
    """

    def __init__(self, limit: float) -> None:
        """Begin with nothing seen; `limit` is the seconds that anything may stand still."""
        self._limit = limit
        self.standing = Standing()
        self._since: dict[Hashable, tuple[Hashable, float]] = {}

    def observe(self, now: float, sample: Sample, ends: Mapping[Place, int] | None, silent: float = 0.0) -> str | None:
        """Take what was sampled last.

        Args:
            now: The present, in seconds of a monotonic clock.
            sample: The newest sample there is.
            silent: For how many seconds the worker's loop has owed a sample; what it shows may be old then.
            ends: The last stable offset of every partition that is known; None where Kafka does not answer, in which
                time nothing is expected to move but the worker's own loop.

        Returns:
            What is stuck, one line; None if nothing is.
        """
        if silent:
            self.standing = Standing(silent, self._limit, "the worker's event loop")
            return f"{self.standing.told} has stood still for {silent:.0f} s" if silent > self._limit else None
        due = {} if ends is None else _due(sample, ends)
        self._since = {
            name: self._since[name] if self._since.get(name, (None,))[0] == thing.value else (thing.value, now)
            for name, thing in due.items()
        }
        standing = [
            Standing(now - self._since[name][1], self._limit * thing.limits, thing.told)
            for name, thing in due.items()
            if thing.sure
        ]
        self.standing = max(standing, key=lambda each: each.seconds / each.limit, default=Standing())
        if self.standing.seconds > self.standing.limit:
            return f"{self.standing.told}, and has not moved for {self.standing.seconds:.0f} s"
        return None


def _due(sample: Sample, ends: Mapping[Place, int]) -> dict[Hashable, _Due]:
    """What must move, by a name that stays the same while it is the same thing."""
    if sample.recovered is not None:
        return {"recovery": _Due(sample.recovered, f"recovery has applied {sample.recovered} changelog records")}
    if not sample.ready:
        return {"joining": _Due(True, "the worker has no assignment", _JOINING_SHARE)}
    due: dict[Hashable, _Due] = {
        ("missing", topic): _Due(True, f"the worker's client knows nothing of topic {topic}, so nobody reads it")
        for topic in sample.missing
    }
    for place, account in sample.accounts.items():
        shown = f"{place[0]}:{place[1]}"
        if ends.get(place, 0) > account.position:
            moving = (account.position, account.committable)
            told = f"{shown} is read to offset {account.position} of {ends[place]}"
            due["position", place] = _Due(moving, told)
        if account.committable < account.position and (*place, account.committable) not in sample.in_flight:
            told = f"{shown}:{account.committable} is not done although it is neither in process nor waiting for it"
            due["pending", place] = _Due(account.committable, told, sure=not sample.waiting.get(place[0]))
        if account.committed < account.committable:
            told = f"{shown} is committed to offset {account.committed}, and done to {account.committable}"
            due["commit", place] = _Due(account.committed, told)
    return due

"""Copies of a topic: what is at risk with those that there are. Worth a warning, never a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

ENOUGH: Final = 3
"""Copies of a topic with which the loss of a broker is neither loss of records nor standstill."""


class Copies(NamedTuple):
    """How a topic is kept.

    Attributes:
        topic: Its name.
        replicas: Copies of the partition that has the fewest.
        min_insync: Its `min.insync.replicas`.
        written: Whether the worker writes it.
    """

    topic: str
    replicas: int
    min_insync: int
    written: bool


def warnings(found: Sequence[Copies]) -> tuple[str, ...]:
    """What can go wrong, and what mends it; topics of one kind in one line."""
    few = [f"{one.topic} ({one.replicas})" for one in found if one.replicas < ENOUGH]
    blocked = [_insync(one) for one in found if one.written and one.min_insync > one.replicas]
    strict = [_insync(one) for one in found if one.written and 1 < one.replicas == one.min_insync]
    lines = (
        (few, f"fewer than {ENOUGH} replicas, so that losing a broker may lose records; kafka-reassign-partitions.sh"
              " adds replicas"),
        (blocked, "more in-sync replicas asked for than there are, so that nothing can be written; lower "
                  "min.insync.replicas"),
        (strict, "all replicas must be in sync, so that one broker down stops the worker; lower min.insync.replicas"),
    )  # fmt: skip
    return tuple(f"{text}: {', '.join(topics)}" for topics, text in lines if topics)


def differences(found: Sequence[Copies], replication_factor: int) -> tuple[str, ...]:
    """Topics of ours that are kept in another number of copies than the setting says."""
    return tuple(
        f"topic {one.topic} has {one.replicas} replicas, not {replication_factor} (EXIMWATCH_REPLICATION_FACTOR): "
        "kafka-reassign-partitions.sh changes it"
        for one in found
        if one.written and one.replicas != replication_factor
    )


def _insync(one: Copies) -> str:
    return f"{one.topic} (min.insync.replicas={one.min_insync} of {one.replicas})"

"""All kinds of faults, in the order of the table."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from tests.chaos import broker_faults, disk_faults, process_faults
from tests.chaos.scene import Fault

FAULTS: Final = (*process_faults.FAULTS, *disk_faults.FAULTS, *broker_faults.FAULTS)

BY_NAME: Final = {fault.name: fault for fault in FAULTS}

MIXED: Final = "mixed"
"""Not a fault: a run whose faults are of all kinds that mix."""

NAMES: Final = (*BY_NAME, MIXED)


def drawn(kind: str, count: int, random: Random) -> Sequence[Fault]:
    """The faults of a run: so many of a kind; or one of each, in this order, of kinds with commas between them."""
    names = kind.split(", ")
    if len(names) > 1:
        return [BY_NAME[name] for name in names]
    if kind != MIXED:
        return [BY_NAME[kind]] * count
    mixing = [fault for fault in FAULTS if fault.mixes]
    return [random.choice(mixing) for _ in range(count)]

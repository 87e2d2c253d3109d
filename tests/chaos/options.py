"""What `make chaos` runs, from the environment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.chaos.faults import NAMES

FAULTS: Final = 330
A_RUN: Final = 8
BESIDE: Final = 2


class OptionError(ValueError):
    """A variable has an impossible value; the message names it and the possible ones."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that can be chosen.

    Attributes:
        seed: Of the whole suite; runs have seeds made of it.
        faults: How many over all kinds.
        kinds: Which.
        beside: How many runs there are at a time, on one broker.
    """

    seed: str
    faults: int
    kinds: tuple[str, ...]
    beside: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Options:
        """Read SEED, FAULTS, KINDS (names with commas) and BESIDE.

        Raises:
            OptionError: One of them is impossible.
        """
        text = environment.get("KINDS", "")
        kinds = tuple(part.strip() for part in text.split(",") if part.strip()) or NAMES
        for kind in kinds:
            if kind not in NAMES:
                raise OptionError(f"KINDS={text}: {kind} is none of {', '.join(NAMES)}")
        return cls(
            seed=environment.get("SEED") or str(int(time.time())),
            faults=_number(environment, "FAULTS", FAULTS),
            kinds=kinds,
            beside=_number(environment, "BESIDE", BESIDE),
        )

    def runs(self) -> list[tuple[str, str, int]]:
        """Kind, seed and number of faults of each run: every kind has its equal share."""
        found: list[tuple[str, str, int]] = []
        for number, kind in enumerate(self.kinds):
            count = self.faults * (number + 1) // len(self.kinds) - self.faults * number // len(self.kinds)
            runs = -(-count // A_RUN)
            for part in range(runs):
                share = count * (part + 1) // runs - count * part // runs
                found.append((kind, f"{self.seed}.{part}", share))
        return found


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise OptionError(f"{name}={text} must be a number from 1")
    return int(text)

"""What a run of the bench measures, from the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.bench.results import Cell

CODECS: Final = ("none", "lz4", "zstd")
SIZES: Final = ("large", "small")
RATES: Final = (2000, 0, 50)
MANY_MATCHES: Final = 50
PARTS: Final = ("table", "workers", "tls", "matches", "latency")

HEADLINE_SIZE: Final = "large"
HEADLINE_RATE: Final = 2000


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many events a contender reads, by how fast it is: the fast ones must run for some seconds."""

    long: int
    middle: int
    modest: int
    short: int


_FULL: Final = Lengths(1_500_000, 500_000, 120_000, 30_000)
_FULL_UNCOMPRESSED: Final = Lengths(1_000_000, 500_000, 120_000, 30_000)
_QUICK: Final = Lengths(100_000, 40_000, 10_000, 5_000)


class OptionError(ValueError):
    """A variable has an impossible value; the message names it and the possible ones."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that can be chosen.

    Attributes:
        quick: Small topics and one repeat: shows that all works, its figures mean nothing.
        all_peers: Measure aiokafka, Quix Streams and Bytewax too.
        repeats: How often each figure is taken, contenders in turn.
        codecs: Compression of the topics.
        sizes: `large` (4.9 KB) and `small` (2.4 KB) events.
        rates: One event in so many matches; 0 is none.
        parts: Which parts are run.
    """

    quick: bool
    all_peers: bool
    repeats: int
    codecs: tuple[str, ...]
    sizes: tuple[str, ...]
    rates: tuple[int, ...]
    parts: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Options:
        """Read PEERS, QUICK, REPEATS, CODECS, SIZES, RATES and PARTS; lists with commas.

        Raises:
            OptionError: One of them is impossible.
        """
        quick = environment.get("QUICK", "") not in ("", "0")
        rates = _chosen(environment, "RATES", tuple(map(str, RATES)))
        return cls(
            quick=quick,
            all_peers=environment.get("PEERS") == "all",
            repeats=_number(environment.get("REPEATS") or ("1" if quick else "3")),
            codecs=_chosen(environment, "CODECS", CODECS),
            sizes=_chosen(environment, "SIZES", SIZES),
            rates=tuple(map(int, rates)),
            parts=_chosen(environment, "PARTS", PARTS),
        )

    def lengths(self, cell: Cell) -> Lengths:
        """How many events are read in a cell."""
        if self.quick:
            return _QUICK
        full = _FULL_UNCOMPRESSED if cell.codec == "none" else _FULL
        if cell.rate == MANY_MATCHES:
            return Lengths(full.long // 6, full.middle, full.modest, full.short)
        return full

    def cells(self) -> Iterator[Cell]:
        """Codec, size and rate of each table; they differ from the headline's in at most one of size and rate."""
        for size in self.sizes:
            for rate in self.rates:
                if size == HEADLINE_SIZE or rate == HEADLINE_RATE:
                    yield from (Cell(codec, size, rate) for codec in self.codecs)


def is_headline(cell: Cell) -> bool:
    """Whether all contenders are measured in it."""
    return (cell.size, cell.rate) == (HEADLINE_SIZE, HEADLINE_RATE)


def _chosen(environment: Mapping[str, str], name: str, possible: tuple[str, ...]) -> tuple[str, ...]:
    text = environment.get(name, "")
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in chosen:
        if part not in possible:
            raise OptionError(f"{name}={text}: {part} is none of {', '.join(possible)}")
    return chosen or possible


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise OptionError(f"REPEATS={text} must be a number from 1")
    return int(text)

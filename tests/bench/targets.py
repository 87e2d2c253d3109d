"""What the sieve must reach and aims at, against each contender: printed beside what was measured."""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.bench.contenders import CONFLUENT, FAUST, PERFORMANCE, STREAMS

FLOOR: Final = "the floor"


class Target(NamedTuple):
    """A ratio of the worker's figure to another's: events/s at least, or CPU an event at most."""

    against: str
    cpu: bool
    by_codec: dict[str, tuple[float, float]]


TARGETS: Final = (
    Target(FAUST, False, {"lz4": (40, 60), "zstd": (35, 50), "none": (20, 35)}),
    Target(CONFLUENT, False, {"lz4": (4, 5), "zstd": (3, 4), "none": (1.0, 1.5)}),
    Target(CONFLUENT, True, {"lz4": (0.4, 0.3), "zstd": (0.4, 0.3), "none": (0.55, 0.4)}),
    Target(STREAMS, False, {"lz4": (2, 2.5), "zstd": (1.8, 2.5), "none": (1.4, 2)}),
    Target(PERFORMANCE, False, {"lz4": (1.0, 1.3), "zstd": (1.0, 1.2), "none": (0.8, 1.1)}),
    Target(FLOOR, True, {"lz4": (2, 1.5), "zstd": (2, 1.5), "none": (2, 1.5)}),
)

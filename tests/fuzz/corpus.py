"""What mutations begin with: recorded events, built ones, and every hostile record of the broker tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.broker.hostile import cases
from tests.events import event, raw

RECORDINGS: Final = Path(__file__).parents[1] / "recordings" / "events.ndjson"

_LARGE: Final = 20_000  # bytes
_LARGE_SHARE: Final = 0.0002  # they take a thousand times as long
_SHARES: Final = (0.6, 0.85)


@dataclass(frozen=True)
class Corpus:
    """Records by kind; in all of them the needle stands, but for some of the hostile ones."""

    built: tuple[bytes, ...]
    recorded: tuple[bytes, ...]
    hostile: tuple[bytes, ...]
    large: tuple[bytes, ...]

    def pick(self, random: Random) -> bytes:
        """One of them; large ones are rare."""
        share = random.random()
        if share < _LARGE_SHARE:
            return random.choice(self.large)
        if share < _SHARES[0]:
            return random.choice(self.built)
        return random.choice(self.recorded if share < _SHARES[1] else self.hostile)


@cache
def corpus() -> Corpus:
    """The corpus, the same in every process."""
    recorded = tuple(line for line in RECORDINGS.read_bytes().splitlines() if b"exim4" in line)
    hostile = sorted({case.value for case in cases() if case.value} | {raw(document) for document in _of_many_terms()})
    return Corpus(
        tuple(raw(document) for document in _built()),
        recorded,
        tuple(value for value in hostile if len(value) < _LARGE),
        tuple(value for value in hostile if len(value) >= _LARGE),
    )


def _of_many_terms() -> Iterator[dict[str, Any]]:
    yield event([f"p{number}" for number in range(11)], host=[f"h{number}" for number in range(11)])
    yield event("sh", user__id=0, process__args=[f"a{number}" for number in range(120)])


def _built() -> Iterator[dict[str, Any]]:
    for name in ("sh", "perl", "id", "grep"):
        yield event(name)
        yield event(name, host=["h1", "h2"], event__ingested="2026-01-05T08:00:01Z")
        yield event(name, process__group_leader__name="exim4", parent="sh", process__args=["sh", "-c", "exim4"])
        dotted = json.loads(raw(event(name)))
        yield {f"{key}.{inner}": value for key, part in dotted.items() if isinstance(part, dict)
               for inner, value in part.items()} | {"@timestamp": dotted["@timestamp"]}  # fmt: skip

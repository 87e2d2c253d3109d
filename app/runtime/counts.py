"""Plain counters of one worker; nothing is judged by them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """What a worker did since it started.

    Attributes:
        scanned: Source records that are no candidates, those that the sieve dropped included (there the offsets of
            control batches count too).
        null: Source records without a value; skipped.
        candidates: Source records that were decoded.
        forwarded: Records written to the matches topic.
        without_host: Members of exim4's family that match no rule and name no host, so that nothing is kept of them.
        verdicts: Verdicts by their name.
        dead_letters: Dead letters by reason.
    """

    scanned: int = 0
    null: int = 0
    candidates: int = 0
    forwarded: int = 0
    without_host: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)

    def shown(self) -> dict[str, int]:
        """By name, for the log."""
        return {
            "scanned": self.scanned,
            "null": self.null,
            "candidates": self.candidates,
            "forwarded": self.forwarded,
            "without_host": self.without_host,
            **dict(sorted(self.verdicts.items())),
            **{f"dead_letter.{name}": count for name, count in sorted(self.dead_letters.items())},
        }

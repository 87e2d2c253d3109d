"""Plain counters of one worker; nothing is judged by them, and metrics are made of them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from app.runtime.metrics import LATENCY_BUCKETS

_NANOSECONDS = 1e9


@dataclass(slots=True)
class Latency:
    """A histogram of durations, by the upper bounds of `LATENCY_BUCKETS`.

    Attributes:
        buckets: How many fell into each, none of them into two; the last is for what is longer than all.
        total: Their sum in seconds.
    """

    buckets: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS) + 1))
    total: float = 0.0

    def observe(self, begin: int | None, end: int) -> None:
        """Take one, from times in nanoseconds since 1970; what seems to end before it began took no time.

        Where there is no beginning nothing is taken.
        """
        if begin is None:
            return
        seconds = max(0, end - begin) / _NANOSECONDS
        self.buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class Counts:
    """What a worker did since it started. Written on its event loop alone; any thread may read.

    Attributes:
        read: Offsets of source topics that were read past, by topic; those of control batches count too.
        scanned: Source records that are no candidates, those that the sieve dropped included (there the offsets of
            control batches count too).
        null: Source records without a value; skipped.
        candidates: Source records that were decoded.
        matches: Source records that match a rule's query and have its term, by rule.
        forwarded: Records written to the matches topic.
        without_host: Members of exim4's family that match no rule and name no host, so that nothing is kept of them.
        verdicts: By rule and name of the verdict.
        alerts: Confirmed alerts, by rule and level of their assessment.
        dead_letters: Confirmed dead letters, by reason.
        latencies: How late confirmed alerts were: since the event's clock, the source record's timestamp, and the
            match's append.
        rebalances: Assignments that this worker was given.
    """

    read: Counter[str] = field(default_factory=Counter)
    scanned: int = 0
    null: int = 0
    candidates: int = 0
    matches: Counter[str] = field(default_factory=Counter)
    forwarded: int = 0
    without_host: int = 0
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    alerts: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, Latency] = field(
        default_factory=lambda: {"clock": Latency(), "source": Latency(), "match": Latency()}
    )
    rebalances: int = 0

    def of_verdict(self) -> Counter[str]:
        """Verdicts of all rules, by their name."""
        totals: Counter[str] = Counter()
        for (_, verdict), count in self.verdicts.items():
            totals[verdict] += count
        return totals

    def shown(self) -> dict[str, int]:
        """By name, for the log."""
        return {
            "scanned": self.scanned,
            "null": self.null,
            "candidates": self.candidates,
            "forwarded": self.forwarded,
            "without_host": self.without_host,
            **dict(sorted(self.of_verdict().items())),
            **{f"dead_letter.{name}": count for name, count in sorted(self.dead_letters.items())},
        }

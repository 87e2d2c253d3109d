"""What a run found, as it stands in results.json: every single measurement, and medians of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tests.broker.jars import REPOSITORY

FOLDER: Final = REPOSITORY / "build" / "bench"
FILE: Final = FOLDER / "results.json"


class Cell(msgspec.Struct, frozen=True):
    """What the events of a topic are like.

    Attributes:
        codec: How the batches are compressed.
        size: `large` or `small`.
        rate: One in so many matches; 0: none but the markers at the end.
    """

    codec: str
    size: str
    rate: int

    def __str__(self) -> str:
        """For people."""
        rate = f"1 match in {self.rate:,}" if self.rate else "no match"
        return f"{self.codec}, {self.size} events, {rate}"


class Span(msgspec.Struct, frozen=True):
    """One contender's way through a topic, from its assignment until it has looked at every record.

    Attributes:
        events: Records in the topic.
        seconds: Wall time.
        cpu_seconds: User and system time of the process, all its threads.
        peak_rss: The process's greatest resident size, bytes, its start-up included.
    """

    events: int
    seconds: float
    cpu_seconds: float
    peak_rss: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU an event."""
        return self.cpu_seconds / self.events * 1e6


class Measurement(msgspec.Struct, frozen=True):
    """One run of one contender; `error` where there is no span, `others` the share of the cores they took."""

    contender: str
    cell: Cell
    round: int
    others: float
    span: Span | None = None
    error: str | None = None


class Corpus(msgspec.Struct, frozen=True):
    """What was really in a topic.

    Attributes:
        cell: What it was meant to be.
        events: Records.
        mean_bytes: Of a record's value.
        batch_records: Records a batch, mean.
        ratio: Bytes of the batches' records before and after compression.
    """

    cell: Cell
    events: int
    mean_bytes: float
    batch_records: float
    ratio: float


class Floor(msgspec.Struct, frozen=True):
    """The work itself over the same batches, microseconds of CPU an event."""

    cell: Cell
    round: int
    crc_us: float
    inflate_us: float
    search_us: float

    @property
    def cpu_us(self) -> float:
        """All of it."""
        return self.crc_us + self.inflate_us + self.search_us


class Latency(msgspec.Struct, frozen=True):
    """From `produce()` of a match to its alert in the hands of a consumer, milliseconds."""

    background: float
    matches: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    worker_cpu_share: float


MAIL_SERVER: Final = "mail server"


class MatchCost(msgspec.Struct, frozen=True):
    """A topic of nothing but matches, or of a mail server alone, through both steps."""

    kind: str
    round: int
    others: float
    span: Span | None = None
    error: str | None = None


class WorkerCount(msgspec.Struct, frozen=True):
    """One or more workers of one group on one topic; the span's CPU is the sum, its memory the greatest."""

    workers: int
    round: int
    others: float
    span: Span | None = None
    error: str | None = None
    tls: bool = False


class Results(msgspec.Struct):
    """A whole run."""

    machine: dict[str, str]
    versions: dict[str, str]
    options: dict[str, str]
    corpora: list[Corpus] = msgspec.field(default_factory=list)
    measurements: list[Measurement] = msgspec.field(default_factory=list)
    floors: list[Floor] = msgspec.field(default_factory=list)
    match_costs: list[MatchCost] = msgspec.field(default_factory=list)
    workers: list[WorkerCount] = msgspec.field(default_factory=list)
    latency: Latency | None = None
    failures: dict[str, str] = msgspec.field(default_factory=dict)
    medians: list[dict[str, str | float]] = msgspec.field(default_factory=list)

    def median(self, contender: str, cell: Cell, figure: Callable[[Span], float]) -> float | None:
        """A figure's median over the rounds; None where no round succeeded."""
        spans = [m.span for m in self.measurements if (m.contender, m.cell) == (contender, cell) and m.span]
        return statistics.median(map(figure, spans)) if spans else None

    def floor(self, cell: Cell) -> float | None:
        """The floor's median, microseconds of CPU an event."""
        found = [floor.cpu_us for floor in self.floors if floor.cell == cell]
        return statistics.median(found) if found else None

    def error(self, contender: str, cell: Cell) -> str | None:
        """Why a contender has no figure."""
        return next(
            (m.error for m in self.measurements if (m.contender, m.cell) == (contender, cell) and m.error), None
        )

    @property
    def others(self) -> list[float]:
        """The share of all cores that others took, run by run."""
        found: list[Measurement | MatchCost | WorkerCount]
        found = [*self.measurements, *self.match_costs, *self.workers]
        return [run.others for run in found]

    def save(self, file: Path = FILE) -> None:
        """Write everything, medians made anew."""
        pairs = dict.fromkeys((m.contender, m.cell) for m in self.measurements)
        self.medians = [
            {
                "contender": contender,
                "cell": str(cell),
                "events_s": self.median(contender, cell, lambda span: span.rate) or 0.0,
                "cpu_us": self.median(contender, cell, lambda span: span.cpu_us) or 0.0,
                "rss_mb": (self.median(contender, cell, lambda span: span.peak_rss) or 0.0) / 1e6,
            }
            for contender, cell in pairs
        ]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def load(cls, file: Path = FILE) -> Results:
        """Read what `save` wrote."""
        return msgspec.json.decode(file.read_bytes(), type=cls)

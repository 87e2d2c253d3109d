"""What was measured of one worker, each figure once, with where it is from; the sizing calculates with nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_BENCH: Final = "`make bench`, 2026-11-24"
_FAMILY: Final = "`make soak-family`, 2026-11-24"
_FOOTPRINT: Final = "`python -m tests.bench.footprint`, 2026-11-24"
_RECOVERY: Final = "`make bench-recovery`, 2026-11-24"
_RING: Final = "`make bench-ring`, 2026-11-24"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its origin; all are of two cores of an AMD EPYC with 24 GiB, Linux x86-64, Python 3.11.

    Attributes:
        name: Of the constant or the entry of one.
        value: As it was measured.
        unit: Of it.
        source: Command and day.
        what: What was measured, in words.
    """

    name: str
    value: float
    unit: str
    source: str
    what: str


LARGE_BYTES: Final = 4_900
SMALL_BYTES: Final = 2_418
SCAN_US: Final = {"none": 1.88, "lz4": 1.83, "zstd": 2.94}
LARGE_SPARSE_US: Final = {"none": 2.46, "lz4": 2.45, "zstd": 3.47}
SMALL_SPARSE_US: Final = {"none": 1.73, "lz4": 1.65, "zstd": 2.06}
SPARSE: Final = 2_000
COMPRESSION: Final = {"none": 1.0, "lz4": 4.2, "zstd": 7.5}
LARGE_SPARSE_RATE: Final = {"none": 278_000.0, "lz4": 362_000.0, "zstd": 272_000.0}
THREE_RULES: Final = 1.08
FAMILY_RATE: Final = 1_128.0
FAMILY_US: Final = 792.0
DENSE_MATCH_US: Final = 950.0
PEAK_RSS: Final = 115e6

MATCHES_AN_EXECUTION: Final = 42 / 39
SLOTS_AN_EXECUTION: Final = 2.0
LINEAGE_DAYS: Final = 7.0
SLOT_BYTES: Final = 113.0
LINEAGE_RECORDS: Final = 3.1
LINEAGE_RECORD_BYTES: Final = 286.0
RECORD_FRAMING_BYTES: Final = 20.0
LINEAGE_REBUILD: Final = 70_000.0
TERMS_REBUILD: Final = 522_000.0

TERM_BYTES: Final = 48.6
TERM_RECORD_BYTES: Final = 170.6
TERM_MEMORY_BYTES: Final = 20.6
TERM_CHANGE_BYTES: Final = 185.0
ALERT_BYTES: Final = 11_922.0
MATCH_OVERHEAD_BYTES: Final = 241.0

IDLE_BYTES: Final = 97.6e6
IDLE_PARTITION_BYTES: Final = 0.52e6
IDLE_FILES: Final = 33
DATABASE_FILES: Final = 6
DATABASE_MAX_SSTS: Final = 128
DATABASE_BESIDES_BYTES: Final = 15 * 1024 * 1024
AT_WORK_BYTES: Final = 128 * 1024 * 1024

WORKER_CORES: Final = 0.88
SPARSE_EXECUTION_US: Final = 1_630.0


def sparse_match_us(codec: str) -> float:
    """CPU of a match among 2,000 events over that of an event, microseconds; measured with the child rule alone."""
    return (LARGE_SPARSE_US[codec] - SCAN_US[codec]) * SPARSE


def small_scan_us(codec: str) -> float:
    """CPU of a small event that is only scanned: the measured one holds a match in 2,000."""
    return SMALL_SPARSE_US[codec] - sparse_match_us(codec) / SPARSE


FIGURES: Final = (
    *(
        Figure(
            f"SCAN_US[{codec}]", value, "µs of CPU", _BENCH, f"an event of 4.9 KB in a topic without matches, {codec}"
        )
        for codec, value in SCAN_US.items()
    ),
    *(
        Figure(f"LARGE_SPARSE_US[{codec}]", value, "µs of CPU", _BENCH, f"the same with one match in 2,000, {codec}")
        for codec, value in LARGE_SPARSE_US.items()
    ),
    *(
        Figure(
            f"SMALL_SPARSE_US[{codec}]", value, "µs of CPU", _BENCH, f"an event of 2.4 KB, one match in 2,000, {codec}"
        )
        for codec, value in SMALL_SPARSE_US.items()
    ),
    *(
        Figure(
            f"LARGE_SPARSE_RATE[{codec}]", value, "events/s", _BENCH, f"one worker, 4.9 KB, one match in 2,000, {codec}"
        )
        for codec, value in LARGE_SPARSE_RATE.items()
    ),
    *(
        Figure(f"COMPRESSION[{codec}]", value, "×", _BENCH, f"made-up events of 4.9 KB, 64 a batch, {codec}")
        for codec, value in COMPRESSION.items()
    ),
    Figure("THREE_RULES", THREE_RULES, "×", _BENCH, "CPU with three rules and the lineage over the child rule alone"),
    Figure("DENSE_MATCH_US", DENSE_MATCH_US, "µs of CPU", _BENCH, "a match where one event in 50 is one, three rules"),
    Figure("PEAK_RSS", PEAK_RSS, "bytes", _BENCH, "peak memory at full speed, 4 partitions, at most (zstd)"),
    Figure("FAMILY_RATE", FAMILY_RATE, "executions/s", _FAMILY, "executions of exim4's family that one worker takes"),
    Figure("FAMILY_US", FAMILY_US, "µs of CPU", _FAMILY, "an execution at that rate"),
    Figure("SLOT_BYTES", SLOT_BYTES, "bytes", _RING, "on disk, a slot of a host's ring, compacted as RocksDB does"),
    Figure("SLOTS_AN_EXECUTION", SLOTS_AN_EXECUTION, "slots", _RING, "that an execution takes, about"),
    Figure("LINEAGE_RECORDS", LINEAGE_RECORDS, "records", _RING, "of the lineage's changelog an execution"),
    Figure("LINEAGE_RECORD_BYTES", LINEAGE_RECORD_BYTES, "bytes", _RING, "such a record, key and value, mean"),
    Figure(
        "LINEAGE_REBUILD",
        LINEAGE_REBUILD,
        "records/s",
        "a worker's log, 2026-11-24",
        "rebuild of the lineage, about; a rate: other machines have others",
    ),
    Figure("TERMS_REBUILD", TERMS_REBUILD, "records/s", _RECOVERY, "rebuild of the terms; a rate as well"),
    Figure(
        "MATCHES_AN_EXECUTION",
        MATCHES_AN_EXECUTION,
        "matches",
        "`python -m tests.recordings.noise`, 2026-11-24",
        "of all rules an execution, on the recorded or written day that has most",
    ),
    Figure(
        "TERM_BYTES", TERM_BYTES, "bytes", _FOOTPRINT, "on disk, a term of a million, compacted; ids differ by host"
    ),
    Figure("TERM_RECORD_BYTES", TERM_RECORD_BYTES, "bytes", _FOOTPRINT, "the same before compression, key and value"),
    Figure(
        "TERM_MEMORY_BYTES",
        TERM_MEMORY_BYTES,
        "bytes",
        _FOOTPRINT,
        "memory a term of a million that are read by chance",
    ),
    Figure("TERM_CHANGE_BYTES", TERM_CHANGE_BYTES, "bytes", _FOOTPRINT, "in the terms' changelog, a known match"),
    Figure("ALERT_BYTES", ALERT_BYTES, "bytes", _FOOTPRINT, "in the topic of alerts, an alert of an event of 4.9 KB"),
    Figure(
        "MATCH_OVERHEAD_BYTES",
        MATCH_OVERHEAD_BYTES,
        "bytes",
        _FOOTPRINT,
        "of a match over its event: key, headers, framing",
    ),
    Figure("IDLE_BYTES", IDLE_BYTES, "bytes", _FOOTPRINT, "memory of an idle worker, but for its partitions"),
    Figure(
        "IDLE_PARTITION_BYTES", IDLE_PARTITION_BYTES, "bytes", _FOOTPRINT, "the same, each partition: two databases"
    ),
    Figure("IDLE_FILES", IDLE_FILES, "files", _FOOTPRINT, "open in an idle worker, but for its partitions"),
    Figure("DATABASE_FILES", DATABASE_FILES, "files", _FOOTPRINT, "open for each database that is empty"),
)
"""All that was measured.

What follows from it: `WORKER_CORES`, the least of rate times CPU where the worker and not the broker was the limit, and
`SPARSE_EXECUTION_US`, what a match costs over the scan where one event in 2,000 is one, with three rules. What is
chosen: 20 bytes of framing for a record of the lineage's changelog, 15 MiB for what a database keeps besides its tables
(its write-ahead log, MANIFEST and own log, each bounded), 128 MiB for what is under way in a worker.
"""

"""A run over many records in processes of their own, and its table."""

from __future__ import annotations

import multiprocessing
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Final

from tests.fuzz.trial import Tally, against_hanging, record_of, try_record

PROCESSES: Final = 2
CHUNK: Final = 2_000

_SHOWN_BYTES: Final = 8_192  # seed and number give the rest
_TOLD_EVERY_S: Final = 15.0


@dataclass(frozen=True)
class Finding:
    """A record of which something does not hold."""

    seed: int
    number: int
    raw: bytes
    trace: str

    def __str__(self) -> str:
        """All that is needed to try it again."""
        again = f"RECORDS=1 SEED={self.seed} FIRST={self.number} make fuzz"
        rest = f"… {len(self.raw)} bytes" if len(self.raw) > _SHOWN_BYTES else ""
        shown = self.raw[:_SHOWN_BYTES].hex() + rest
        return f"{self.trace}\nseed {self.seed}, record {self.number}; again: {again}\nbytes: {shown}"


def try_records(seed: int, first: int, count: int) -> tuple[Tally, Finding | None]:
    """Try records up to the first finding, in this process."""
    tally = Tally()
    with against_hanging():
        for number in range(first, first + count):
            raw = record_of(seed, number)
            try:
                try_record(raw, number, tally)
            except Exception:  # noqa: BLE001 — whatever escapes is what is looked for
                return tally, Finding(seed, number, raw, traceback.format_exc())
    return tally, None


def run(seed: int, first: int, count: int) -> tuple[Tally, Finding | None, float]:
    """Try records in several processes up to the first finding; what was counted, it, and the seconds."""
    begun = told = time.monotonic()
    total = Tally()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        chunks = list(_chunks(first, count))
        futures = [pool.submit(try_records, seed, *chunk) for chunk in chunks]
        for chunk, future in zip(chunks, futures, strict=True):
            try:
                tally, finding = future.result()
            except BrokenProcessPool:
                died = f"the process died in one of the records {chunk[0]} to {sum(chunk) - 1}"
                finding, tally = Finding(seed, chunk[0], b"", died), Tally()
            total.add(tally)
            if finding is not None:
                for waiting in futures:
                    waiting.cancel()
                return total, finding, time.monotonic() - begun
            if time.monotonic() - told > _TOLD_EVERY_S:
                told = time.monotonic()
                print(f"{total.records} records, {total.records / (told - begun):,.0f}/s", file=sys.stderr, flush=True)
    return total, None, time.monotonic() - begun


def table(tally: Tally, seed: int, seconds: float) -> str:
    """The figures of a run."""
    rows = [
        ("seed", str(seed)),
        ("records", f"{tally.records:,}"),
        ("bytes", f"{tally.bytes:,}"),
        ("candidates", f"{tally.candidates:,}"),
        ("  no rule matches", f"{tally.unmatched:,}"),
        ("  a rule matches", f"{tally.matched:,}"),
        ("matches of a rule", f"{tally.matches:,}"),
        ("alerts", f"{tally.alerts:,}"),
        ("dead letters", f"{tally.dead_letters.total():,}"),
        *((f"  {reason}", f"{count:,}") for reason, count in sorted(tally.dead_letters.items())),
        ("held to the schemas", f"{tally.sampled:,}"),
        ("slowest record, CPU s", f"{tally.slowest:.3f} (number {tally.slowest_number})"),
        ("seconds", f"{seconds:.0f}"),
        ("records/s", f"{tally.records / max(seconds, 1e-9):,.0f}"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def _chunks(first: int, count: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, first + count, CHUNK):
        yield begin, min(CHUNK, first + count - begin)

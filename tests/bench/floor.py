"""The floor: what must be done with every batch whatever reads it, measured over the broker's own log segments.

CRC, decompression into a reused buffer, search for the needles. Nothing that reads a topic so can take less CPU;
the kernel's copy from the socket comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fastcrc.crc32 import iscsi as crc32c

from app.core.needles import Needles
from app.runtime.rules import load_rules
from app.runtime.settings import PACKAGED_RULES
from app.sieve import Inflater
from app.sieve.batch import CODEC_MASK, CRC_START, HEADER_SIZE, LOG_OVERHEAD, Header, read_header
from tests.bench.results import Cell, Corpus, Floor

_LIMIT: Final = 64 * 1024 * 1024
_MAX_BYTES: Final = 512 * 1024 * 1024

Batch = tuple[Header, memoryview]


def packaged_needles() -> Needles:
    """The needles of the shipped rules, as the worker derives them."""
    return Needles.of((rule.id, rule.query) for rule in load_rules((PACKAGED_RULES,)))


def read_batches(data_directory: Path, topic: str) -> list[Batch]:
    """The topic's batches as they lie in the log; of a long topic the first part."""
    batches: list[Batch] = []
    size = 0
    for segment in sorted(data_directory.glob(f"{topic}-[0-9]*/*.log")):
        if size >= _MAX_BYTES:
            break
        data = memoryview(segment.read_bytes())
        size += len(data)
        batches += _walk(data)
    return batches


def _walk(data: memoryview) -> Iterator[Batch]:
    at = 0
    while at + HEADER_SIZE <= len(data):
        header = read_header(data, at)
        end = at + LOG_OVERHEAD + header.length
        if end > len(data):
            return
        yield header, data[at:end]
        at = end


def describe(cell: Cell, events: int, mean_bytes: float, batches: list[Batch]) -> Corpus:
    """What is really in the topic."""
    inflater = Inflater(_LIMIT)
    plain = packed = 0
    for header, batch in batches:
        plain += len(inflater.inflate(header.attributes & CODEC_MASK, batch[HEADER_SIZE:]))
        packed += len(batch) - HEADER_SIZE
    records = sum(header.record_count for header, _ in batches)
    return Corpus(cell, events, mean_bytes, records / len(batches), plain / packed)


def measure(cell: Cell, number: int, batches: list[Batch]) -> Floor:
    """One pass over the batches for each part, and for the sums of them, so that caches are as in real use."""
    needles = packaged_needles()
    inflater = Inflater(_LIMIT)
    events = sum(header.record_count for header, _ in batches)

    def crc_only() -> None:
        for header, batch in batches:
            if crc32c(batch[CRC_START:]) != header.crc:
                raise ValueError("a batch in the log is corrupt")

    def with_inflate() -> None:
        for header, batch in batches:
            if crc32c(batch[CRC_START:]) != header.crc:
                raise ValueError("a batch in the log is corrupt")
            inflater.inflate(header.attributes & CODEC_MASK, batch[HEADER_SIZE:])

    def everything() -> None:
        for header, batch in batches:
            if crc32c(batch[CRC_START:]) != header.crc:
                raise ValueError("a batch in the log is corrupt")
            plain = inflater.inflate(header.attributes & CODEC_MASK, batch[HEADER_SIZE:])
            needles.first_hit(plain, 0, len(plain))

    spent = []
    for work in (crc_only, with_inflate, everything):
        begun = time.process_time()
        work()
        spent.append((time.process_time() - begun) / events * 1e6)
    return Floor(cell, number, spent[0], spent[1] - spent[0], spent[2] - spent[1])

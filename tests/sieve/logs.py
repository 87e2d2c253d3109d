"""Random logs of one partition, and random fetches from them as a broker would answer."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from tests.sieve.batches import (
    LOG_APPEND_TIME,
    NO_PRODUCER,
    TIME,
    TRANSACTIONAL,
    Entry,
    Headers,
    batch,
    control,
    legacy,
    record,
)
from tests.sieve.framings import COMPRESSED, NONE, XERIAL
from tests.sieve.stock import READ_COMMITTED, READ_UNCOMMITTED, Fetch

NEEDLES: Final = (b"exim4", b"sendmail")
PIECES: Final = (
    *NEEDLES,
    *(b"exi", b"m4", b"send", b"\\u0065xim4", b"exi\\u006D4", b"\\u003c", b"\\u00", b"\\u007a", b"\0", b'{"a":'),
)
_NOISE: Final = bytes(range(97, 123)).replace(b"x", b"")
_LEGACY_CODECS: Final = {0: (0, 1, 2), 1: (0, 1, 2, 3)}
_PRODUCERS: Final = (1, 2, 3)


class Piece(NamedTuple):
    """A stretch of the log that is fetched whole or not at all."""

    data: bytes
    first: int
    last: int


@dataclass(slots=True)
class Log:
    """A partition's log.

    Attributes:
        pieces: Its batches, legacy message sets among them.
        records: Each record of a batch as it is encoded, by offset.
        aborted: Producer, first and last offset of each aborted transaction.
        open: First offset of each transaction that is not ended.
        legacy: First and last offset of each message set of a legacy format.
    """

    pieces: list[Piece] = field(default_factory=list)
    records: dict[int, bytes] = field(default_factory=dict)
    aborted: list[tuple[int, int, int]] = field(default_factory=list)
    open: dict[int, int] = field(default_factory=dict)
    legacy: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0

    def add(self, data: bytes, count: int) -> None:
        """Append what takes so many offsets."""
        self.pieces.append(Piece(data, self.end, self.end + count - 1))
        self.end += count

    def passed_from(self, offset: int) -> int:
        """From which offset on a fetch at this one is passed through: a legacy format begins there."""
        return next((first for first, last in self.legacy if last >= offset), self.end)


def random_log(random: Random, compressed: float = 0.7) -> Log:
    """Batches of all kinds, in an order in which a broker may have them."""
    log = Log(end=random.choice((0, 0, 7, 1 << 40)))
    if random.random() < 0.04:
        _add_legacy(log, random)
    for _ in range(random.randrange(1, 13)):
        step = random.random()
        if step < 0.3:
            _add_batch(log, random, NO_PRODUCER, compressed)
        elif step < 0.65:
            _add_batch(log, random, random.choice(_PRODUCERS), compressed)
        elif step < 0.95:
            _end_transaction(log, random)
        else:
            log.end += random.randrange(1, 5)  # compaction took whole batches away
    if random.random() < 0.04:
        _add_legacy(log, random)
    return log


def _add_batch(log: Log, random: Random, producer: int, compressed: float) -> None:
    count = random.choice((1, 1, 2, 3, 5, 12))
    compacted = random.random() < 0.25  # compaction took records away, perhaps all of them
    kept = [delta for delta in range(count) if not compacted or random.random() < 0.5]
    shared = random.choice(PIECES) if random.random() < 0.1 else b""
    records = [record(_random_entry(random, shared), delta) for delta in kept]
    log.records.update(zip((log.end + delta for delta in kept), records, strict=True))
    framing = random.choice(COMPRESSED) if random.random() < compressed else NONE
    if not records and framing is XERIAL:
        framing = NONE  # what the stock parser can't read
    if producer != NO_PRODUCER:
        log.open.setdefault(producer, log.end)
    data = batch(
        log.end,
        records,
        last_delta=count - 1,
        framing=framing,
        flags=random.choice((0, LOG_APPEND_TIME)) | (TRANSACTIONAL if producer != NO_PRODUCER else 0),
        producer=producer,
        time=TIME + random.randrange(-500, 500),
        max_time=TIME + random.randrange(500, 900),
    )
    log.add(data, count)


def _random_entry(random: Random, shared: bytes) -> Entry:
    if random.random() < 0.03:
        return Entry(None, shared or None)
    noise = _NOISE * random.choice((0, 1, 1, 3, 60))
    if random.random() < 0.01:
        noise *= 60
    value = noise + shared
    if random.random() < 0.3:
        value += b"".join(random.choice(PIECES) for _ in range(random.randrange(1, 4)))
    key = random.choice((None, None, b"", b"host", b"exim4"))
    headers: Headers = ()
    if random.random() < 0.1:
        headers = (("format", b"1"), ("é", None), (random.choice(("exim4", "m4")), random.choice(PIECES)))
    return Entry(value, key, headers, random.randrange(-300, 300))


def _end_transaction(log: Log, random: Random) -> None:
    # A marker without a transaction is rare, but real: of one that wrote to other partitions only.
    producer = random.choice(sorted(log.open) if log.open and random.random() < 0.9 else _PRODUCERS)
    commit = random.random() < 0.4
    first = log.open.pop(producer, None)
    if first is not None and not commit:
        log.aborted.append((producer, first, log.end))
    log.add(control(log.end, producer, commit=commit), 1)


def _add_legacy(log: Log, random: Random) -> None:
    magic = random.choice((0, 1))
    entries = [_random_entry(random, b"")._replace(headers=()) for _ in range(random.randrange(1, 4))]
    log.legacy.append((log.end, log.end + len(entries) - 1))
    log.add(legacy(magic, log.end, entries, random.choice(_LEGACY_CODECS[magic])), len(entries))


def random_fetch(random: Random, log: Log) -> Fetch:
    """A fetch at any offset of the log, cut off at any byte, often in the midst of a batch."""
    isolation = random.choice((READ_UNCOMMITTED, READ_COMMITTED))
    stable = min(log.open.values(), default=log.end) if isolation == READ_COMMITTED else log.end
    visible = [piece for piece in log.pieces if piece.last < stable]
    if not visible:
        return Fetch(b"", log.end, isolation)
    offset = random.randrange(visible[0].first, visible[-1].last + 1)
    begin = bisect.bisect_left(visible, offset, key=lambda piece: piece.last)
    data = b"".join(piece.data for piece in visible[begin:])
    if random.random() < 0.5:
        broken = random.randrange(begin, len(visible))
        data = b"".join(piece.data for piece in visible[begin:broken])
        data += visible[broken].data[: random.randrange(len(visible[broken].data))]
    aborted = [(producer, first) for producer, first, last in log.aborted if last >= offset and first < stable]
    random.shuffle(aborted)
    return Fetch(data, offset, isolation, tuple(aborted) if isolation == READ_COMMITTED else ())


def random_needle(random: Random, log: Log) -> bytes:
    """A needle, or any few bytes of neighbouring records, so that a hit may lie across their border."""
    if log.records and random.random() < 0.3:
        everything = b"".join(log.records.values())
        at = random.randrange(len(everything))
        return everything[at : at + random.randrange(1, 7)]
    return random.choice(NEEDLES)

"""What a run sends, in chunks, and what must become of every record: known before anything is sent."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from app.core.engine import Engine
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import PACKAGED_RULES, Settings
from app.tools.replay import replay_files
from tests.broker.history import Sent, history
from tests.broker.hostile import LARGEST_VALUE
from tests.events import event, raw

MATCHES_A_CHUNK: Final = 90
NOISE_A_CHUNK: Final = 160
"""Executions under exim4, some of which are excluded by the rule, and other events among them."""

_MATCHES_A_HOST: Final = 8
_LARGE_BYTES: Final = LARGEST_VALUE - 4096
_LARGE_A_CHUNK: Final = 3
_POISONED: Final = 0.1
_ABORTED: Final = 12
_TRANSACTIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Fate:
    """What must become of one record.

    Attributes:
        matches: It must stand in the matches topic.
        reasons: Of its dead letters.
        alerts: Ids of the alerts that it must raise.
    """

    matches: bool = False
    reasons: frozenset[str] = frozenset()
    alerts: frozenset[str] = frozenset()

    @property
    def nothing(self) -> bool:
        """Whether it leaves no trace."""
        return not self.matches and not self.reasons


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records that are sent together, over a second or so.

    Attributes:
        records: In their order.
        aborted: Where not empty, all goes out in transactions, and those of these records are aborted.
    """

    records: tuple[Sent, ...]
    aborted: tuple[Sent, ...] = ()


Telling = Callable[[Random, Chunk], Chunk]
"""Makes of an ordinary chunk what a fault needs."""


@dataclass(frozen=True)
class Story:
    """All chunks of a run, and the fate of every record by its bytes; equal bytes have one fate."""

    chunks: tuple[Chunk, ...]
    fates: dict[bytes, Fate] = field(repr=False)

    @property
    def events(self) -> int:
        """How many records must be judged: without those of aborted transactions."""
        return sum(len(chunk.records) for chunk in self.chunks)

    @property
    def expected(self) -> frozenset[str]:
        """Ids of all alerts that must come."""
        return frozenset().union(*(fate.alerts for fate in self.fates.values()))


def tell(random: Random, tellings: Sequence[Telling]) -> Story:
    """A story with a chunk for each telling."""
    count = len(tellings)
    matches = MATCHES_A_CHUNK * count
    sent = history(random.getrandbits(32), matches, noise=NOISE_A_CHUNK * count, hosts=matches // _MATCHES_A_HOST)
    bounds = [len(sent) * number // count for number in range(count + 1)]
    chunks = tuple(
        telling(random, Chunk(tuple(sent[begin:end])))
        for telling, begin, end in zip(tellings, bounds[:-1], bounds[1:], strict=True)
    )
    return Story(chunks, fates(record for chunk in chunks for record in chunk.records))


def plain(random: Random, chunk: Chunk) -> Chunk:
    """As it is."""
    del random
    return chunk


def poisoned(random: Random, chunk: Chunk) -> Chunk:
    """One in ten of the candidates is broken in some way, and of no use to anybody."""
    candidates = sum(b"exim4" in record.value for record in chunk.records)
    broken = [Sent(host, value) for host, value in (_broken(random) for _ in range(int(candidates * _POISONED) + 1))]
    return Chunk(tuple(_strewn(random, chunk.records, broken)))


def with_large(random: Random, chunk: Chunk) -> Chunk:
    """Some matches are as large as the source topic takes."""
    large = [_large(random) for _ in range(_LARGE_A_CHUNK)]
    return Chunk(tuple(_strewn(random, chunk.records, large)))


def with_aborted(random: Random, chunk: Chunk) -> Chunk:
    """Sent in transactions, with matches of new terms in others that are aborted."""
    hosts = [f"aborted-{random.getrandbits(48):012x}" for _ in range(_ABORTED)]
    return Chunk(chunk.records, tuple(Sent(host, raw(event("sh", host=host))) for host in hosts))


def fates(records: Iterable[Sent]) -> dict[bytes, Fate]:
    """What becomes of records that are judged as one history, each host's in this order."""
    engine = default_engine()
    values = [record.value for record in records]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "story.ndjson")
        file.write_bytes(b"".join(value + b"\n" for value in values))
        alerts, letters, _ = replay_files(engine, [str(file)], time.time_ns())
    ids: dict[bytes, set[str]] = defaultdict(set)
    for found in map(_ALERT.decode, alerts):
        ids[values[found.detector.source.line - 1]].add(found.id)
    reasons: dict[bytes, set[str]] = defaultdict(set)
    for letter in map(_LETTER.decode, letters):
        reasons[values[letter.source.line - 1]].add(letter.reason)
    return {
        value: Fate(bool(engine.examine(value, None).routes()), frozenset(reasons[value]), frozenset(ids[value]))
        for value in set(values)
        if engine.needles.is_candidate(value)
    }


def default_engine() -> Engine:
    """The packaged rules, judged by as the workers do."""
    settings = Settings.model_construct()  # the defaults, whatever the environment says
    return build_engine(
        load_rules([PACKAGED_RULES]),
        max_alert_bytes=settings.max_alert_bytes,
        max_future_skew=settings.max_future_skew,
        alert_from=None,
        learn_until=time.time_ns(),
    )


def _broken(random: Random) -> tuple[str, bytes]:
    host = f"broken-{random.getrandbits(48):012x}"
    good = raw(event(host=host))
    deep = b"[" * 3_000
    return host, random.choice(
        (
            good[: random.randrange(len(good) // 2, len(good))] + b" exim4",
            good + good,
            good[:-1] + b',"a":NaN}',
            b"[" + good + b"]",
            good[:-1] + b',"a":' + deep,
            raw(event(host=[])),
            b"exim4 " + bytes(random.choices(range(32, 127), k=40)),
        )
    )


def _large(random: Random) -> Sent:
    host = f"large-{random.randrange(8)}"
    program = f"large{random.randrange(4)}"
    small = raw(event(program, host=host, event__id=f"{random.getrandbits(64):016x}", process__args=["#"]))
    return Sent(host, small.replace(b"#", b"a" * (_LARGE_BYTES - len(small))))


def _strewn(random: Random, records: Iterable[Sent], more: Iterable[Sent]) -> list[Sent]:
    found = list(records)
    for one in more:
        found.insert(random.randrange(len(found) + 1), one)
    return found


class _Line(msgspec.Struct):
    line: int


class _Detector(msgspec.Struct):
    source: _Line


class _Alert(msgspec.Struct):
    detector: _Detector
    id: str = msgspec.field(name="kibana.alert.uuid")


class _Letter(msgspec.Struct):
    reason: str
    source: _Line


_ALERT: Final = msgspec.json.Decoder(_Alert)
_LETTER: Final = msgspec.json.Decoder(_Letter)

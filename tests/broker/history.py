"""Histories of process events for end-to-end tests, and the alerts that `replay` raises over them."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from app.core.clock import format_time
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import PACKAGED_RULES, Settings
from app.tools.generator import Host, ordinary_event
from app.tools.replay import replay_files
from tests.broker.records import Outgoing
from tests.broker.seen import SeenAlert, seen_alert
from tests.events import event, raw

if TYPE_CHECKING:
    from collections.abc import Iterable

BEGIN: Final = 1_767_600_000 * 10**9  # 2026-01-05T08:00:00Z

_HOUR: Final = 3600 * 10**9
_DAY: Final = 24 * _HOUR
_PROGRAMS: Final = ("sh", "perl", "procmail", "python3.11", "id", "curl", "grep", "exim4")
_EDGE: Final = (0, 1, -1)


class Sent(NamedTuple):
    """One record of a source: the host it speaks of, and its bytes."""

    host: str
    value: bytes

    @property
    def keyed(self) -> Outgoing:
        """With the host as its key."""
        return Outgoing(self.host.encode(), self.value)


def history(seed: int, matches: int, *, noise: int = 0, days: int = 60, hosts: int = 16) -> list[Sent]:
    """Executions under exim4 among ordinary ones, the same for the same arguments.

    They come in both layouts, out of order by up to two days, some of them twice, some of them a window (or a
    nanosecond more or less) after another one of their term.

    Args:
        seed: Which history.
        matches: How many events have exim4 as their parent.
        noise: How many others are strewn among them.
        days: How much time they span.
        hosts: How many hosts they come from.
    """
    random = Random(seed)
    found: list[Sent] = []
    for number in range(matches):
        at = BEGIN + number * days * _DAY // matches + random.randrange(min(2, days) * _DAY)
        host = f"host-{random.randrange(hosts):02d}"
        program = random.choice(_PROGRAMS)
        found.append(Sent(host, _execution(random, host, program, at)))
        if random.random() < 0.1:
            found.append(random.choice(found[-20:]))
        if days > 14 and random.random() < 0.1:
            found.append(Sent(host, _execution(random, host, program, at + 14 * _DAY + random.choice(_EDGE))))
    for number in range(noise):
        other = Host(number % hosts)
        value = ordinary_event(random, other, BEGIN + number * 10**9, small=True)
        found.insert(random.randrange(len(found) + 1), Sent(other.id, value))
    return found


def replayed(sent: Iterable[Sent]) -> list[SeenAlert]:
    """The alerts that `replay` raises over the same records, in order; there must be no dead letter."""
    settings = Settings.model_construct()  # the defaults, whatever the environment says
    engine = build_engine(
        load_rules([PACKAGED_RULES]),
        max_alert_bytes=settings.max_alert_bytes,
        max_future_skew=settings.max_future_skew,
        alert_from=None,
        learn_until=time.time_ns(),
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "history.ndjson"
        file.write_bytes(b"".join(record.value + b"\n" for record in sent))
        alerts, dead_letters, _ = replay_files(engine, [str(file)], time.time_ns())
    assert [] == dead_letters
    return [seen_alert(value) for value in alerts]


def _execution(random: Random, host: str, program: str, at: int) -> bytes:
    document = event(program, host=host, time=format_time(at), event__id=f"{random.getrandbits(64):016x}")
    return raw(document if random.random() < 0.5 else dict(_dotted(document, "")))


def _dotted(document: dict[str, object], prefix: str) -> Iterable[tuple[str, object]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value

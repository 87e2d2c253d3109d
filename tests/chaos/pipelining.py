"""How many matches of known terms a worker gets through when every answer of the broker is late.

python -m tests.chaos.pipelining [MATCHES]
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from app.core.clock import format_time
from tests.broker.history import BEGIN, Sent
from tests.broker.installation import Installation
from tests.broker.records import read_topic
from tests.chaos.suite import broker
from tests.events import event, raw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.broker.kafka import Kafka

DELAYS_MS: Final = (0, 5, 200)
MATCHES: Final = 20_000
WANTED: Final = 2_000
WANTED_AT_MS: Final = 5

_HOSTS: Final = 40
_PROGRAMS: Final = ("sh", "perl", "procmail", "python3.11", "id")
_MILLISECOND: Final = 10**6
_DEADLINE_S: Final = 600.0


class Figure(NamedTuple):
    """What was measured: from the first match that the matches topic took to the last entry of the changelog."""

    matches: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Matches a second."""
        return self.matches / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of the worker's CPU a match, its start and the first pass included in neither."""
        return self.cpu_seconds / self.matches * 1e6


def measure(kafka: Kafka, matches: int) -> Figure:
    """Send every term once, and then only known ones, to a worker behind the proxy."""
    prefix = f"pipelining-{uuid.uuid4().hex[:8]}"
    settings = {"BROKERS": kafka.front}
    with Installation(kafka.brokers, prefix, settings=settings).create() as installation:
        worker = installation.worker()
        worker.wait_ready()
        installation.play(sent.keyed for sent in _terms(0))
        installation.wait_caught_up(worker, deadline=_DEADLINE_S)
        first = len(_HOSTS_AND_PROGRAMS)
        cpu = _cpu_seconds(worker.pid or 0)
        installation.play(sent.keyed for sent in _repeated(matches))
        installation.wait_caught_up(worker, deadline=_DEADLINE_S)
        cpu = _cpu_seconds(worker.pid or 0) - cpu
        assert 0 == worker.stop()
        forwarded = sorted(record.timestamp for record in installation.matches())
        written = sorted(record.timestamp for record in read_topic(kafka.brokers, installation.names["changelog"]))
        assert first == len({alert.id for alert in installation.alerts()})
    return Figure(matches, (written[-1] - forwarded[first]) / 1000, cpu)


_HOSTS_AND_PROGRAMS: Final = [(f"host-{number:02d}", program) for number in range(_HOSTS) for program in _PROGRAMS]


def _terms(number: int) -> Iterator[Sent]:
    for host, program in _HOSTS_AND_PROGRAMS:
        time = format_time(BEGIN + number * _MILLISECOND)
        yield Sent(host, raw(event(program, host=host, time=time, event__id=f"{number:024d}")))


def _repeated(count: int) -> Iterator[Sent]:
    random = Random(1)
    for number in range(1, count + 1):
        host, program = random.choice(_HOSTS_AND_PROGRAMS)
        time = format_time(BEGIN + number * _MILLISECOND)
        yield Sent(host, raw(event(program, host=host, time=time, event__id=f"{number:024d}")))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print a line for each delay; returns 1 where the wanted figure is missed."""
    matches = int(sys.argv[1]) if len(sys.argv) > 1 else MATCHES
    missed = False
    with broker() as (kafka, proxy):
        for milliseconds in DELAYS_MS:
            proxy.delay = milliseconds / 1000
            figure = measure(kafka, matches)
            missed |= milliseconds == WANTED_AT_MS and figure.rate < WANTED
            print(
                f"answers {milliseconds:3d} ms late: {figure.rate:7,.0f} known matches/s, "
                f"{figure.cpu_us:.0f} µs of the worker's CPU each, {figure.matches:,} in {figure.seconds:.1f} s",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

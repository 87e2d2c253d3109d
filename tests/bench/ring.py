"""`make bench-ring`: does the memory of a busy fleet's processes stay flat once every host's ring has turned?

The core's `Engine.remember` over the worker's own lineage table and RocksDB options, without a Kafka: mail hosts whose
executions never repeat, until each ring has been turned three times. Prints a line every half turn, writes
build/bench/ring.json, and fails if disk or memory grew by more than 5 % from the second turn to the third, or if a
daemon that still runs was forgotten. Chosen by the environment: HOSTS (1000), SLOTS (4096), TURNS (3), PARTITIONS (4).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

import faust
import msgspec
from faust.types import TP

from app.core import ring
from app.core.clock import Clock
from app.core.duration import SECOND
from app.core.engine import Arrival, Engine, Examination
from app.core.event import ProcessEvent
from app.core.new_terms import host_key
from app.core.ring import Ring
from app.runtime import store as store_module
from app.runtime.database import table_options
from app.runtime.partition import partition_of
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import Settings, load_settings
from app.runtime.table import LineageTable
from tests.bench import machine
from tests.bench.family import EXECUTIONS_A_MAIL, EXECUTIONS_AN_HOUR, MailHost
from tests.bench.measuring import resident
from tests.bench.results import FOLDER

FILE: Final = FOLDER / "ring.json"
MAX_GROWTH: Final = 0.05

_LOOKS_A_TURN: Final = 2
_READINGS: Final = 20
"""Of disk and memory, within the half turn before a look: both swing as RocksDB compacts."""
_HOUR: Final = 3600 * SECOND
_MILLISECOND: Final = SECOND // 1000
_MEBIBYTE: Final = 1024 * 1024


class Look(msgspec.Struct, frozen=True):
    """What was there after so many turns.

    Attributes:
        turns: Of the ring that has turned least.
        executions: Remembered so far.
        entries: In the databases, those that are derived included.
        disk_bytes: Of all files, the median over the last half turn.
        peak_disk_bytes: The most of that time; compactions write before they delete.
        resident_bytes: Of this process, the median as well.
        rate: Executions a second since the look before, by this process's own time: CPU seconds of its main thread.
        daemons: Hosts whose daemon is still remembered.
    """

    turns: float
    executions: int
    entries: int
    disk_bytes: int
    peak_disk_bytes: int
    resident_bytes: int
    rate: float
    daemons: int


@dataclass(slots=True)
class Sizes:
    """What was written for the changelog: bytes of keys and values, records with a value and without one."""

    key_bytes: int = 0
    value_bytes: int = 0
    processes: int = 0
    tombstones: int = 0


class Fleet:
    """Hosts that deliver mail, and the table in which their processes are remembered."""

    def __init__(self, folder: Path, hosts: int, slots: int, partitions: int) -> None:
        """Open the databases.

        Args:
            folder: The data directory.
            hosts: How many.
            slots: Processes that are remembered of each.
            partitions: Of the table.
        """
        settings: Settings = load_settings(partitions=partitions, lineage_slots=slots)
        app = faust.App("bench", datadir=str(folder), store="rocksdb://")
        self.table = LineageTable(app, partitions=partitions, options=table_options(settings))
        store = self.table.store
        store.give({partition: store.databases.open(partition) for partition in range(partitions)})
        self.engine: Engine = build_engine(
            load_rules(settings.rules),
            max_alert_bytes=settings.max_alert_bytes,
            max_future_skew=settings.max_future_skew,
            alert_from=None,
            learn_until=None,
        )
        self.folder = folder
        self.slots = slots
        self.sizes = Sizes()
        self.executions = 0
        self.given: list[int] = [0] * hosts
        """Slots that were given on each host."""
        self._last = [b""] * hosts
        self.now = time.time_ns()
        self.hosts = [MailHost(number, self.now - _HOUR) for number in range(hosts)]
        self._places = [partition_of(host_key(host.id), partitions) for host in self.hosts]
        self._offsets = [0] * partitions
        self._places_of = [TP("bench-lineage-changelog", partition) for partition in range(partitions)]

    def start_daemons(self) -> None:
        """Their own executions, which happen once."""
        for number, host in enumerate(self.hosts):
            self._remember(number, host.started())

    def deliver(self) -> None:
        """A mail on every host; the hosts' clock goes on as it would on a busy one."""
        self.now += round(_HOUR * EXECUTIONS_A_MAIL / EXECUTIONS_AN_HOUR)
        begin = self.now
        for number, host in enumerate(self.hosts):
            for at, document in enumerate(host.mail(begin)):
                # None comes at the time of another of its host, or the ring would take it for a replay.
                self.now = begin + at * _MILLISECOND
                self._remember(number, document)

    def _remember(self, number: int, document: dict[str, Any]) -> None:
        """As the worker's second step does it, and as if each record were confirmed at once."""
        place, host = self._places[number], self.hosts[number]
        arrival = Arrival(0, self.executions, self.now, {})
        examination = Examination(ProcessEvent(document), Clock(self.now, "@timestamp"), is_member=True, host=host.id)
        with _processing(place):
            memory = Ring(self.table.read, host.id, self.slots, arrival.taken_at)
            failure = self.engine.remember(examination, arrival, memory)
            if failure is not None:
                raise RuntimeError(failure.detail)
            changes = self.table.apply(memory.changes)
        for change in changes:
            self.table.store.set_persisted_offset(self._places_of[place], self._offsets[place])
            self._offsets[place] += 1
            self.sizes.key_bytes += len(change.key)
            self.sizes.value_bytes += len(change.value or b"")
            self.sizes.processes += change.value is not None
            self.sizes.tombstones += change.value is None
            if change.value is not None:
                _, _, (_, slot) = ring.derived(change.key, change.value)
                self.given[number] += slot != self._last[number]
                self._last[number] = slot or b""
        self.executions += 1

    def daemons(self) -> int:
        """Hosts whose daemon is still remembered."""
        found = 0
        for number, host in enumerate(self.hosts):
            with _processing(self._places[number]):
                memory = Ring(self.table.read, host.id, self.slots, self.now)
                found += memory.find(host.daemon["entity_id"]) is not None
        return found

    def entries(self) -> int:
        """All entries of all databases, counted one by one."""
        databases = self.table.store.take(range(len(self._offsets)))
        self.table.store.give(databases)
        return sum(1 for database in databases.values() for _ in database.items())

    def disk(self) -> int:
        """Bytes of all files of the data directory."""
        total = 0
        for file in self.folder.rglob("*"):
            try:
                total += file.stat().st_size if file.is_file() else 0
            except FileNotFoundError:  # a compaction deleted it
                continue
        return total


_EVENT: Final = SimpleNamespace(message=SimpleNamespace(partition=0))


def _current_event() -> SimpleNamespace:
    """In Faust's place; a mock would keep every call."""
    return _EVENT


@contextmanager
def _processing(partition: int) -> Iterator[None]:
    """While an event of that partition is processed, which is what the table asks Faust for."""
    _EVENT.message.partition = partition
    yield


def run(folder: Path, hosts: int, slots: int, turns: int, partitions: int) -> tuple[list[Look], Sizes, float]:
    """Turn the rings, printing as it goes.

    Returns:
        The looks, what was written for the changelog, and slots that an execution takes.
    """
    fleet = Fleet(folder, hosts, slots, partitions)
    with mock.patch.object(store_module, "current_event", _current_event):
        fleet.start_daemons()
        looks = []
        for number in range(1, turns * _LOOKS_A_TURN + 1):
            looks.append(_turn(fleet, number / _LOOKS_A_TURN))
            print(_line(looks[-1], hosts), flush=True)
    return looks, fleet.sizes, sum(fleet.given) / fleet.executions


def _turn(fleet: Fleet, until: float) -> Look:
    """Deliver until every ring has turned so often, reading disk and memory on the way."""
    begun, executions = time.thread_time(), fleet.executions
    disks: list[int] = []
    residents: list[int] = []
    step = fleet.slots / _LOOKS_A_TURN / _READINGS
    start = min(fleet.given)
    while min(fleet.given) < until * fleet.slots:
        fleet.deliver()
        if min(fleet.given) >= start + step * (len(disks) + 1):
            disks.append(fleet.disk())
            residents.append(resident(os.getpid()))
    rate = (fleet.executions - executions) / (time.thread_time() - begun)
    return Look(
        until,
        fleet.executions,
        fleet.entries(),
        round(statistics.median(disks)),
        max(disks),
        round(statistics.median(residents)),
        rate,
        fleet.daemons(),
    )


def _line(look: Look, hosts: int) -> str:
    return (
        f"{time.strftime('%H:%M:%S')}  {look.turns:3.1f} turns  {look.executions:>11,} executions  "
        f"{look.entries:>11,} entries  {look.disk_bytes / _MEBIBYTE:8.1f} MiB on disk "
        f"(at most {look.peak_disk_bytes / _MEBIBYTE:.1f})  {look.resident_bytes / _MEBIBYTE:7.1f} MiB resident  "
        f"{look.rate:8,.0f} executions/s of CPU  {look.daemons}/{hosts} daemons known"
    )


def growth(looks: list[Look], figure: str) -> float:
    """How much a figure grew from the second turn's end to the last one's."""
    second = next(look for look in looks if look.turns >= 2)
    return float(getattr(looks[-1], figure) / getattr(second, figure) - 1)


def main() -> int:
    """Returns 1 if anything is not flat."""
    hosts, slots, turns, partitions = (
        int(os.environ.get(name) or default)
        for name, default in (("HOSTS", 1000), ("SLOTS", ring.SLOTS), ("TURNS", 3), ("PARTITIONS", 4))
    )
    if turns < 3:
        print("three turns at least: growth is looked at from the second to the last", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="eximwatch-ring-") as folder:
        looks, sizes, taken = run(Path(folder), hosts, slots, turns, partitions)
    grown = {name: growth(looks, name) for name in ("disk_bytes", "resident_bytes")}
    last = looks[-1]
    records = sizes.processes + sizes.tombstones
    written = sizes.key_bytes + sizes.value_bytes
    print(
        f"{hosts:,} hosts of {slots:,} slots: disk grew by {grown['disk_bytes']:.1%}, memory by "
        f"{grown['resident_bytes']:.1%} from the second turn to the last (allowed: {MAX_GROWTH:.0%})\n"
        f"{last.disk_bytes / (hosts * slots):.0f} bytes on disk a slot; an execution takes {taken:.2f} slots and "
        f"{records / last.executions:.2f} changelog records of {written / records:.0f} bytes in the mean (key "
        f"{sizes.key_bytes / records:.0f}; value {sizes.value_bytes / max(1, sizes.processes):.0f}, none in "
        f"{sizes.tombstones / records:.0%})"
    )
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_bytes(
        msgspec.json.format(
            msgspec.json.encode(
                {"machine": machine.facts(), "growth": grown, "hosts": hosts, "slots": slots, "looks": looks}
            ),
            indent=1,
        )
    )
    forgotten = any(look.daemons < hosts for look in looks)
    if forgotten:
        print("a daemon that still runs was forgotten")
    return int(forgotten or max(grown.values()) > MAX_GROWTH)


if __name__ == "__main__":
    sys.exit(main())

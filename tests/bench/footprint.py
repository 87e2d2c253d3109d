"""`make bench-footprint`: bytes of the table of terms, of the topics, and of an idle worker; nothing that time decides.

Prints one line a figure and writes build/bench/footprint.json, from which `app/tools/sizing_figures.py` has what no
other benchmark tells. TERMS (1000000), PARTITIONS (1,12,48) and EVENTS (4000) in the environment.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import faust
import msgspec

from app.core.new_terms import TermRecord, encode_record, term_key
from app.runtime.database import table_options
from app.runtime.settings import load_settings
from app.runtime.table import NewTermsTable
from tests.bench import machine
from tests.bench.corpus import only_matches
from tests.bench.marks import cpu_ticks
from tests.bench.measuring import TICKS_A_SECOND, resident
from tests.bench.results import FOLDER
from tests.bench.soak_family import executions, size
from tests.broker.installation import Installation
from tests.broker.kafka import Kafka
from tests.broker.records import Outgoing, read_topic

FILE: Final = FOLDER / "footprint.json"

_PROGRAMS_A_HOST: Final = 20
_READS: Final = 50_000
_IDLE_S: Final = 20.0
_SETTLE_S: Final = 5.0
_EXECUTABLES: Final = ("/usr/bin/procmail", "/usr/lib/dovecot/deliver", "/usr/sbin/sendmail", "/usr/bin/spamc")


class Terms(msgspec.Struct, frozen=True):
    """A database of so many terms: bytes of its files as written and once compacted; memory that reading it takes."""

    count: int
    record_bytes: float
    written_bytes: int
    compacted_bytes: int
    resident_bytes: int


class Idle(msgspec.Struct, frozen=True):
    """A worker that has nothing to do: memory, open files, threads, files on disk, share of a core."""

    partitions: int
    resident_bytes: int
    open_files: int
    threads: int
    data_bytes: int
    cores: float


class Topics(msgspec.Struct, frozen=True):
    """What the worker wrote for so many events: bytes of the topics' segments, and records, by topic."""

    events: int
    event_bytes: float
    log_bytes: dict[str, int]
    records: dict[str, int]
    value_bytes: dict[str, float]


def entries(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values as the worker writes them, path and digest of the program included."""
    now = time.time_ns()
    for number in range(count):
        host = str(uuid.UUID(int=number // _PROGRAMS_A_HOST * 0x9E3779B97F4A7C15 % 2**128))
        key = term_key("exim4_child", ("host.id", "process.name"), (host, f"program-{number % _PROGRAMS_A_HOST}"))
        digest = random.Random(number % _PROGRAMS_A_HOST).randbytes(32)
        path = _EXECUTABLES[number % len(_EXECUTABLES)]
        yield key, encode_record(TermRecord(now - number, now, 3, now, 1 << 60, number, path, digest))


def _database(folder: str) -> Any:
    options = table_options(load_settings(partitions=1))
    table = NewTermsTable(faust.App("bench", datadir=folder, store="rocksdb://"), partitions=1, options=options)
    return table.store.databases.open(0)


def fill(folder: str, count: int) -> Terms:
    """Write the terms, as one partition's database; run in a process of its own."""
    database = _database(folder)
    written = 0
    for key, value in entries(count):
        database[key] = value
        written += len(key) + len(value)
    database.flush()
    before = size(Path(folder).rglob("*.sst"))
    database.compact_range(None, None)
    database.close()
    return Terms(count, written / max(1, count), before, size(Path(folder).rglob("*.sst")), 0)


def read(folder: str, count: int) -> int:
    """Read terms by chance; the process's memory then, bytes. Run in a process of its own."""
    database = _database(folder)
    wanted = set(random.Random(1).sample(range(count), min(count, _READS)))
    for number, (key, value) in enumerate(entries(count)):
        if number in wanted and database.get(key)[:1] != value[:1]:
            raise RuntimeError("a term that was written is not there")
    found = resident(os.getpid())
    database.close()
    return found


def terms(count: int) -> Terms:
    """Both, in processes of their own."""
    with tempfile.TemporaryDirectory(prefix="eximwatch-footprint-") as folder:
        filled = msgspec.json.decode(_apart("fill", folder, count), type=Terms)
        return msgspec.structs.replace(filled, resident_bytes=int(_apart("read", folder, count)))


def _apart(what: str, folder: str, count: int) -> bytes:
    command = [sys.executable, "-m", "tests.bench.footprint", what, folder, str(count)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def idle(kafka: Kafka, partitions: int) -> Idle:
    """A worker alone on an empty installation, once it has settled."""
    prefix = f"footprint-{uuid.uuid4().hex[:8]}"
    settings = {"SESSION_TIMEOUT": "30s", "FETCH_MAX_WAIT": "500"}
    with Installation(kafka.brokers, prefix, settings=settings, partitions=partitions) as made:
        worker = made.create().worker()
        worker.wait_ready()
        time.sleep(_SETTLE_S)
        pid = worker.pid or 0
        begun = cpu_ticks(pid)
        time.sleep(_IDLE_S)
        process = Path(f"/proc/{pid}")
        return Idle(
            partitions,
            resident(pid),
            len(list((process / "fd").iterdir())),
            len(list((process / "task").iterdir())),
            size((worker.log.parent / "data").rglob("*")),
            (cpu_ticks(pid) - begun) / TICKS_A_SECOND / _IDLE_S,
        )


def topics(kafka: Kafka, values: list[bytes]) -> Topics:
    """What a worker writes for these events into its topics, one replica of it."""
    prefix = f"footprint-{uuid.uuid4().hex[:8]}"
    with Installation(kafka.brokers, prefix) as made:
        worker = made.create().worker()
        worker.wait_ready()
        made.play(Outgoing(None, value) for value in values)
        made.wait_caught_up(worker, deadline=300.0)
        logs, records, sizes = {}, {}, {}
        for name, topic in made.names.items():
            # Segments alone: the indexes of the newest ones have room for far more than they hold.
            logs[name] = size((kafka.log.parent / "data").glob(f"{topic}-*/*.log"))
            found = [len(record.value or b"") for record in read_topic(kafka.brokers, topic)]
            records[name], sizes[name] = len(found), sum(found) / max(1, len(found))
        worker.stop()
    return Topics(len(values), sum(map(len, values)) / len(values), logs, records, sizes)


def main() -> int:
    """Measure, print, write."""
    if len(sys.argv) == 4:
        what, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
        sys.stdout.write(
            str(read(folder, count)) if what == "read" else msgspec.json.encode(fill(folder, count)).decode()
        )
        return 0
    most = int(os.environ.get("TERMS") or 1_000_000)
    events = int(os.environ.get("EVENTS") or 4000)
    found: dict[str, Any] = {"machine": machine.facts(), "versions": machine.versions(), "terms": [], "idle": []}
    for count in (0, most // 10, most):
        found["terms"].append(terms(count))
        print(found["terms"][-1], flush=True)
    with Kafka(heap="1g", jvm_options=("-XX:TieredStopAtLevel=4",)) as kafka:
        for partitions in map(int, (os.environ.get("PARTITIONS") or "1,12,48").split(",")):
            found["idle"].append(idle(kafka, partitions))
            print(found["idle"][-1], flush=True)
        family = executions(20)
        for name, values in (
            ("new", list(only_matches(events, new=True))),
            ("known", list(only_matches(events, new=False))),
            ("family", [next(family) for _ in range(events)]),
        ):
            found[name] = topics(kafka, values)
            print(name, found[name], flush=True)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

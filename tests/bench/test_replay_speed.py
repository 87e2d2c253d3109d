"""How fast `replay` goes through a file: run with `make bench`."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import msgspec
import pytest

from app.tools.generator import Host, ordinary_document, ordinary_event

pytestmark = pytest.mark.bench

_BEGIN = 1_767_600_000 * 10**9
_REPEATS = 5


@pytest.fixture(scope="module", autouse=True)
def machine() -> None:
    """Figures mean nothing without the machine."""
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")


@pytest.mark.parametrize(("every", "lines"), [(2000, 300_000), (1, 100_000)])
def test_replay_speed(every: int, lines: int, tmp_path: Path) -> None:
    """Prints events/s of wall and of CPU time over a plain file in which one event in `every` matches."""
    file = tmp_path / "events.ndjson"
    size = _write(file, lines, every)
    wall, cpu = zip(*(_replay(file, tmp_path) for _ in range(_REPEATS)), strict=True)
    print(
        f"replay, {lines} events of {size / lines:.0f} bytes, 1 in {every} matches: "
        f"{lines / statistics.median(wall):,.0f} events/s, {lines / statistics.median(cpu):,.0f} events/s of CPU, "
        f"start-up included (median of {_REPEATS})"
    )


def _write(file: Path, lines: int, every: int) -> int:
    random = Random(1)
    with file.open("wb") as out:
        for number in range(lines):
            host, time_ns = Host(random.randrange(10)), _BEGIN + number * 10**6
            if number % every:
                out.write(ordinary_event(random, host, time_ns))
            else:
                document = ordinary_document(random, host, time_ns)
                document["process"]["parent"]["name"] = "exim4"
                out.write(msgspec.json.encode(document))
            out.write(b"\n")
    return file.stat().st_size


def _replay(file: Path, directory: Path) -> tuple[float, float]:
    command = [sys.executable, "-m", "app", "replay", str(file), "--alerts", str(directory / "alerts.ndjson")]
    before = os.times()
    begun = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - begun
    after = os.times()
    return wall, (after.children_user + after.children_system) - (before.children_user + before.children_system)

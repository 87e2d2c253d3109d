"""Facts without which a figure means nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.bench.results import FOLDER
from tests.broker.jars import jars_folder, java

_OURS: Final = ("faust-streaming", "aiokafka", "confluent-kafka", "cramjam", "stringzilla", "fastcrc", "uvloop")


def facts() -> dict[str, str]:
    """The machine, and how busy it is as the run begins."""
    kilobytes = int(_find(r"^MemTotal:\s*(\d+)", "/proc/meminfo") or 0)
    return {
        "processor": _find(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo") or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{kilobytes / 1048576:.0f} GiB",
        "kernel": platform.release(),
        "load at start": f"{os.getloadavg()[0]:.2f}",
    }


def versions() -> dict[str, str]:
    """Of everything that takes part."""
    found = {"Python": platform.python_version(), "Java": _java_version()}
    found |= {name: version(name) for name in _OURS}
    found["Kafka (broker)"] = _jar_version(jars_folder(), "kafka-clients") or "unknown"
    found["Kafka (Streams, ConsumerPerformance)"] = (
        _jar_version(FOLDER / "java" / "libs", "kafka-streams") or "not built"
    )
    for name in ("quixstreams", "bytewax"):
        infos = list((FOLDER / "venv").glob(f"*/lib/python*/site-packages/{name}-*.dist-info"))
        if infos:
            found[name] = infos[0].name.removeprefix(f"{name}-").removesuffix(".dist-info")
    return found


def _find(pattern: str, file: str) -> str | None:
    found = re.search(pattern, Path(file).read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else None


def _jar_version(folder: Path, name: str) -> str | None:
    found = sorted(folder.glob(f"{name}-[0-9]*.jar"))
    return found[0].stem.removeprefix(f"{name}-") if found else None


def _java_version() -> str:
    done = subprocess.run([str(java()), "-version"], capture_output=True, text=True, timeout=30, check=False)
    return (done.stderr.splitlines() or ["unknown"])[0]

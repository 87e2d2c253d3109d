"""Databases are opened in another process first: on some damage RocksDB neither opens nor gives up.

It may spin for ever over a log of noise (seen with RocksDB 9.8), holding the interpreter's lock, so that no signal is
handled and no watchdog of ours runs; or crash. In a process of its own that is one more way to be damaged.
"""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.runtime.database import Databases
from app.runtime.log import logger

SILENCE_S: Final = 20.0
"""Opening takes as long as reading a log of a few MiB."""

# What is refused here is refused again, and told, by whoever opens it next.
CHILD: Final = """
import os, resource, sys
from pathlib import Path
from rocksdict import Options, Rdict
# One that spins must end as well where nobody waits for it any more.
seconds = 60 + 5 * len(sys.argv)
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
for path in sys.argv[1:]:
    print(path, flush=True)
    try:
        there = {file.name for file in Path(path).glob("*.sst")}
        database = Rdict(path, options=Options(raw_mode=True))
        forgotten = there - {Path(file["name"]).name for file in database.live_files()}
        database.close()
    except Exception:
        continue
    if forgotten:
        # RocksDB has deleted them: only this mark tells of it, or this end.
        try:
            Path(path + ".broken").write_text("its MANIFEST is cut: it does not know " + min(forgotten))
        except OSError:
            os.abort()
"""


def probe_tables(databases: Databases, *, silence: float = SILENCE_S, child: str = CHILD) -> None:
    """Delete the databases whose opening does not end, or ends the process that does it.

    Args:
        databases: One table's of this worker, none of them open.
        silence: Seconds that one may take.
        child: What opens them, a Python program that prints each path before it.

    Raises:
        SettingsError: One can't be deleted.
    """
    left = [partition for partition in databases.partitions() if (databases.path(partition) / "CURRENT").is_file()]
    while left:
        opened, failure = _opened([databases.path(partition) for partition in left], silence, child)
        if failure is None:
            return
        databases.delete(left[opened - 1], failure)
        left = left[opened:]


def _opened(paths: Sequence[Path], silence: float, child: str) -> tuple[int, str | None]:
    """How many the child has begun to open, and what went wrong with the last of them."""
    command = [sys.executable, "-c", child, *map(str, paths)]
    with subprocess.Popen(  # noqa: S603 — our own program, over paths of our own
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as process:
        if process.stdout is None:
            raise RuntimeError("a pipe was asked for")
        begun = 0
        while select.select([process.stdout], [], [], silence)[0]:
            if not process.stdout.readline():
                break
            begun += 1
        else:
            process.kill()
            return begun, f"opening it did not end within {silence:g} s" if begun else None
    if process.returncode < 0 and begun:
        return begun, f"opening it ended the process with signal {-process.returncode}"
    if process.returncode:
        logger.warning(
            "the tables' databases can't be opened beforehand: {path} ended with {code}",
            path=command[0],
            code=process.returncode,
        )
    return begun, None

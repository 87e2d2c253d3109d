"""`python -m tests.fuzz`: RECORDS (1,000,000), SEED (of the clock) and FIRST (0) come from the environment."""

from __future__ import annotations

import os
import sys
import time

from tests.fuzz.run import run, table

if __name__ == "__main__":
    count = int(os.environ.get("RECORDS") or 1_000_000)
    seed = int(os.environ.get("SEED") or time.time_ns() // 10**9)
    tally, finding, seconds = run(seed, int(os.environ.get("FIRST") or 0), count)
    print(table(tally, seed, seconds))
    if finding is not None:
        print(f"\nFINDING\n{finding}")
        sys.exit(1)

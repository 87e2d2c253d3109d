"""`make chaos`: make the runs, print the table, write build/chaos/results.json.

Chosen by the environment: SEED, FAULTS (how many over all kinds), KINDS (names with commas), BESIDE (runs at a time).
"""

from __future__ import annotations

import faulthandler
import sys
import time
from typing import Final

from tests.bench.machine import facts
from tests.chaos.faults import NAMES
from tests.chaos.options import FAULTS, OptionError, Options
from tests.chaos.outcome import FILE, FOLDER, Results, shortfalls
from tests.chaos.suite import run_all
from tests.chaos.table import line, render

_LEAST: Final = 300
"""Faults that must have been injected by the default plan."""


def main() -> int:
    """Make the runs; returns the exit code.

    It is 1 where anything was lost, unknown, committed too early or broken off, where a worker ended as it must not,
    and where too few faults were injected.
    """
    faulthandler.enable()
    try:
        options = Options.from_environment()
    except OptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    began = time.monotonic()
    chosen = {
        "seed": options.seed,
        "faults": str(options.faults),
        "kinds": ", ".join(options.kinds),
        "beside": str(options.beside),
        "started": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    machine = facts()
    print(f"seed {options.seed}", flush=True)
    outcomes = run_all(options.runs(), options.beside, lambda outcome: print(line(outcome), flush=True))
    results = Results(machine, chosen, time.monotonic() - began, outcomes)
    results.save()
    print(f"\n{render(results)}\n\nevery run is in {FILE}")
    failed = sum(outcome.failed for outcome in outcomes)
    if failed:
        print(f"{failed} runs failed; their logs are in {FOLDER / 'runs'}", file=sys.stderr)
    short = shortfalls(outcomes, _LEAST if options.faults == FAULTS and options.kinds == NAMES else 0)
    for one in short:
        print(one, file=sys.stderr)
    return 1 if failed or short else 0


if __name__ == "__main__":
    sys.exit(main())

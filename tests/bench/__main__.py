"""`make bench`: measure, print the tables, write build/bench/results.json.

Chosen by the environment: PEERS=all, QUICK=1, REPEATS, CODECS, SIZES, RATES, PARTS; see `Options`.
"""

from __future__ import annotations

import faulthandler
import sys
import time

from tests.bench.options import OptionError, Options
from tests.bench.results import FILE
from tests.bench.run import run
from tests.bench.summary import render


def main() -> int:
    """Returns the exit code: 0 as well where a contender failed, since its row says so."""
    # Most of what runs here is C: should it crash, say where.
    faulthandler.enable()
    try:
        options = Options.from_environment()
    except OptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    begun = time.monotonic()
    results = run(options)
    print(render(results))
    print(f"\n{(time.monotonic() - begun) / 60:.1f} minutes; every measurement is in {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The README's figures, from the newest run: `python -m tests.bench.summary` prints them, `--write` puts them in."""

from __future__ import annotations

import sys
from typing import Final

from tests.bench import tables
from tests.bench.results import FILE, Results
from tests.readme_part import print_or_write

BEGIN: Final = "<!-- bench: sieve begin -->"
END: Final = "<!-- bench: sieve end -->"


def render(results: Results) -> str:
    """The section's tables, with the machine and what was measured."""
    parts = [
        f"`make bench`, {results.options['started']}. {tables.facts(results)}",
        f"{method(results)}",
        tables.headline(results),
        tables.ratios(results),
        tables.others(results),
        tables.rest(results),
        tables.corpora(results),
    ]
    return "\n\n".join(part for part in parts if part)


def method(results: Results) -> str:
    """What the figures are, in words."""
    return (
        "Each contender is a process of its own and reads a topic of 4 partitions that is there, from the beginning to "
        f"the end, with a Kafka on the same machine. Medians of {results.options['repeats']} runs, contenders in turn. "
        "Time and CPU (user and system, all threads) count from the moment the partitions are assigned (where nothing "
        "tells of it, from the first records) until every record was looked at; for the worker, until the alerts of "
        "the last records can be read. Start-up is left out, a JVM's warming up is not. Peak memory is that of the "
        "whole life. The worker has its defaults but for `fetch_max_wait`, 50 ms instead of 500: else it waits, just "
        "after it is ready, for a fetch of its empty topics to end. The others have their defaults, but Faust and "
        "aiokafka run on uvloop, Faust without its leader topic, confluent-kafka with "
        "`fetch.queue.backoff.ms` at 10 (with its 1,000 it idles), JVMs with -Xmx1g. By their speed, contenders read "
        "from 30,000 to 1,500,000 events (fewer in a quick run). In the first two tables events are of 4.9 KB and one "
        "in 2,000 matches."
    )


if __name__ == "__main__":
    sys.exit(print_or_write(sys.argv[1:], FILE, lambda: render(Results.load()), BEGIN, END))

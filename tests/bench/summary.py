"""The README's figures, from the newest run: `python -m tests.bench.summary` prints them, `--write` puts them in."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from tests.bench import tables
from tests.bench.results import FILE, Results
from tests.broker.jars import REPOSITORY

BEGIN: Final = "<!-- bench: sieve begin -->"
END: Final = "<!-- bench: sieve end -->"

_README: Final = REPOSITORY / "README.md"


class NoPlaceError(Exception):
    """The README has no markers; put both where the figures belong."""


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


def written(readme: str, results: Results) -> str:
    """The README with the figures between the markers.

    Raises:
        NoPlaceError: There are no markers.
    """
    place = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    if not place.search(readme):
        raise NoPlaceError(f"the README has no {BEGIN} … {END}")
    return place.sub(lambda found: f"{found[1]}{render(results)}\n{found[2]}", readme, count=1)


def main(arguments: list[str], readme: Path = _README) -> int:
    """Print, or write; returns the exit code."""
    if not FILE.is_file():
        print(f"{FILE} is not there: run `make bench` first", file=sys.stderr)
        return 1
    results = Results.load()
    if "--write" not in arguments:
        print(render(results))
        return 0
    try:
        readme.write_text(written(readme.read_text(encoding="utf-8"), results), encoding="utf-8")
    except NoPlaceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

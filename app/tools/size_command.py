"""`eximwatch size`: the sizing as a table or as JSON, and its flags."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeVar

import click
import msgspec

from app.errors import SettingsError
from app.tools.flags import examples
from app.tools.sizing import Fleet, Size, TooLargeError
from app.tools.sizing import size as size_of

HOSTS: Final = (10_000, 100_000, 1_000_000)

_F = TypeVar("_F", bound=Callable[..., Any])
HELP: Final = {
    "events_per_host_second": "Process events of a host a second, the mean of a day. An assumption: measure yours.",
    "event_bytes": "Mean size of an event's JSON.",
    "codec": "Compression of the source topic.",
    "compression_ratio": "Of the source topic; 0 takes what was measured with made-up events.",
    "exim_share": "Part of the hosts that run exim4.",
    "executions_per_hour": "Of exim4's family on each of these hosts, the mean of a day.",
    "terms_per_host": "Terms that such a host keeps, of all rules.",
    "new_terms_per_host_day": "Alerts of such a host a day, once its baseline is there.",
    "peak": "The busiest minutes over the mean.",
    "headroom": "What the workers could take over the peak's need, the spare ones lost.",
    "spare_workers": "Workers that may be lost.",
    "lineage_slots": "The setting --lineage-slots.",
    "table_cache_bytes": "The setting --table-cache-bytes.",
    "execution_cpu_us": "CPU of an execution, both steps, in microseconds.",
    "replication_factor": "Of all topics.",
    "source_hours": "How long the source topic keeps events.",
    "own_days": "How long matches and alerts are kept; 7 at least.",
    "partition_bytes_per_second": "What a source partition may take, as compressed.",
    "outage_minutes": "Of the workers, to catch up from.",
}


def _options(command: _F) -> _F:
    for field in reversed(dataclasses.fields(Fleet)[1:]):
        kind: Any = click.Choice(["none", "lz4", "zstd"]) if field.name == "codec" else type(field.default)
        if kind in (int, float):
            kind = (click.IntRange if kind is int else click.FloatRange)(min=0)
        flag = "--" + field.name.replace("_", "-")
        command = click.option(flag, default=field.default, show_default=True, type=kind, help=HELP[field.name])(
            command
        )
    return command


@click.command(
    "size",
    epilog=examples(
        "eximwatch size",
        "eximwatch size --hosts 3000 --exim-share 1 --executions-per-hour 10000 --execution-cpu-us 950",
        "eximwatch size --hosts 50000 --codec zstd --events-per-host-second 0.4 --json",
    ),
)
@click.option(
    "--hosts", multiple=True, type=click.IntRange(min=1), metavar="N", help="Repeatable. [default: 10k, 100k, 1M]"
)
@_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: the fleet and its size.")
def size(hosts: Sequence[int], *, as_json: bool, **assumed: Any) -> None:  # noqa: ANN401 - whatever the options give
    """Calculate workers, partitions, memory, disk and traffic for a fleet.

    By figures that were measured on one machine and assumptions that are the flags' defaults; deploy/SIZING.md says
    which, and how to measure your own. Bytes are decimal: 1 MB is 1,000,000.
    """
    fleets = [Fleet(number, **assumed) for number in hosts or HOSTS]
    try:
        sizes = [size_of(fleet) for fleet in fleets]
    except (TooLargeError, ValueError) as error:
        raise SettingsError(str(error)) from None
    if as_json:
        for fleet, found in zip(fleets, sizes, strict=True):
            click.echo(msgspec.json.encode({"fleet": fleet, "size": found}))
        return
    lines = [("hosts", *(f"{fleet.hosts:,}" for fleet in fleets)), *rows(sizes)]
    first, *widths = (max(len(line[at]) for line in lines) for at in range(len(fleets) + 1))
    for name, *cells in lines:
        click.echo(
            "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
        )


def rows(sizes: Sequence[Size]) -> list[tuple[str, ...]]:
    """The table's lines: a name, and a cell for each size."""
    return [(name, *(show(getattr(one, field)) for one in sizes)) for name, field, show in ROWS]


def bytes_text(number: float, per: Literal["", "/s"] = "") -> str:
    """Bytes in a unit that leaves two or three digits."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{_digits(number)} {unit}{per}"


def seconds_text(seconds: float) -> str:
    """Seconds, minutes or hours; never, where there is no end."""
    if math.isinf(seconds):
        return "never"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{_digits(seconds / length)} {unit}"
    return f"{_digits(seconds)} s"


def _digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}" if number >= 0.095 or not number else f"{number:.2g}"


def _rate(number: float) -> str:
    return f"{_digits(number)}/s"


def _bytes_rate(number: float) -> str:
    return bytes_text(number, "/s")


def _cores(number: float) -> str:
    return f"{number:.2f}"


def _count(number: float) -> str:
    return f"{number:,.0f}"


ROWS: Final[tuple[tuple[str, str, Callable[[Any], str]], ...]] = (
    ("events", "events_per_second", _rate),
    ("executions of exim4's family", "executions_per_second", _rate),
    ("CPU of all workers, mean, cores", "cores_mean", _cores),
    ("CPU of all workers, peak, cores", "cores_peak", _cores),
    ("partitions", "partitions", _count),
    ("workers", "workers", _count),
    ("partitions of a worker, at most", "partitions_per_worker", _count),
    ("CPU of the busiest at the peak, cores", "busiest_cores", _cores),
    ("catching up, at the mean", "catch_up_s", seconds_text),
    ("catching up, while the peak lasts", "catch_up_peak_s", seconds_text),
    ("memory of an idle worker", "memory_idle_bytes", bytes_text),
    ("memory of a worker, limit", "memory_limit_bytes", bytes_text),
    ("open files of a worker, limit", "open_files_limit", _count),
    ("disk of a worker", "disk_bytes", bytes_text),
    ("rebuild of a worker's tables", "rebuild_s", seconds_text),
    ("source: written, read once by us", "source_bytes_per_second", _bytes_rate),
    ("the same at the peak", "source_peak_bytes_per_second", _bytes_rate),
    ("matches: written and read", "matches_bytes_per_second", _bytes_rate),
    ("lineage changelog: written", "lineage_bytes_per_second", _bytes_rate),
    ("terms changelog: written", "terms_bytes_per_second", _bytes_rate),
    ("alerts: written", "alerts_bytes_per_second", _bytes_rate),
    ("all brokers, in", "broker_in_bytes_per_second", _bytes_rate),
    ("all brokers, out", "broker_out_bytes_per_second", _bytes_rate),
    ("brokers' disk, source", "source_disk_bytes", bytes_text),
    ("brokers' disk, our topics", "own_disk_bytes", bytes_text),
)

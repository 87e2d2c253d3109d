"""The sizing: what must follow whatever the figures are, and that it agrees with what was measured."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from app.tools import sizing_figures as figures
from app.tools.cli import cli
from app.tools.size_command import HELP, ROWS, bytes_text, rows, seconds_text
from app.tools.sizing import PARTITIONS, Fleet, Size, TooLargeError, scan_us, size

_FLEETS = st.builds(
    Fleet,
    hosts=st.integers(1, 2_000_000),
    events_per_host_second=st.floats(0, 2),
    event_bytes=st.integers(300, 20_000),
    codec=st.sampled_from(["none", "lz4", "zstd"]),
    exim_share=st.floats(0, 0.05),
    executions_per_hour=st.floats(0, 1_000),
    peak=st.floats(1, 3),
    headroom=st.floats(1, 2),
    spare_workers=st.integers(0, 3),
    partition_bytes_per_second=st.just(1e9),
)


@given(_FLEETS)
def test_the_fullest_worker_has_room_at_the_peak(fleet: Fleet) -> None:
    """With the spare ones lost it takes the peak times the headroom, and one worker less would not."""
    found = size(fleet)
    running = found.workers - fleet.spare_workers

    assert found.partitions in PARTITIONS
    assert 1 <= running <= found.partitions
    assert math.ceil(found.partitions / running) == found.partitions_per_worker
    assert found.busiest_cores * fleet.headroom <= figures.WORKER_CORES * (1 + 1e-9)
    if running > 1:
        fewer = math.ceil(found.partitions / (running - 1)) / found.partitions
        assert found.cores_peak * fleet.headroom * fewer > figures.WORKER_CORES


@given(_FLEETS, st.integers(2, 5))
def test_more_hosts_never_need_less(fleet: Fleet, times: int) -> None:
    """Rates, disk and partitions grow with the fleet."""
    one, more = size(fleet), size(dataclasses.replace(fleet, hosts=fleet.hosts * times))

    for name in ("cores_mean", "partitions", "disk_bytes", "broker_in_bytes_per_second", "own_disk_bytes"):
        assert getattr(one, name) <= getattr(more, name)


@given(_FLEETS)
def test_whoever_has_headroom_catches_up(fleet: Fleet) -> None:
    """The mean is below what the workers take; a longer outage takes longer in proportion."""
    found = size(fleet)
    longer = size(dataclasses.replace(fleet, outage_minutes=2 * fleet.outage_minutes))

    assert math.isfinite(found.catch_up_s)
    assert found.catch_up_s <= found.catch_up_peak_s
    assert longer.catch_up_s == pytest.approx(2 * found.catch_up_s)


def test_a_worker_without_headroom_never_catches_up_in_a_peak() -> None:
    """Where all it can do is what comes, the lag stays."""
    cores = size(Fleet(1)).cores_mean
    hosts = math.floor(figures.WORKER_CORES / cores)
    found = size(Fleet(hosts, peak=1, headroom=1, partition_bytes_per_second=1e9, outage_minutes=60))

    assert found.catch_up_s > 1e6
    assert "never" == seconds_text(math.inf)


def test_calculation_by_hand() -> None:
    """100 mail servers, by the formula in deploy/SIZING.md, each term written out."""
    fleet = Fleet(
        100,
        events_per_host_second=50,
        event_bytes=figures.LARGE_BYTES,
        exim_share=0.5,
        executions_per_hour=7_200,
        execution_cpu_us=1_000,
        peak=2,
        headroom=2,
        own_days=7,
    )
    found = size(fleet)

    assert (5_000, 100) == (found.events_per_second, found.executions_per_second)
    assert 5_000 * 1.83e-6 + 100 * 1e-3 == pytest.approx(found.cores_mean)
    assert (12, 1 + 1, 12) == (found.partitions, found.workers, found.partitions_per_worker)
    assert 5_000 * 4_900 / 4.2 == pytest.approx(found.source_bytes_per_second)
    assert 100 * (4_900 + 241) == pytest.approx(found.matches_bytes_per_second)
    assert 60 * 60 * found.cores_mean / (0.88 - found.cores_mean) == pytest.approx(found.catch_up_s)
    assert 2 * (50 * 4_096 * 113 + 50 * 50 * 48.6) + 24 * 15 * 2**20 == pytest.approx(found.disk_bytes)
    assert 97.6e6 + 12 * 0.52e6 == pytest.approx(found.memory_idle_bytes)
    assert 33 + 24 * 134 == found.open_files_limit


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_scan_goes_through_both_measured_sizes(codec: str) -> None:
    """And larger events cost more."""
    assert figures.SCAN_US[codec] == pytest.approx(scan_us(codec, figures.LARGE_BYTES))
    assert figures.small_scan_us(codec) == pytest.approx(scan_us(codec, figures.SMALL_BYTES))
    assert 0 < scan_us(codec, 300) < scan_us(codec, 2_000) < scan_us(codec, 20_000)


def test_what_follows_from_the_figures() -> None:
    """The two constants that are derived, and that the calculation gives back what was measured of three rules."""
    shares = [figures.LARGE_SPARSE_RATE[codec] * figures.LARGE_SPARSE_US[codec] * 1e-6 for codec in ("lz4", "zstd")]
    least = min(*shares, figures.FAMILY_RATE * figures.FAMILY_US * 1e-6)
    sparse = (figures.LARGE_SPARSE_US["lz4"] * figures.THREE_RULES - figures.SCAN_US["lz4"]) * figures.SPARSE
    found = size(Fleet(2_000, exim_share=1 / 2_000, executions_per_hour=2_000 / 2_000 * 3_600))

    assert math.floor(least * 100) / 100 == figures.WORKER_CORES
    assert round(sparse, -1) == figures.SPARSE_EXECUTION_US
    assert 2_000 * figures.LARGE_SPARSE_US["lz4"] * figures.THREE_RULES * 1e-6 == pytest.approx(
        found.cores_mean, rel=0.002
    )


def test_a_fleet_over_all_bounds_is_refused() -> None:
    """No number is made up for it."""
    with pytest.raises(TooLargeError, match=r"partitions would be needed, over 1,536"):
        size(Fleet(1_000_000_000))


@pytest.mark.parametrize(
    "wrong", [{"peak": 0.5}, {"headroom": 0.9}, {"exim_share": 1.5}, {"replication_factor": 0}, {"event_bytes": 0}]
)
def test_senseless_assumptions_are_refused(wrong: dict[str, float]) -> None:
    """With the assumption's name or meaning in the message."""
    with pytest.raises(ValueError, match=r"1 or more|1 at most"):
        size(Fleet(10, **wrong))  # type: ignore[arg-type]  # by name


def test_command_prints_the_table() -> None:
    """A line for each figure, a column for each fleet."""
    printed = CliRunner().invoke(cli, ["size", "--hosts", "10000", "--hosts", "50", "--codec", "zstd"])
    lines = printed.output.splitlines()

    assert 0 == printed.exit_code
    assert ["hosts", "10,000", "50"] == lines[0].split()
    assert len(ROWS) + 1 == len(lines)
    assert 1 == len({len(line) for line in lines})


def test_command_prints_json() -> None:
    """All that was assumed and all that follows, one object a line."""
    printed = CliRunner().invoke(cli, ["size", "--json", "--hosts", "10000", "--hosts", "20000"])
    found = [json.loads(line) for line in printed.output.splitlines()]

    assert [10_000, 20_000] == [one["fleet"]["hosts"] for one in found]
    assert dataclasses.asdict(size(Fleet(10_000))) == found[0]["size"]


def test_every_flag_is_described_and_every_figure_shown() -> None:
    """Nothing that is assumed has no flag, nothing that is calculated is kept back."""
    assert [one.name for one in dataclasses.fields(Fleet)[1:]] == list(HELP)
    assert {one.name for one in dataclasses.fields(Size)} == {field for _, field, _ in ROWS}
    assert all(cells for _, *cells in rows([size(Fleet(1))]))


@pytest.mark.parametrize(
    ("expected", "shown"),
    [
        ("0.0 B", bytes_text(0)),
        ("999 B", bytes_text(999)),
        ("1.5 kB", bytes_text(1_500)),
        ("118 MB/s", bytes_text(118e6, "/s")),
        ("2,500 TB", bytes_text(2.5e15)),
        ("5.9 s", seconds_text(5.9)),
        ("2.0 min", seconds_text(120)),
        ("30 h", seconds_text(108_000)),
    ],
)
def test_figures_are_read_easily(expected: str, shown: str) -> None:
    """Two or three digits and a unit."""
    assert expected == shown

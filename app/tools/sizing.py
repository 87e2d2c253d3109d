"""How many workers, partitions, bytes and brokers a fleet needs: arithmetic over measured figures, and nothing else.

deploy/SIZING.md says the same in words; its tables are made by this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.tools import sizing_figures as figures

PARTITIONS: Final = (12, 24, 48, 96, 192, 384, 768, 1536)
"""Of which one is chosen: many workers' numbers divide them, so that shares are equal."""

_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_TABLES: Final = 2
_MICRO: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is to be watched, and how safely. The defaults are assumptions: deploy/SIZING.md says how to measure yours.

    Attributes:
        hosts: That send process events.
        events_per_host_second: Process events of a host a second, the mean of a day.
        event_bytes: Mean size of an event's JSON.
        codec: How the source topic's batches are compressed: none, lz4, or zstd.
        compression_ratio: By how much; 0 takes what was measured for the codec.
        exim_share: Part of the hosts that run exim4.
        executions_per_hour: Of exim4's family, on each of these hosts, the mean of a day.
        terms_per_host: Distinct terms of all rules that such a host keeps within its history.
        new_terms_per_host_day: Alerts of such a host a day, once its baseline is there.
        peak: The busiest minutes over the mean.
        headroom: Work that the workers could take over what the peak needs, with one of them lost.
        spare_workers: Workers that may be lost.
        lineage_slots: The setting of this name.
        table_cache_bytes: The setting of this name.
        execution_cpu_us: CPU that an execution takes in both steps together, microseconds.
        replication_factor: Of all topics.
        source_hours: For how long the source topic keeps its events.
        own_days: For how long matches, alerts and dead letters are kept; 7 is the least.
        partition_bytes_per_second: What one partition of the source may take, as compressed.
        outage_minutes: Of the workers, after which they must catch up.
    """

    hosts: int
    events_per_host_second: float = 1.0
    event_bytes: int = 4_900
    codec: str = "lz4"
    compression_ratio: float = 0.0
    exim_share: float = 0.01
    executions_per_hour: float = 500.0
    terms_per_host: float = 50.0
    new_terms_per_host_day: float = 0.1
    peak: float = 3.0
    headroom: float = 1.5
    spare_workers: int = 1
    lineage_slots: int = 4_096
    table_cache_bytes: int = 8 * 1024 * 1024
    execution_cpu_us: float = figures.SPARSE_EXECUTION_US
    replication_factor: int = 3
    source_hours: float = 24.0
    own_days: float = 7.0
    partition_bytes_per_second: float = 10e6
    outage_minutes: float = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """What such a fleet needs. Rates are means of a day unless they say peak; bytes are bytes, times seconds.

    Attributes:
        events_per_second: Of the source.
        executions_per_second: Of exim4's family.
        cores_mean: CPU seconds a second, of all workers together.
        cores_peak: The same in the busiest minutes.
        partitions: Of the source topic and of ours.
        workers: To run, the spare ones among them.
        busiest_cores: Of the worker with the most partitions, at the peak with the spare ones lost.
        partitions_per_worker: At most, with the spare ones lost.
        catch_up_s: After the outage, at the mean rate with the spare workers lost; infinite if never.
        catch_up_peak_s: The same while the peak lasts.
        memory_idle_bytes: Of a worker, as measured without work.
        memory_limit_bytes: Of a worker, with all caches full and room for what is under way.
        open_files_limit: Of a worker.
        disk_bytes: Of a worker's data directory, if it comes to hold all partitions, with room to compact.
        rebuild_s: Of the fullest worker's tables from the changelogs, after a loss of its directory.
        source_bytes_per_second: As produced, compressed; we read it all once, whatever the number of workers.
        source_peak_bytes_per_second: The same at the peak.
        matches_bytes_per_second: Written to the matches topic, and read from it once.
        lineage_bytes_per_second: Written to the changelog of processes.
        terms_bytes_per_second: Written to the changelog of terms.
        alerts_bytes_per_second: Written to the topic of alerts.
        broker_in_bytes_per_second: Into all brokers, replication included.
        broker_out_bytes_per_second: Out of them, to workers and to replicas.
        source_disk_bytes: Of all brokers, for the source topic.
        own_disk_bytes: Of all brokers, for our topics.
    """

    events_per_second: float
    executions_per_second: float
    cores_mean: float
    cores_peak: float
    partitions: int
    workers: int
    busiest_cores: float
    partitions_per_worker: int
    catch_up_s: float
    catch_up_peak_s: float
    memory_idle_bytes: float
    memory_limit_bytes: float
    open_files_limit: int
    disk_bytes: float
    rebuild_s: float
    source_bytes_per_second: float
    source_peak_bytes_per_second: float
    matches_bytes_per_second: float
    lineage_bytes_per_second: float
    terms_bytes_per_second: float
    alerts_bytes_per_second: float
    broker_in_bytes_per_second: float
    broker_out_bytes_per_second: float
    source_disk_bytes: float
    own_disk_bytes: float


class TooLargeError(Exception):
    """No number of partitions here does; the message says what would be needed."""


def scan_us(codec: str, event_bytes: float) -> float:
    """CPU of an event that is only scanned, microseconds: the line through the two sizes that were measured."""
    large, small = figures.SCAN_US[codec], figures.small_scan_us(codec)
    slope = (large - small) / (figures.LARGE_BYTES - figures.SMALL_BYTES)
    return max(0.1, small + slope * (event_bytes - figures.SMALL_BYTES))


def size(fleet: Fleet) -> Size:
    """All figures.

    Raises:
        TooLargeError: It takes more partitions than the largest number offered.
        ValueError: An assumption is out of its range.
    """
    _check(fleet)
    events = fleet.hosts * fleet.events_per_host_second
    mail_hosts = fleet.hosts * fleet.exim_share
    executions = mail_hosts * fleet.executions_per_hour / _HOUR_S
    ratio = fleet.compression_ratio or figures.COMPRESSION[fleet.codec]
    source = events * fleet.event_bytes / ratio
    cores = _MICRO * (events * scan_us(fleet.codec, fleet.event_bytes) + executions * fleet.execution_cpu_us)
    wanted = cores * fleet.peak * fleet.headroom / figures.WORKER_CORES
    partitions = _partitions(max(2 * wanted, source * fleet.peak / fleet.partition_bytes_per_second))
    least = _least(lambda workers: _busiest(wanted, partitions, workers) <= 1, partitions)
    held = math.ceil(partitions / least)
    share = held / partitions
    power = figures.WORKER_CORES / share
    slots = mail_hosts * _slots(fleet)
    terms = mail_hosts * fleet.terms_per_host
    matches = executions * (fleet.event_bytes + figures.MATCH_OVERHEAD_BYTES)
    process = figures.LINEAGE_RECORD_BYTES + figures.RECORD_FRAMING_BYTES
    lineage = executions * figures.LINEAGE_RECORDS * process
    term_writes = executions * figures.MATCHES_AN_EXECUTION * figures.TERM_CHANGE_BYTES
    alerts = mail_hosts * fleet.new_terms_per_host_day / _DAY_S * figures.ALERT_BYTES
    written = source + matches + lineage + term_writes + alerts
    kept = (matches + alerts) * fleet.own_days * _DAY_S + 2 * (slots * process + terms * figures.TERM_CHANGE_BYTES)
    return Size(
        events_per_second=events,
        executions_per_second=executions,
        cores_mean=cores,
        cores_peak=cores * fleet.peak,
        partitions=partitions,
        workers=least + fleet.spare_workers,
        busiest_cores=cores * fleet.peak * share,
        partitions_per_worker=held,
        catch_up_s=_catch_up(fleet, cores, power),
        catch_up_peak_s=_catch_up(fleet, cores * fleet.peak, power),
        memory_idle_bytes=figures.IDLE_BYTES + held * figures.IDLE_PARTITION_BYTES,
        memory_limit_bytes=_memory_limit(fleet, held, terms * share),
        open_files_limit=figures.IDLE_FILES + held * _TABLES * (figures.DATABASE_FILES + figures.DATABASE_MAX_SSTS),
        disk_bytes=2 * (slots * figures.SLOT_BYTES + terms * figures.TERM_BYTES)
        + partitions * _TABLES * figures.DATABASE_BESIDES_BYTES,
        rebuild_s=share * (slots / figures.LINEAGE_REBUILD + terms / figures.TERMS_REBUILD),
        source_bytes_per_second=source,
        source_peak_bytes_per_second=source * fleet.peak,
        matches_bytes_per_second=matches,
        lineage_bytes_per_second=lineage,
        terms_bytes_per_second=term_writes,
        alerts_bytes_per_second=alerts,
        broker_in_bytes_per_second=written * fleet.replication_factor,
        broker_out_bytes_per_second=source + matches + written * (fleet.replication_factor - 1),
        source_disk_bytes=source * fleet.source_hours * _HOUR_S * fleet.replication_factor,
        own_disk_bytes=kept * fleet.replication_factor,
    )


def _check(fleet: Fleet) -> None:
    if fleet.peak < 1 or fleet.headroom < 1:
        raise ValueError("peak and headroom are factors of 1 or more")
    if fleet.exim_share > 1:
        raise ValueError("exim_share is a part of the hosts: 1 at most")
    if fleet.replication_factor < 1 or fleet.event_bytes < 1 or not fleet.partition_bytes_per_second:
        raise ValueError("replication factor, event bytes and bytes a partition are 1 or more")


def _partitions(least: float) -> int:
    for partitions in PARTITIONS:
        if partitions >= least:
            return partitions
    raise TooLargeError(
        f"{least:,.0f} partitions would be needed, over {PARTITIONS[-1]:,}: split the source by prefixes"
    )


def _least(fits: Callable[[int], bool], most: int) -> int:
    return next(workers for workers in range(1, most + 1) if fits(workers))  # one a partition fits, see above


def _busiest(wanted: float, partitions: int, workers: int) -> float:
    """The load of the worker with the most partitions, of what one can take."""
    return wanted * math.ceil(partitions / workers) / partitions


def _catch_up(fleet: Fleet, cores: float, power: float) -> float:
    """Seconds to work off what came in the outage while as much goes on coming."""
    backlog = fleet.outage_minutes * 60 * cores
    return backlog / (power - cores) if power > cores else math.inf


def _slots(fleet: Fleet) -> float:
    """Slots of a host's ring in use: all of them, unless a week's executions take fewer."""
    week = fleet.executions_per_hour * 24 * figures.LINEAGE_DAYS * figures.SLOTS_AN_EXECUTION
    return min(float(fleet.lineage_slots), week)


def _memory_limit(fleet: Fleet, held: int, terms: float) -> float:
    caches = held * _TABLES * 2 * fleet.table_cache_bytes
    idle = figures.IDLE_BYTES + held * figures.IDLE_PARTITION_BYTES
    return idle + caches + terms * figures.TERM_MEMORY_BYTES + figures.AT_WORK_BYTES

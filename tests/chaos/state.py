"""What the tables must hold at the end of a run, and what their changelogs say. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from app.core.baseline import BaselineRecord, decode_baseline, is_baseline_key
from app.core.dead_letter import DeadLetter
from app.core.engine import Arrival, Engine
from app.core.new_terms import TermRecord, decode_record
from app.core.process import Process
from app.core.ring import Remembered, applied_at
from app.core.state_format import StateFormat
from app.tools.history import History

_PROCESSES: Final = StateFormat(Remembered, "lineage")


class Entry(NamedTuple):
    """A record of a changelog; without a value it deletes."""

    partition: int
    key: bytes
    value: bytes | None


State = TermRecord | BaselineRecord | Process
"""What a table keeps under a key. Of a process what is known of it; its slot says how often it was replayed as well."""


def expected_state(engine: Engine, values: Iterable[bytes]) -> dict[bytes, State]:
    """What the pure core remembers of every term, rule's baseline and process, after records in this order."""
    remembered = History(engine)
    now = time.time_ns()
    candidates = (value for value in values if engine.needles.is_candidate(value))
    for offset, value in enumerate(candidates):
        examination = engine.examine(value, None)
        for route in examination.routes():
            # Rules and routes share a record's offset, but no term.
            judged = remembered.judge(value, examination, route, Arrival(0, offset, now, {}), now)
            assert not any(isinstance(one, DeadLetter) for one in judged)
    processes = {key: process for key, value in remembered.processes.items() if (process := process_of(key, value))}
    return {**remembered.terms, **remembered.baselines, **processes}


def term_of(key: bytes, value: bytes) -> State:
    """What an entry of the new-terms table says."""
    return decode_baseline(value) if is_baseline_key(key) else decode_record(value)


def process_of(key: bytes, value: bytes) -> Process | None:
    """What an entry of the lineage table says; None of one that is derived."""
    return None if applied_at(key, value) is None else _PROCESSES.decode(value).process


def folded(entries: Iterable[Entry], read: Callable[[bytes, bytes], State | None]) -> dict[tuple[int, bytes], State]:
    """The newest value of each key of each partition of a changelog, as `read` gives it."""
    found: dict[tuple[int, bytes], State] = {}
    for entry in entries:
        state = None if entry.value is None else read(entry.key, entry.value)
        if state is None:
            found.pop((entry.partition, entry.key), None)
        else:
            found[entry.partition, entry.key] = state
    return found


def wrong_state(expected: Mapping[bytes, State], found: Mapping[tuple[int, bytes], State], *, whole: bool) -> list[str]:
    """What the tables remember otherwise than the pure core, one sentence each.

    Args:
        expected: By key.
        found: By partition and key.
        whole: Every one must be there; else only those are compared that are.
    """
    wrong = []
    for (partition, key), record in found.items():
        where = f"state of {key!r} in partition {partition}"
        due = expected.get(key)
        if due is None:
            wrong.append(f"{where}: nobody expects it")
        elif not _agree(due, record):
            wrong.append(f"{where}: {record}, must be {due}")
    if whole:
        there = {key for _, key in found}
        wrong += [f"state of {key!r}: it is not there" for key in expected if key not in there]
    return wrong


def _agree(due: State, record: State) -> bool:
    """Whether a record is as it must be. Matches may be counted more than once, terms of a baseline may not."""
    if isinstance(due, TermRecord) and isinstance(record, TermRecord):
        return (due.first_seen, due.last_seen) == (record.first_seen, record.last_seen) and record.count >= due.count
    if isinstance(due, BaselineRecord) and isinstance(record, BaselineRecord):
        return (due.since, due.terms) == (record.since, record.terms)
    return due == record

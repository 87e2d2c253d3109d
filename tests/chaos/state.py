"""What the new-terms table must hold at the end of a run, and what its changelog says. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from app.core.baseline import BaselineRecord, decode_baseline, is_baseline_key
from app.core.dead_letter import DeadLetter
from app.core.engine import Arrival, Engine
from app.core.new_terms import TermRecord, decode_record
from app.tools.history import History


class Entry(NamedTuple):
    """A record of the changelog; without a value it deletes."""

    partition: int
    key: bytes
    value: bytes | None


State = TermRecord | BaselineRecord
"""What the table keeps under a key."""


def expected_state(engine: Engine, values: Iterable[bytes]) -> dict[bytes, State]:
    """What the pure core remembers of every term, and of every rule's baseline, after records in this order."""
    remembered = History(engine)
    now = time.time_ns()
    candidates = (value for value in values if engine.needles.is_candidate(value))
    for offset, value in enumerate(candidates):
        examination = engine.examine(value, None)
        for route in examination.routes():
            # Rules and routes share a record's offset, but no term.
            judged = remembered.judge(value, examination, route, Arrival(0, offset, now, {}), now)
            assert not any(isinstance(one, DeadLetter) for one in judged)
    return {**remembered.terms, **remembered.baselines}


def folded(entries: Iterable[Entry]) -> dict[tuple[int, bytes], State]:
    """The newest value of each key of each partition."""
    found: dict[tuple[int, bytes], State] = {}
    for entry in entries:
        if entry.value is None:
            found.pop((entry.partition, entry.key), None)
        else:
            decode = decode_baseline if is_baseline_key(entry.key) else decode_record
            found[entry.partition, entry.key] = decode(entry.value)
    return found


def wrong_state(expected: Mapping[bytes, State], found: Mapping[tuple[int, bytes], State], *, whole: bool) -> list[str]:
    """Terms and baselines that the table remembers otherwise than the pure core, one sentence each.

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
    if isinstance(due, BaselineRecord) or isinstance(record, BaselineRecord):
        return _watched(due) == _watched(record)
    return (due.first_seen, due.last_seen) == (record.first_seen, record.last_seen) and record.count >= due.count


def _watched(state: State) -> tuple[int, int] | None:
    return (state.since, state.terms) if isinstance(state, BaselineRecord) else None

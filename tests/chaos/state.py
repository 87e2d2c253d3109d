"""What the table must hold at the end of a run, and what its changelog says. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from app.core.engine import Arrival, Engine
from app.core.new_terms import TermRecord, decode_record, term_key


class Entry(NamedTuple):
    """A record of the changelog; without a value it deletes."""

    partition: int
    key: bytes
    value: bytes | None


def expected_state(engine: Engine, values: Iterable[bytes]) -> dict[bytes, TermRecord]:
    """What the pure core remembers of every term after records in this order."""
    table: dict[bytes, TermRecord] = {}
    now = time.time_ns()
    candidates = (value for value in values if engine.needles.is_candidate(value))
    for offset, value in enumerate(candidates):
        examination = engine.examine(value, None)
        for route in examination.routes():
            for rule, term in examination.due(route):
                key = term_key(rule.id, rule.fields, term)
                known = table.get(key)
                # Rules and routes share a record's offset, but no term.
                judged = engine.judge(rule, term, examination, known, Arrival(0, offset, now, {}), value, now)
                table[key] = judged.assessment.record  # type: ignore[union-attr]  # a dead letter here is a fault
    return table


def folded(entries: Iterable[Entry]) -> dict[tuple[int, bytes], TermRecord]:
    """The newest value of each key of each partition."""
    found: dict[tuple[int, bytes], TermRecord] = {}
    for entry in entries:
        if entry.value is None:
            found.pop((entry.partition, entry.key), None)
        else:
            found[entry.partition, entry.key] = decode_record(entry.value)
    return found


def wrong_state(
    expected: Mapping[bytes, TermRecord], found: Mapping[tuple[int, bytes], TermRecord], *, whole: bool
) -> list[str]:
    """Terms that the table remembers otherwise than the pure core, one sentence each.

    Args:
        expected: By key.
        found: By partition and key.
        whole: Every term must be there; else only those are compared that are.
    """
    wrong = []
    for (partition, key), record in found.items():
        where = f"state of term {key!r} in partition {partition}"
        due = expected.get(key)
        if due is None:
            wrong.append(f"{where}: nobody expects it")
        elif (due.first_seen, due.last_seen) != (record.first_seen, record.last_seen) or record.count < due.count:
            wrong.append(f"{where}: {record}, must be {due}")
    if whole:
        there = {key for _, key in found}
        wrong += [f"state of term {key!r}: it is not there" for key in expected if key not in there]
    return wrong

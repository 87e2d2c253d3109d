"""The baseline of a rule on a host: since when it is watched, and that each of its terms is counted once."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.baseline import (
    Baseline,
    BaselineRecord,
    decode_baseline,
    encode_baseline,
    host_baseline_key,
    is_baseline_key,
    watch,
)
from app.core.duration import DAY
from app.core.engine import baseline_key
from app.core.new_terms import (
    Policy,
    Sighting,
    Term,
    TermRecord,
    assess,
    decode_record,
    encode_record,
    term_key,
)
from app.core.state_format import FORMAT, KEYS, StateFormatError
from tests.core.rules import rule

RETENTION = 28 * DAY
POLICY = Policy(14 * DAY, RETENTION)
NOW = 1000 * DAY
FIELDS = ("host.id", "process.name")
KEY = host_baseline_key("rule", FIELDS, "h")


@dataclass(frozen=True)
class Event:
    """A match of one or more terms at its place in the matches topic."""

    offset: int
    clock: int
    names: tuple[str, ...]
    taken_at: int = NOW

    @property
    def sighting(self) -> Sighting:
        """The match."""
        return Sighting(self.clock, 1, self.offset, self.taken_at)


@dataclass
class Worker:
    """The table, and all that was handed to its changelog, in the worker's order of writes."""

    table: dict[bytes, bytes] = field(default_factory=dict)
    changelog: list[tuple[bytes, bytes]] = field(default_factory=list)
    seen: list[Baseline] = field(default_factory=list)

    def take(self, event: Event, writes: int | None = None) -> bool:
        """Judge an event; gives whether it ended before `writes` were done."""
        for place, name in enumerate(event.names):
            term = ("h", name)
            key = term_key("rule", FIELDS, term)
            stored, watched = self.table.get(key), self.table.get(KEY)
            assessment = assess(None if stored is None else decode_record(stored), event.sighting, POLICY)
            known = None if watched is None else decode_baseline(watched)
            found = watch(known, place, assessment, event.sighting, RETENTION)
            self.seen.append(found.before)
            entries = [(key, encode_record(assessment.record))]
            if found.record is not None:
                entries.insert(0, (KEY, encode_baseline(found.record)))
            for entry in entries:
                if writes == 0:
                    return True
                self.table[entry[0]] = entry[1]
                self.changelog.append(entry)
                writes = None if writes is None else writes - 1
        return False

    @property
    def baseline(self) -> BaselineRecord:
        """What is kept now."""
        return decode_baseline(self.table[KEY])


def take_all(events: list[Event]) -> Worker:
    """Judge events one after the other."""
    worker = Worker()
    for one in events:
        worker.take(one)
    return worker


def numbered(*matches: tuple[int, str]) -> list[Event]:
    """Events of one term each, taken at their clocks."""
    return [Event(n, clock, (name,), clock) for n, (clock, name) in enumerate(matches)]


def test_first_match_begins_the_baseline() -> None:
    """Before it nothing was known of the host; then its term is counted."""
    worker = take_all(numbered((NOW, "sh")))

    assert [Baseline()] == worker.seen
    assert (NOW, 1, NOW) == (worker.baseline.since, worker.baseline.terms, worker.baseline.applied_at)


def test_each_new_term_is_counted() -> None:
    """A match finds what was there before it; one of a known term counts nothing and writes nothing."""
    worker = take_all(numbered((NOW, "sh"), (NOW + 1, "sh"), (NOW + 2, "perl"), (NOW + 3, "nc"), (NOW + 4, "sh")))

    assert [(None, 0), (NOW, 1), (NOW, 1), (NOW, 2), (NOW, 3)] == [(one.since, one.terms) for one in worker.seen]
    assert 3 == worker.baseline.terms
    assert 3 == len([key for key, _ in worker.changelog if key == KEY])


def test_term_that_comes_back_is_not_counted_again() -> None:
    """It is new after the window, but was there before."""
    worker = take_all(numbered((NOW, "sh"), (NOW + 15 * DAY, "sh")))

    assert (NOW, 1) == (worker.baseline.since, worker.baseline.terms)


def test_forgotten_term_is_counted_again() -> None:
    """The table can't tell it from one that was never there."""
    days = [(NOW + n * DAY, "sh") for n in range(0, 30, 5)]
    worker = take_all(numbered((NOW, "perl"), *days, (NOW + 29 * DAY, "perl")))

    assert 3 == worker.baseline.terms


@pytest.mark.parametrize(("after", "expected"), [(RETENTION, Baseline(NOW, 1)), (RETENTION + 1, Baseline())])
def test_baseline_is_forgotten_after_the_retention(after: int, expected: Baseline) -> None:
    """A worker that was rebuilt and one that was not must know the same."""
    assert expected == take_all(numbered((NOW, "sh"), (NOW + after, "perl"))).seen[-1]


def test_baseline_outlives_the_retention_where_there_are_matches() -> None:
    """It is written again in time, and only then."""
    worker = take_all(numbered(*((NOW + n * DAY, "sh") for n in range(200))))

    assert Baseline(NOW, 1) == worker.seen[-1]
    assert 200 // 7 + 1 >= len([key for key, _ in worker.changelog if key == KEY])


def test_baseline_that_is_not_there_begins_with_the_term() -> None:
    """Where a term is known without one, it was watched at least since that term's first match."""
    earlier = TermRecord(NOW - DAY, NOW - DAY, 1, NOW, 1, 0)
    known = assess(earlier, Sighting(NOW, 1, 5, NOW), POLICY)
    found = watch(None, 0, known, Event(0, NOW, ()).sighting, RETENTION)

    assert found.record is not None
    assert (Baseline(), NOW - DAY, 1) == (found.before, found.record.since, found.record.terms)


@settings(deadline=None)
@given(st.permutations(range(6)))
def test_watched_since_is_the_earliest_clock(order: list[int]) -> None:
    """Late matches move it back, of known terms too; before each it is the earliest of those that came before."""
    clocks = [NOW + n for n in order]
    worker = take_all([Event(n, clock, ("sh", "perl")[n % 2 : n % 2 + 1]) for n, clock in enumerate(clocks)])

    assert [None, *(min(clocks[:n]) for n in range(1, 6))] == [one.since for one in worker.seen]
    assert NOW == worker.baseline.since


_NAMES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True).map(tuple)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), _NAMES), min_size=1, max_size=8), st.data())
def test_terms_are_counted_once_whatever_breaks(
    matches: list[tuple[int, tuple[str, ...]]], data: st.DataObject
) -> None:
    """A worker ends between any two writes, and reads again what was not confirmed; any number of times.

    The last writes may not reach the changelog; it starts again from its table or from the changelog alone.
    """
    events = [Event(n, NOW + clock, names, NOW + n // 2) for n, (clock, names) in enumerate(matches)]
    worker = Worker()
    committed = 0
    for _ in range(data.draw(st.integers(0, 4), "crashes")):
        position = committed
        ends = [(committed, len(worker.changelog))]
        while position < len(events) and not worker.take(events[position], data.draw(st.none() | st.integers(0, 9))):
            position += 1
            ends.append((position, len(worker.changelog)))
        kept = data.draw(st.integers(ends[0][1], len(worker.changelog)), "confirmed")
        committed = data.draw(st.sampled_from([one for one, end in ends if end <= kept]), "committed")
        del worker.changelog[kept:]
        if data.draw(st.booleans(), "rebuilt"):
            worker.table = dict(worker.changelog)
    for one in events[committed:]:
        worker.take(one)

    for table in (worker.table, dict(worker.changelog)):
        found = decode_baseline(table[KEY])
        assert len({name for one in events for name in one.names}) == found.terms
        assert min(one.clock for one in events) == found.since


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), _NAMES), min_size=1, max_size=8), st.data())
def test_replay_finds_the_same_baseline(matches: list[tuple[int, tuple[str, ...]]], data: st.DataObject) -> None:
    """An alert that is raised again after a crash before its term was written says the same count."""
    events = [Event(n, NOW + n, names) for n, (_, names) in enumerate(matches)]
    worker = Worker()
    for one in events[:-1]:
        worker.take(one)
    broken = Worker(dict(worker.table))
    broken.take(events[-1], data.draw(st.integers(0, 7)))
    worker.seen, broken.seen = [], []
    table = dict(broken.table)
    worker.take(events[-1])
    broken.take(events[-1])

    for name, expected, found in zip(events[-1].names, worker.seen, broken.seen, strict=True):
        record = table.get(term_key("rule", FIELDS, ("h", name)))
        if record is None or decode_record(record).offset != events[-1].offset:
            assert expected == found


def test_key_is_never_a_term_s() -> None:
    """Both stand in one table."""
    one = rule("child")
    term: Term = ("h", "sh")
    key = baseline_key(one, term)

    assert key is not None
    assert is_baseline_key(key)
    assert not is_baseline_key(term_key(one.id, one.fields, term))
    assert not is_baseline_key(term_key("\x7f" * 300, one.fields, term))
    assert KEYS == key[0]


def test_fleet_has_no_baseline() -> None:
    """A rule without `host.id` among its fields watches no host of its own."""
    assert baseline_key(rule(fields=("process.name",)), ("sh",)) is None


def test_keys_differ_by_rule_fields_and_host() -> None:
    """Nothing of one runs into another."""
    keys = {
        host_baseline_key(identity, fields, host)
        for identity in ("a", "ab", "b")
        for fields in (("host.id",), ("host.id", "x"), ("x", "host.id"))
        for host in ("", "h", "bh", "h" * 2000, "h" * 2001)
    }

    assert 3 * 3 * 5 == len(keys)


@given(st.builds(BaselineRecord, *[st.integers(0, 2**63 - 1)] * 6))
def test_record_is_read_as_it_was_written(record: BaselineRecord) -> None:
    """Also by the next format, which may append fields."""
    assert record == decode_baseline(encode_baseline(record))
    later = bytes((FORMAT + 1,)) + msgspec.msgpack.encode([*msgspec.to_builtins(record), "more"])
    assert record == decode_baseline(later)


@pytest.mark.parametrize("value", [b"", b"\x09", b"\x01", b"\x01\x91\x00"])
def test_unknown_format_stops(value: bytes) -> None:
    """Nothing is guessed."""
    with pytest.raises(StateFormatError):
        decode_baseline(value)


def test_offset_that_a_broker_gives_again_is_no_replay() -> None:
    """A broker that lost the end of its log gives it to what came later: that is another term, and is counted."""
    record = BaselineRecord(NOW, 3, NOW, epoch=1, offset=9, place=0)
    for taken_at, terms in ((NOW, 3), (NOW + 1, 4)):
        sighting = Sighting(NOW, 1, 7, taken_at)
        found = watch(record, 0, assess(None, sighting, POLICY), sighting, RETENTION).record

        assert found is not None
        assert terms == found.terms

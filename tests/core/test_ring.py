"""The ring: what is remembered of a host's processes, how much, and what a lost or repeated write does to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core import ring as ring_module
from app.core.duration import DAY
from app.core.process import Image, Process
from app.core.ring import RETENTION, Entry, Read, Remembered, Ring, applied_at, derived
from app.core.state_format import FORMAT, KEYS, StateFormatError

NOW = 10**18
DATABASE = dict[bytes, bytes]


def is_stray(key: bytes, value: bytes, read: Read, slots: int, now: int, keep: int) -> bool:
    """Whether nothing leads to an entry any more, so that it can be deleted.

    Args:
        key: Its key.
        value: Its value.
        read: What the same database holds.
        slots: Processes that are remembered of a host.
        now: The present, nanoseconds since 1970.
        keep: How long after it was last referred to a process may still be asked for, in nanoseconds.

    Raises:
        StateFormatError: It has a format that is not known here, or its bytes are broken.
    """
    kind = key[ring_module._KINDS_AT : ring_module._KINDS_AT + 1]
    host, rest = ring_module._split(key)
    start = key[: ring_module._KINDS_AT]
    if kind == ring_module._PROCESS:
        found = ring_module._PLACE.decode(value)
        holder = read(start + ring_module._SLOT + host + ring_module._slot(found.slot))
        return found.slot >= slots or now - found.applied_at > keep or holder != rest
    slot = rest if kind == ring_module._SLOT else value
    occupant = (
        read(start + ring_module._PROCESS + host + value)
        if kind == ring_module._SLOT
        else _occupant(start, host, slot, read)
    )
    if occupant is None:
        return True
    found = ring_module._PLACE.decode(occupant)
    if now - found.applied_at > keep:
        return True
    return kind == ring_module._SLOT and (found.slot >= slots or slot != ring_module._slot(found.slot))


def _occupant(start: bytes, host: bytes, slot: bytes, read: Read) -> bytes | None:
    entity = read(start + ring_module._SLOT + host + slot)
    return None if entity is None else read(start + ring_module._PROCESS + host + entity)


def process(entity_id: str | None, name: str = "sh", clock: int = 1, *, is_told: bool = False) -> Process:
    """Make a process of one execution."""
    return Process(entity_id, (Image(clock, name, is_told=is_told),))


@dataclass(frozen=True)
class Event:
    """One event as the ring is told of it."""

    host: str
    seen: str
    over: str | None = None
    taken_at: int = NOW
    leader: str | None = None


@dataclass
class Worker:
    """A database, and the changelog that its writes were handed to."""

    slots: int
    database: DATABASE = field(default_factory=dict)
    changelog: list[Entry] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Remember an event's processes."""
        ring = Ring(self.database.get, event.host, self.slots, event.taken_at)
        over = None if event.over is None else process(event.over, is_told=True)
        leader = event.leader
        leaders = {} if leader is None else {leader: lambda: process(leader, "exim4", is_told=True)}
        ring.remember(process(event.seen), over, leaders)
        apply(self.database, ring.changes)
        self.changelog += ring.changes

    def names(self, host: str, ids: Iterable[str], taken_at: int = NOW) -> set[str]:
        """Which of some entities are remembered."""
        ring = Ring(self.database.get, host, self.slots, taken_at)
        return {one for one in ids if ring.find(one) is not None}

    def sweep(self, now: int = NOW, keep: int = RETENTION) -> int:
        """Delete strays as the worker does at boot; give their number."""
        strays = [one for one, value in self.database.items() if self.is_stray(one, value, now, keep)]
        for one in strays:
            del self.database[one]
        return len(strays)

    def is_stray(self, key: bytes, value: bytes, now: int = NOW, keep: int = RETENTION) -> bool:
        """Whether an entry of the database is a stray."""
        return is_stray(key, value, self.database.get, self.slots, now, keep)


def apply(database: DATABASE, changes: Sequence[Entry]) -> None:
    """Write records of the changelog, and all that they stand for."""
    for change in changes:
        for key, value in derived(*change):
            if value is None:
                database.pop(key, None)
            else:
                database[key] = value


def rebuilt(changelog: Sequence[Entry]) -> DATABASE:
    """A database that is made of the changelog alone."""
    database: DATABASE = {}
    apply(database, changelog)
    return database


def held(database: DATABASE, kind: bytes = b"P") -> list[bytes]:
    """The keys of one kind."""
    return [key for key in database if key[1:2] == kind]


def _nothing(_: bytes) -> None:
    return None


_IDS = st.sampled_from(["", "a", "b", "c", "d", "e", "f", "é" * 100, "x" * 129, "x" * 128, "\x00", "sha256:"])
_HOSTS = st.sampled_from(["h", "hh", "h\x00", "", "é", "h" * 2000, "h" * 2001])
_TIMES = st.integers(NOW, NOW + 3)
_EVENTS = st.lists(st.builds(Event, _HOSTS, _IDS, st.none() | _IDS, _TIMES, st.none() | _IDS), max_size=30)
_ONE_HOST = st.lists(st.builds(Event, st.just("h"), _IDS, st.none() | _IDS, _TIMES, st.none() | _IDS), max_size=40)
_SLOTS = st.integers(1, 6)


def test_what_was_remembered_is_found() -> None:
    """The process and its parent, each under its id; nothing else, and nothing on another host."""
    worker = Worker(8)
    worker.take(Event("h", "child", "parent"))
    ring = Ring(worker.database.get, "h", 8, NOW)

    assert process("child") == ring.find("child")
    assert process("parent", is_told=True) == ring.find("parent")
    assert ring.find("other") is None
    assert set() == worker.names("i", ["child", "parent"])


def test_process_without_an_id_is_not_remembered() -> None:
    """There is nothing to find it by."""
    ring = Ring(_nothing, "h", 8, NOW)
    ring.remember(process(None), process(None, is_told=True))

    assert [] == ring.changes


def test_changes_are_found_before_they_are_written() -> None:
    """A lineage is read from the same ring."""
    ring = Ring(_nothing, "h", 8, NOW)
    ring.remember(process("child"), process("parent", is_told=True))

    assert ring.find("child")
    assert ring.find("parent")


def test_only_processes_go_to_the_changelog() -> None:
    """Slots and heads follow from them."""
    worker = Worker(2)
    for n in range(5):
        worker.take(Event("h", str(n)))

    assert {b"P"} == {key[1:2] for key, _ in worker.changelog}
    assert {KEYS} == {key[0] for key in worker.database}


@settings(deadline=None)
@given(_EVENTS, _SLOTS)
def test_host_never_has_more_processes_than_slots(events: list[Event], slots: int) -> None:
    """Whatever comes, of any host."""
    worker = Worker(slots)
    for one in events:
        worker.take(one)

        hosts = {event.host for event in events}
        assert len(held(worker.database)) <= slots * len(hosts)
        for host in hosts:
            ids = {name for event in events for name in (event.seen, event.over, event.leader) if name is not None}
            assert len(worker.names(host, ids)) <= slots


@settings(deadline=None)
@given(_EVENTS, _SLOTS)
def test_rebuild_equals_the_database_at_every_record(events: list[Event], slots: int) -> None:
    """Any beginning of the changelog gives the database as it was then: no reads are needed, no order is lost."""
    worker = Worker(slots)
    expected: DATABASE = {}
    done = 0
    for one in events:
        worker.take(one)
        for change in worker.changelog[done:]:
            apply(expected, [change])
            done += 1
            assert expected == rebuilt(worker.changelog[:done])
        assert expected == worker.database


@settings(deadline=None)
@given(_EVENTS, _SLOTS, st.data())
def test_compacted_changelog_gives_the_same_answers(events: list[Event], slots: int, data: st.DataObject) -> None:
    """The broker drops records whose key comes again, and tombstones in the end."""
    worker = Worker(slots)
    for one in events:
        worker.take(one)
    keys = [key for key, _ in worker.changelog]
    kept: list[Entry] = []
    for n, (key, value) in enumerate(worker.changelog):
        is_last = key not in keys[n + 1 :]
        is_needed = value is not None or any(key == one for one, _ in kept)
        if (is_last and is_needed) or data.draw(st.booleans()):
            kept.append((key, value))
    dropped = {key for key, _ in worker.changelog} - {key for key, _ in kept}
    again = rebuilt(kept)

    assert dropped.isdisjoint(worker.database)
    assert {key: worker.database[key] for key in held(worker.database)} == {key: again[key] for key in held(again)}
    assert held(worker.database, b"H") == [key for key in held(worker.database, b"H") if key in again]


@settings(deadline=None)
@given(_ONE_HOST, _SLOTS)
def test_what_was_referred_to_stays_for_half_the_ring(events: list[Event], slots: int) -> None:
    """Neither a process nor a parent goes before at least half of the slots were given to others."""
    worker = Worker(slots)
    ages: dict[str, int] = {}
    for one in events:
        before = len([1 for _, value in worker.changelog if value is not None])
        worker.take(one)
        given_since = len([1 for _, value in worker.changelog if value is not None]) - before
        ages = {name: age + given_since for name, age in ages.items()}
        ages |= {one.seen: 0}
        if one.over is not None and one.over != one.seen:
            ages[one.over] = 1
        young = {name for name, age in ages.items() if age < slots - slots // 2}
        assert young == worker.names("h", young, one.taken_at)


@pytest.mark.parametrize("slots", [2, 3, 5, 8, 64])
def test_distinct_processes_fill_the_whole_ring(slots: int) -> None:
    """As many of the last as there are slots."""
    worker = Worker(slots)
    ids = [str(n) for n in range(5 * slots)]
    for n, one in enumerate(ids):
        worker.take(Event("h", one))

        assert set(ids[max(0, n + 1 - slots) : n + 1]) == worker.names("h", ids)


@pytest.mark.parametrize("slots", [2, 3, 4, 7, 64])
def test_daemon_that_is_referred_to_never_goes(slots: int) -> None:
    """A daemon starts children for months; it is the parent of each, and is never executed again."""
    worker = Worker(slots)
    worker.take(Event("h", "daemon"))
    for n in range(20 * slots):
        worker.take(Event("h", f"child{n}", "daemon", NOW + n))

        assert {"daemon", f"child{n}"} == worker.names("h", ["daemon", f"child{n}"], NOW + n)


def test_leader_that_is_referred_to_never_goes() -> None:
    """A daemon whose deliveries start all programs is nobody's parent in their events, and leads their sessions."""
    worker = Worker(4)
    for n in range(20):
        worker.take(Event("h", f"child{n}", f"delivery{n}", NOW + n, "daemon"))

        assert {"daemon", f"child{n}"} == worker.names("h", ["daemon", f"child{n}"], NOW + n)


def test_daemon_without_children_for_days_is_refreshed_in_time() -> None:
    """A day after its last record it is written again, long before the changelog forgets it."""
    worker = Worker(4096)
    worker.take(Event("h", "daemon"))
    for n in range(40):
        worker.take(Event("h", f"child{n}", "daemon", NOW + n * DAY))
    [key] = [key for key in held(worker.database) if key.endswith(b"daemon")]
    written = applied_at(key, worker.database[key])

    assert written is not None
    assert NOW + 39 * DAY - written <= 2 * DAY
    assert {"daemon"} == worker.names("h", ["daemon"], NOW + 39 * DAY)


def test_known_parent_is_not_written_again() -> None:
    """One record for each child of a daemon, not two."""
    worker = Worker(64)
    for n in range(20):
        worker.take(Event("h", f"child{n}", "daemon", NOW + n))

    assert 21 == len(worker.changelog)


@settings(deadline=None)
@given(_EVENTS, _SLOTS)
def test_same_event_again_changes_no_answer(events: list[Event], slots: int) -> None:
    """A redelivery right away writes its records again, and moves and forgets nothing."""
    worker = Worker(slots)
    ids = {name for event in events for name in (event.seen, event.over, event.leader) if name is not None}
    for one in events:
        worker.take(one)
        before, answers = dict(worker.database), worker.names(one.host, ids, one.taken_at)
        written = len(worker.changelog)
        worker.take(one)
        if slots > 3:  # in a smaller one leader, parent and process take turns
            assert answers == worker.names(one.host, ids, one.taken_at)
            assert before == worker.database
        keys = [key for key, value in worker.changelog[written:] if value is not None]
        assert len({one.seen, one.over, one.leader} - {None}) == len(keys)


def test_many_executions_of_one_process_push_out_no_others() -> None:
    """A shell that executes itself ten thousand times can't hide where it came from."""
    worker = Worker(4)
    worker.take(Event("h", "sh", "exim4"))
    for n in range(10_000):
        worker.take(Event("h", "sh", "exim4", NOW + n))

    assert {"sh", "exim4"} == worker.names("h", ["sh", "exim4"])


@settings(deadline=None)
@given(_EVENTS, _SLOTS, st.data())
@example([Event("h", "a", "b"), Event("h", "c", "a")], 4, None)
def test_lost_records_are_handed_over_again(events: list[Event], slots: int, data: st.DataObject | None) -> None:
    """A worker ends before its last records reach the changelog, starts again with its database, reads again, ends.

    What its last event told of is found by a worker that has nothing but the changelog; once swept, no host has more
    processes than slots there.
    """
    worker = Worker(slots)
    ends = [0]
    for one in events:
        worker.take(one)
        ends.append(len(worker.changelog))
    begin = data.draw(st.integers(0, len(events))) if data else 0
    del worker.changelog[ends[begin] :]
    for one in events[begin:]:
        worker.take(one)
    other = Worker(slots, rebuilt(worker.changelog))
    if events:
        last = events[-1]
        ids = {last.seen} if slots == 1 or last.over is None else {last.seen, last.over}
        assert ids == worker.names(last.host, ids, last.taken_at)
        assert ids == other.names(last.host, ids, last.taken_at)
    other.sweep()
    assert len(held(other.database)) <= slots * len({event.host for event in events})
    if events:
        assert ids == other.names(last.host, ids, last.taken_at)


def test_parent_that_a_replay_begins_before_is_handed_over_again() -> None:
    """A replay of earlier events must not make later ones look as if they came for the first time."""
    worker = Worker(8)
    events = [Event("h", "child"), Event("h", "child", "parent", NOW + 1)]
    for one in events:
        worker.take(one)
    worker.changelog.clear()
    for one in events:
        worker.take(one)

    assert {"parent"} == Worker(8, rebuilt(worker.changelog)).names("h", ["parent"], NOW + 1)


@settings(deadline=None)
@given(_EVENTS, st.lists(_SLOTS, min_size=1, max_size=4), st.data())
def test_ring_stays_sound_under_crashes_and_other_sizes(
    events: list[Event], sizes: list[int], data: st.DataObject
) -> None:
    """Runs with any number of slots, each ended anywhere, rebuilt or not: bounded once swept, and the last is found."""
    worker = Worker(sizes[0])
    begin = 0
    for size in sizes:
        worker.slots = size
        if data.draw(st.booleans()):
            worker.database = rebuilt(worker.changelog)
        worker.sweep()
        assert 0 == len([key for key in held(worker.database) if worker.is_stray(key, worker.database[key])])
        end = data.draw(st.integers(begin, len(events)))
        ends = [len(worker.changelog)]
        for one in events[begin:end]:
            worker.take(one)
            ends.append(len(worker.changelog))
            assert {one.seen} == worker.names(one.host, [one.seen], one.taken_at)
        hosts = {event.host for event in events}
        assert len(held(worker.database)) <= size * len(hosts)
        done = data.draw(st.integers(begin, end))
        del worker.changelog[ends[done - begin] :]
        begin = done


@settings(deadline=None)
@given(_EVENTS, _SLOTS)
def test_sound_database_has_no_stray_but_slots_that_were_left(events: list[Event], slots: int) -> None:
    """No process, no head, and no slot whose process has it; deleting the slots that were left changes nothing."""
    worker = Worker(slots)
    swept = Worker(slots)
    for one in events:
        worker.take(one)
        swept.take(one)
        strays = {key for key, value in worker.database.items() if worker.is_stray(key, value)}
        assert set() == strays - set(held(worker.database, b"S"))
        swept.sweep()
        assert len(held(swept.database)) == len(held(swept.database, b"S"))
        assert {k: v for k, v in worker.database.items() if k not in strays} == swept.database
    assert worker.changelog == swept.changelog


def test_leftovers_are_strays() -> None:
    """What a lost tombstone left, slots beyond the ring, and all of a host that is gone."""
    worker = Worker(4)
    for name in "abcd":
        worker.take(Event("h", name))
    worker.take(Event("h", "e"))
    lost = [change for change in worker.changelog if change[1] is not None]
    [left] = [key for key, _ in lost if key.endswith(b"a")]
    worker.database = rebuilt(lost)
    assert [left] == [key for key, value in worker.database.items() if worker.is_stray(key, value)]

    worker.slots = 2
    worker.sweep()
    assert {"b", "e"} == worker.names("h", "abcde")

    worker.sweep(NOW + RETENTION)
    assert {"b", "e"} == worker.names("h", "abcde")
    worker.sweep(NOW + RETENTION + 1)
    assert {} == worker.database


def test_head_without_processes_is_a_stray() -> None:
    """Hosts come and go: nothing of one that is gone may stay."""
    worker = Worker(4)
    worker.take(Event("h", "a"))
    [key] = held(worker.database, b"P")
    del worker.database[key]

    assert 2 == worker.sweep()


def test_shrunk_ring_keeps_what_is_referred_to() -> None:
    """A process beyond the end of the new ring moves into it, so that the next sweep leaves it."""
    worker = Worker(8)
    for n in range(7):
        worker.take(Event("h", str(n)))
    worker.slots = 4
    worker.take(Event("h", "child", "6", NOW + 1))
    worker.sweep()

    assert {"6", "child"} <= worker.names("h", ["6", "child"])


def test_process_is_forgotten_with_the_changelog() -> None:
    """A worker that was rebuilt and one that was not must know the same."""
    worker = Worker(4)
    worker.take(Event("h", "a"))

    assert {"a"} == worker.names("h", ["a"], NOW + RETENTION)
    assert set() == worker.names("h", ["a"], NOW + RETENTION + 1)
    worker.take(Event("h", "a", taken_at=NOW + RETENTION + 1))
    assert process("a") == Ring(worker.database.get, "h", 4, NOW + RETENTION + 1).find("a")


@settings(deadline=None)
@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_hosts_and_ids_do_not_mix(host: str, entity: str, other_host: str, other: str) -> None:
    """Also where one is the other's beginning, or both together read the same."""
    worker = Worker(4)
    worker.take(Event(host, entity))
    expected = {other} if (host, entity) == (other_host, other) else set()

    assert expected == worker.names(other_host, [other])


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 1024, 1025, 5000])
def test_long_ids_are_told_apart(length: int) -> None:
    """Two ids, or two hosts, that differ in their last character alone."""
    worker = Worker(8)
    worker.take(Event("h" * length + "1", "e" * length + "1"))

    assert set() == worker.names("h" * length + "1", ["e" * length + "2"])
    assert set() == worker.names("h" * length + "2", ["e" * length + "1"])
    assert {"e" * length + "1"} == worker.names("h" * length + "1", ["e" * length + "1"])
    assert all(len(key) < 1200 for key in worker.database)


_TEXT = st.none() | st.text(max_size=8)
_IMAGES = st.builds(
    Image,
    st.integers(0, 2**62),
    _TEXT,
    _TEXT,
    st.lists(st.text(max_size=5)).map(tuple),
    _TEXT,
    _TEXT,
    _TEXT,
    st.booleans(),
)


@given(st.lists(_IMAGES, min_size=1, max_size=4).map(tuple), _TEXT, _TEXT, _TEXT)
def test_process_is_read_as_it_was_written(
    images: tuple[Image, ...], parent: str | None, pid: str | None, start: str | None
) -> None:
    """Every field, also absent ones."""
    written = Process("e", images, parent, pid, start)
    ring = Ring(_nothing, "h", 4, NOW)
    ring.remember(written, None)
    [(key, value)] = ring.changes

    assert value is not None
    assert written == Ring({key: value}.get, "h", 4, NOW).find("e")
    assert NOW == applied_at(key, value)
    assert [None, None] == [applied_at(one, other) for one, other in derived(key, value)[1:] if other is not None]


@pytest.mark.parametrize("value", [b"", b"\x09\x93\x00\x00\x90", b"\x01", b"\x01\xc1", b"\x01\x91\x00"])
def test_unknown_format_stops(value: bytes) -> None:
    """Nothing is guessed, and nothing is written over."""
    worker = Worker(4)
    worker.take(Event("h", "a"))
    [key] = held(worker.database)
    worker.database[key] = value

    for action in (
        lambda: worker.names("h", ["a"]),
        lambda: worker.take(Event("h", "a")),
        lambda: derived(key, value),
        lambda: worker.is_stray(key, value),
    ):
        with pytest.raises(StateFormatError):
            action()


def test_later_format_may_append_fields() -> None:
    """A reader of this format leaves out what it does not know."""
    found = Remembered(0, NOW, process("a"))
    value = bytes((FORMAT + 1,)) + msgspec.msgpack.encode([*msgspec.to_builtins(found), "more"])
    worker = Worker(4)
    worker.take(Event("h", "a"))
    [key] = held(worker.database)
    worker.database[key] = value

    assert {"a"} == worker.names("h", ["a"])

"""Processes: what is taken of an event, how much of it, and how executions of one entity come together."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.event import decode
from app.core.process import (
    MAX_ANCESTORS,
    MAX_ARGS,
    MAX_ARGS_TEXT,
    MAX_IMAGES,
    MAX_TEXT,
    Image,
    Process,
    ancestor_ids,
    cut_text,
    executed,
    leader,
    leader_ids,
    leaders,
    merged,
    parent,
)
from tests.events import ABSENT, event, raw

CLOCK = 1_767_614_400_000_000_000


def images(*names: str) -> tuple[Image, ...]:
    """Make executions, each a nanosecond after the one before."""
    return tuple(Image(n, name) for n, name in enumerate(names, 1))


def test_executed_process_is_read_whole() -> None:
    """Every field that a lineage shows; the user stands beside the process in Defend's events."""
    found = executed(
        decode(
            raw(
                event(
                    process__start="2026-01-05T08:00:00Z",
                    process__hash__sha256="ab",
                    process__parent__entity_id="P",
                )
            )
        ),
        CLOCK,
    )
    image = Image(CLOCK, "sh", "/usr/bin/sh", ("sh", "-c", "id"), "105", "Debian-exim", "ab")

    assert Process("ZW50aXR5", (image,), "P", "4711", "2026-01-05T08:00:00Z") == found


def test_user_of_the_process_comes_first() -> None:
    """ECS has a place for it as well."""
    record = raw(event(process__user__id=0, process__user__name="root"))

    image = executed(decode(record), CLOCK).image
    assert ("0", "root") == (image.user_id, image.user_name)


def test_parent_is_told_of() -> None:
    """It was not seen itself; its own parent is the second of the ancestry."""
    record = raw(event(process__parent__entity_id="P", process__Ext={"ancestry": ["P", "G", "I"]}))
    found = parent(decode(record), CLOCK)

    assert Process("P", (Image(CLOCK, "exim4", "/usr/sbin/exim4", is_told=True),), "G") == found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"process__parent__entity_id": "P"}, ("P", None)),
        ({"process__parent__entity_id": "P", "process__Ext": {"ancestry": ["P"]}}, ("P", None)),
        ({"process__parent__entity_id": "P", "process__Ext": {"ancestry": ["X", "G"]}}, ("P", None)),
        ({"process__Ext": {"ancestry": ["P", "G"]}}, ("P", "G")),
        ({"process__Ext": {"ancestry": ["", "P", "", "G"]}}, ("P", "G")),
        ({"process__Ext": {"ancestry": "P"}}, ("P", None)),
        ({"process__parent__entity_id": ["", "P"], "process__parent__parent__entity_id": "G"}, ("P", "G")),
        ({"process__parent__entity_id": ""}, (None, None)),
        ({"process__parent__entity_id": {}, "process__Ext": {"ancestry": [None, {}]}}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_ids_above_a_process(fields: dict[str, object], expected: tuple[str | None, str | None]) -> None:
    """The parent's and its parent's; an ancestry that speaks of another parent is not used; empty ids are none."""
    found = parent(decode(raw(event(**fields))), CLOCK)

    assert found is not None
    assert expected == (found.entity_id, found.parent_id)


@pytest.mark.parametrize("value", [ABSENT, None, {}, [], [None, {}]])
def test_event_without_a_parent(value: object) -> None:
    """Nothing that names one."""
    record = raw(event(process__parent__name=value, process__parent__executable=value))

    assert parent(decode(record), CLOCK) is None


def test_leaders_come_nearest_first() -> None:
    """Those that have a name."""
    fields = {
        "process__entry_leader__name": "exim4",
        "process__group_leader__name": "sh",
        "process__session_leader__entity_id": "S",
    }

    assert ["sh", "exim4"] == [one.image.name for one in leaders(decode(raw(event(**fields))), CLOCK)]


def test_ancestors_are_bounded() -> None:
    """However many a sensor lists."""
    record = raw(event(process__Ext={"ancestry": [str(n) for n in range(1000)]}))

    assert tuple(str(n) for n in range(MAX_ANCESTORS + 1)) == ancestor_ids(decode(record))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], ()),
        (["a"], ("a",)),
        (["", "", "a"], ("", "", "a")),
        ("a b", ("a b",)),
        (["a", 1, None, True, ["b"], {"c": "d"}, 1.5], ("a", "1", "true", "b", "1.5")),
        (["a"] * MAX_ARGS, ("a",) * MAX_ARGS),
        (["a"] * (MAX_ARGS + 1), ("a",) * MAX_ARGS + ("…",)),
        (["a" * MAX_ARGS_TEXT], ("a" * MAX_ARGS_TEXT,)),
        (["a" * (MAX_ARGS_TEXT + 1)], ("a" * MAX_ARGS_TEXT + "…",)),
        (["a" * MAX_ARGS_TEXT, "b"], ("a" * MAX_ARGS_TEXT, "…")),
        (["a" * (MAX_ARGS_TEXT - 1), "bc", "d"], ("a" * (MAX_ARGS_TEXT - 1), "b…")),
        (["a" * 1_000_000, "b"], ("a" * MAX_ARGS_TEXT + "…",)),
    ],
)
def test_arguments_are_cut(args: object, expected: tuple[str, ...]) -> None:
    """By their number and their length together; what was cut ends with an ellipsis."""
    assert expected == executed(decode(raw(event(process__args=args))), CLOCK).image.args


@pytest.mark.parametrize("entity_id", ["E", "x" * (MAX_TEXT + 1), ["", "E"]])
def test_leader_is_kept_by_the_id_that_it_is_described_by(entity_id: object) -> None:
    """By another one it would never be found again."""
    found = decode(raw(event(process__entry_leader={"name": "exim4", "entity_id": entity_id})))

    assert {leader(found, "entry_leader", CLOCK).entity_id: "entry_leader"} == leader_ids(found, "exim4")
    assert {} == leader_ids(decode(raw(event(process__entry_leader={"name": "exim4", "entity_id": ""}))), "exim4")


@pytest.mark.parametrize("length", [MAX_TEXT + 1, 1_000_000])
def test_long_ids_stay_apart(length: int) -> None:
    """Two of them must not become one process by being cut."""
    one, other = (
        executed(decode(raw(event(process__entity_id="x" * length + end))), CLOCK).entity_id for end in ("1", "2")
    )

    assert one is not None
    assert other is not None
    assert one != other
    assert len(one) <= MAX_TEXT
    assert ("y" * MAX_TEXT) == executed(decode(raw(event(process__entity_id="y" * MAX_TEXT))), CLOCK).entity_id


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("", ""), ("a" * MAX_TEXT, "a" * MAX_TEXT), ("a" * (MAX_TEXT + 1), "a" * MAX_TEXT + "…")],
)
def test_text_is_cut(text: str | None, expected: str | None) -> None:
    """Its end goes, and an ellipsis says so."""
    assert expected == cut_text(text)


_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(["exim4", "a" * 5000, "\x01" * 600, "\U0001f600" * 600]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["name", "id", "args", ""]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_PLACES = st.sampled_from(
    [
        f"process.{prefix}{field}"
        for prefix in ("", "parent.", "group_leader.", "entry_leader.")
        for field in ("name", "executable", "args", "entity_id", "pid", "start", "user", "hash.sha256", "parent", "Ext")
    ]
)


@settings(deadline=None)
@given(st.dictionaries(_PLACES, _ODD, max_size=6))
def test_whatever_stands_in_a_field_is_bounded(fields: dict[str, object]) -> None:
    """No type and no length fails, or makes a record of more than a few thousand characters."""
    found = decode(raw({**event(), **fields}))
    described = [executed(found, CLOCK), *leaders(found, CLOCK)]
    over = parent(found, CLOCK)
    described += [] if over is None else [over]

    for one in described:
        texts = [one.entity_id, one.parent_id, one.pid, one.start]
        texts += [one.image.name, one.image.executable, one.image.user_id, one.image.user_name, one.image.sha256]
        assert all(text is None or len(text) <= MAX_TEXT + 1 for text in texts)
        assert len(one.image.args) <= MAX_ARGS + 1
        assert sum(map(len, one.image.args)) <= MAX_ARGS_TEXT + 1
        assert one == msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Process)
    assert all(0 < len(one) <= MAX_TEXT for one in ancestor_ids(found))


def test_lone_surrogates_are_read_as_replaced() -> None:
    """They can't be written again."""
    record = raw(event(name="NAME", process__entity_id="ID")).replace(b"NAME", b"\\ud800x").replace(b"ID", b"\\udfff")
    found = executed(decode(record), CLOCK)

    assert ("\ufffdx", "\ufffd") == (found.image.name, found.entity_id)
    assert msgspec.msgpack.encode(found)


def test_executions_of_an_entity_come_together() -> None:
    """In the order of their times, whichever comes first; the same one again changes nothing."""
    first, second = Process("e", images("exim4", "sh")[:1], "p"), Process("e", images("exim4", "sh")[1:], None, "7")
    expected = Process("e", images("exim4", "sh"), "p", "7")

    assert expected == merged(first, second) == merged(second, first)
    assert expected == merged(expected, first) == merged(expected, second)
    assert first == merged(None, first)


def test_newest_executions_are_kept() -> None:
    """At most MAX_IMAGES; one that comes late and is older is left out."""
    names = [str(n) for n in range(MAX_IMAGES + 2)]
    known = None
    for image in images(*names):
        known = merged(known, Process("e", (image,)))

    assert known is not None
    assert tuple(names[-MAX_IMAGES:]) == tuple(one.name for one in known.images)
    assert known == merged(known, Process("e", (Image(0, "late"),)))


def test_same_execution_later_takes_its_later_place() -> None:
    """A program that is executed again in place is the newest one."""
    known = Process("e", images("a", "b"))

    assert ["b", "a"] == [one.name for one in merged(known, Process("e", (Image(3, "a"),))).images]


@pytest.mark.parametrize(
    ("known", "told", "expected"),
    [
        ([Image(1, "sh", "/bin/sh", ("sh", "x"))], Image(5, "sh", None, (), is_told=True), ["sh/1"]),
        ([Image(1, "sh", "/bin/sh", ("sh", "x"))], Image(5, "sh", "/bin/sh", (), is_told=True), ["sh/1"]),
        ([Image(1, "sh", "/bin/sh", ("sh",))], Image(5, "sh", "/bin/dash", (), is_told=True), ["sh/1", "sh/5 told"]),
        ([Image(1, "exim4")], Image(5, "sh", is_told=True), ["exim4/1", "sh/5 told"]),
        ([Image(9, "bash")], Image(5, "sh", is_told=True), ["sh/5 told", "bash/9"]),
        ([Image(5, "sh", is_told=True)], Image(6, "sh", is_told=True), ["sh/5 told"]),
        ([Image(5, "sh", is_told=True)], Image(6, "sh", "/bin/sh", is_told=True), ["sh/6 told"]),
        ([Image(5, "sh", is_told=True)], Image(1, "sh", "/bin/sh", ("sh",)), ["sh/1"]),
        ([Image(5, "sh", is_told=True)], Image(7, "sh", "/bin/sh", ("sh",)), ["sh/7"]),
    ],
)  # fmt: skip
def test_what_others_tell_makes_room_for_the_execution(known: list[Image], told: Image, expected: list[str]) -> None:
    """A child's event says less of its parent than the parent's own: that is one execution, not two."""
    found = merged(Process("e", tuple(known)), Process("e", (told,)))

    assert expected == [f"{one.name}/{one.clock}{' told' * one.is_told}" for one in found.images]


_SEEN = st.builds(
    Image,
    st.integers(1, 9),
    st.sampled_from(["exim4", "sh", "bash", "perl", "nc", "wget"]),
    st.sampled_from(["/bin/a", "/bin/b"]),
    st.sampled_from([("a",), ("a", "b")]),
)
_TOLD = st.builds(
    Image,
    st.integers(1, 9),
    st.sampled_from(["exim4", "sh", "bash", None]),
    st.sampled_from(["/bin/a", None]),
    st.sampled_from([("a",), ()]),
    is_told=st.just(True),
)


@given(st.lists(_SEEN | _TOLD, min_size=1, max_size=8))
def test_merging_is_bounded_ordered_and_idempotent(seen: list[Image]) -> None:
    """Whatever comes in whatever order, once or twice."""
    known: Process | None = None
    for image in seen:
        known = merged(known, Process("e", (image,)))
        assert known == merged(known, Process("e", (image,)))
        assert 1 <= len(known.images) <= MAX_IMAGES
        assert [one.clock for one in known.images] == sorted(one.clock for one in known.images)


@given(st.lists(_SEEN, min_size=2, max_size=6, unique_by=lambda one: one.clock), st.data())
def test_order_of_arrival_does_not_matter_for_executions(seen: list[Image], data: st.DataObject) -> None:
    """Executions of different times, some of them told of by children before or after."""
    poorer = [msgspec.structs.replace(one, args=(), clock=one.clock + 1, is_told=True) for one in seen[:2]]
    arrivals = [*seen, *(one for one in poorer if len(seen) <= MAX_IMAGES)]
    first, second = (_merged_all(order) for order in (arrivals, data.draw(st.permutations(arrivals))))

    assert first == second


def _merged_all(arrivals: list[Image]) -> Process | None:
    known: Process | None = None
    for image in arrivals:
        known = merged(known, Process("e", (image,)))
    return known


@pytest.mark.parametrize(("clock", "expected"), [(0, "a"), (1, "a"), (2, "b"), (3, "c"), (99, "c")])
def test_image_at_a_time(clock: int, expected: str) -> None:
    """The newest that is not later, before all of them the oldest."""
    assert expected == Process("e", images("a", "b", "c")).image_at(clock).name


def test_place_of_an_execution() -> None:
    """That very one comes before one that merely agrees; the newest of those that agree."""
    known = Process("e", (Image(1, "sh", None, ("a",)), Image(2, "sh", None, ("b",)), Image(3, "nc")))

    for name, args, expected in [("sh", ("a",), 0), ("sh", ("b",), 1), ("sh", (), 1), ("nc", ("x",), 2)]:
        assert expected == known.place_of(Image(9, name, None, args))
    assert known.place_of(Image(9, "perl")) is None
    assert all(known.place_of(one) == n for n, one in zip(itertools.count(), known.images, strict=False))

"""Lineages: the chain from exim4 to a process, what it is made of, and what it does not claim to know."""

from __future__ import annotations

import itertools
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.event import decode
from app.core.lineage import NOTHING, Lineage, Link, LookUp, Origin, Relation, trace
from app.core.process import MAX_ANCESTORS, MAX_IMAGES, Image, Process, executed, parent
from app.core.ring import Ring, derived
from tests.events import ABSENT, JsonObject, event, raw

AT = 1000
UNKNOWN: Final = "?"


def described(identity: str | None, name: str | None, parent_id: str | None = None, clock: int = 1) -> Process:
    """Make a process of one execution."""
    return Process(identity, (Image(clock, name),), parent_id)


def table(*known: Process) -> LookUp:
    """Make a memory of some processes."""
    return {one.entity_id: one for one in known if one.entity_id is not None}.get


def of(look_up: LookUp = NOTHING, **fields: object) -> Lineage:
    """Trace an event of a process with the id `own`."""
    fields = {"process__entity_id": "own", **fields}
    return trace(decode(raw(event(**fields))), AT, look_up)


def leader(which: str, name: str, identity: str | None = None, pid: int | None = None) -> JsonObject:
    """Make the fields of one leader, as overrides."""
    values = {"name": name, "entity_id": identity, "pid": pid}
    return {f"process__{which}_leader__{key}": value for key, value in values.items() if value is not None}


def written(lineage: Lineage) -> str:
    """A lineage in one line: each name with where it is from, and what ran there before."""
    return " > ".join(
        f"{one.name or UNKNOWN}:{one.origin.value}" + "".join(f"<{name}" for name in reversed(one.earlier))
        for one in lineage.links
    )


P = {"process__parent__entity_id": "P"}
ANCESTRY = {**P, "process__Ext": {"ancestry": ["P", "G", "I"]}}
LEADS = leader("entry", "exim4", "L")
CASES: dict[str, tuple[dict[str, Any], list[Process], str, Relation, int | None, bool]] = {
    "child": (P, [], "exim4:event > sh:event", Relation.CHILD, 1, True),
    "child without any id": ({"process__entity_id": ABSENT}, [], "exim4:event > sh:event", Relation.CHILD, 1, True),
    "grandchild of a leader": (
        {"parent": "sh", **P, **LEADS},
        [],
        "exim4:leader > ?:unknown > sh:event > sh:event",
        Relation.DESCENDANT,
        None,
        False,
    ),
    "grandchild, the ancestry leads to the leader": (
        {"parent": "sh", **P, "process__Ext": {"ancestry": ["P", "L"]}, **LEADS},
        [],
        "exim4:leader > sh:event > sh:event",
        Relation.DESCENDANT,
        2,
        True,
    ),
    "grandchild, the parent was seen": (
        {"parent": "sh", **P, **LEADS},
        [described("P", "sh", "L")],
        "exim4:leader > sh:event > sh:event",
        Relation.DESCENDANT,
        2,
        True,
    ),
    "grandchild, all were seen": (
        {"parent": "bash", **P},
        [described("P", "bash", "L"), described("L", "exim4", "D")],
        "exim4:seen > bash:event > sh:event",
        Relation.DESCENDANT,
        2,
        True,
    ),
    "a link between is not seen yet": (
        {"parent": "perl", **P, "process__Ext": {"ancestry": ["P", "M", "L"]}, **LEADS},
        [],
        "exim4:leader > ?:unknown > perl:event > sh:event",
        Relation.DESCENDANT,
        None,
        False,
    ),
    "ids beyond what is known are one gap": (
        {"parent": "perl", **P, "process__Ext": {"ancestry": ["P", "M", "N", "O"]}, **LEADS},
        [],
        "exim4:leader > ?:unknown > perl:event > sh:event",
        Relation.DESCENDANT,
        None,
        False,
    ),
    "execve in place": (
        {"name": "nc", **P},
        [Process("own", (Image(1, "sh"), Image(2, "bash"), Image(AT, "nc", "/usr/bin/nc", ("nc", "-c", "id"))))],
        "exim4:event > nc:event<bash<sh",
        Relation.CHILD,
        1,
        True,
    ),
    "execve in place, a later one is known": (
        {"name": "nc", **P},
        [Process("own", (Image(1, "sh"), Image(AT + 1, "later")))],
        "exim4:event > nc:event<sh",
        Relation.CHILD,
        1,
        True,
    ),
    "parent became a shell": (
        {"parent": "sh", **P},
        [Process("P", (Image(1, "exim4"), Image(2, "sh")), "D"), described("D", "exim4")],
        "exim4:seen > sh:event<exim4 > sh:event",
        Relation.DESCENDANT,
        2,
        True,
    ),
    "parent became another thing later": (
        {"parent": "sh", **P},
        [Process("P", (Image(1, "sh"), Image(AT + 5, "bash")), "D"), described("D", "exim4")],
        "exim4:seen > sh:event > sh:event",
        Relation.DESCENDANT,
        2,
        True,
    ),
    "grandparent as it was then": (
        {"parent": "sh", **P},
        [
            described("P", "sh", "G"),
            Process("G", (Image(1, "exim4"), Image(5, "perl"), Image(AT + 1, "nc")), "D"),
            described("D", "exim4"),
        ],
        "exim4:seen > perl:seen<exim4 > sh:event > sh:event",
        Relation.DESCENDANT,
        3,
        True,
    ),
    "parent is told of with less than was seen": (
        P,
        [Process("P", (Image(1, "exim4", "/usr/sbin/exim4", ("exim4", "-bd")),))],
        "exim4:event > sh:event",
        Relation.CHILD,
        1,
        True,
    ),
    "ancestry of another parent": (
        {"parent": "sh", **P, "process__Ext": {"ancestry": ["X", "Y"]}},
        [described("Y", "exim4"), described("P", "sh", "G"), described("G", "exim4")],
        "exim4:seen > sh:event > sh:event",
        Relation.DESCENDANT,
        2,
        True,
    ),
    "ancestry without the parent's id": (
        {"parent": "sh", "process__Ext": {"ancestry": ["P", "G"]}},
        [described("G", "exim4")],
        "exim4:seen > sh:event > sh:event",
        Relation.DESCENDANT,
        2,
        True,
    ),
    "missing parent": (
        {"parent": ABSENT, "process__parent__executable": ABSENT, **LEADS},
        [],
        "exim4:leader > ?:unknown > sh:event",
        Relation.DESCENDANT,
        None,
        False,
    ),
    "missing parent, its id is known": (
        {
            "parent": ABSENT,
            "process__parent__executable": ABSENT,
            "process__Ext": {"ancestry": ["P", "L"]},
            **LEADS,
        },
        [],
        "exim4:leader > ?:unknown > sh:event",
        Relation.DESCENDANT,
        None,
        False,
    ),
    "parent is its own parent": (
        {"parent": "sh", **P},
        [described("P", "sh", "P")],
        "sh:event > sh:event",
        Relation.NONE,
        None,
        False,
    ),
    "process is its own parent": (
        {"parent": "sh", "process__parent__entity_id": "own"},
        [described("own", "sh", "own")],
        "sh:event > sh:event",
        Relation.NONE,
        None,
        False,
    ),
    "ids that point at each other": (
        {"parent": "sh", **P},
        [described("P", "sh", "G"), described("G", "perl", "P")],
        "perl:seen > sh:event > sh:event",
        Relation.NONE,
        None,
        False,
    ),
    "an ancestry in a circle": (
        {"parent": "sh", **P, "process__Ext": {"ancestry": ["P", "G", "P", "G", "own"]}},
        [],
        "?:unknown > sh:event > sh:event",
        Relation.NONE,
        None,
        False,
    ),
    "exim4 runs exim4": (
        {"name": "exim4", **ANCESTRY},
        [described("G", "exim4"), described("I", "systemd")],
        "exim4:seen > exim4:event > exim4:event",
        Relation.CHILD,
        1,
        True,
    ),
    "exim4 is the process alone": (
        {"name": "exim4", "parent": "systemd", **P},
        [],
        "systemd:event > exim4:event",
        Relation.NONE,
        None,
        False,
    ),
    "exim4 leads itself": (
        {"name": "exim4", "parent": "systemd", **P, **leader("group", "exim4", "own"), **leader("entry", "exim4")},
        [],
        "systemd:event > exim4:event",
        Relation.NONE,
        None,
        False,
    ),
    "process leads its group": (
        {**P, **leader("group", "sh", "own"), **leader("entry", "exim4", "P")},
        [],
        "exim4:event > sh:event",
        Relation.CHILD,
        1,
        True,
    ),
    "process leads its group, known by pid": (
        {"name": "exim4", "parent": "sh", **leader("group", "exim4", None, 4711)},
        [],
        "sh:event > exim4:event",
        Relation.NONE,
        None,
        False,
    ),
    "parent is the leader, one without an id": (
        {"process__parent__pid": 40, **leader("entry", "exim4", "L", 40)},
        [],
        "exim4:event > sh:event",
        Relation.CHILD,
        1,
        True,
    ),
    "several exim4, the outermost is shown and the nearest counts": (
        {"parent": "sh", **P, "process__Ext": {"ancestry": ["P", "G", "I", "J"]}},
        [described("G", "exim4"), described("I", "exim4"), described("J", "systemd")],
        "exim4:seen > exim4:seen > sh:event > sh:event",
        Relation.DESCENDANT,
        2,
        True,
    ),
    "every exim4 among the leaders": (
        {"parent": "sh", **P, **leader("group", "exim4", "A"), **leader("session", "exim4", "A"), **LEADS},
        [],
        "exim4:leader > ?:unknown > exim4:leader > ?:unknown > sh:event > sh:event",
        Relation.DESCENDANT,
        None,
        False,
    ),
    "unknown beyond a known exim4 leaves the depth": (
        {**P, **LEADS},
        [],
        "exim4:leader > ?:unknown > exim4:event > sh:event",
        Relation.CHILD,
        1,
        False,
    ),
    "not below exim4 at all": (
        {"parent": "bash", **P},
        [described("P", "bash", "G"), described("G", "sshd")],
        "sshd:seen > bash:event > sh:event",
        Relation.NONE,
        None,
        False,
    ),
    "nothing but the process": (
        {"parent": ABSENT, "process__parent__executable": ABSENT, "process__entity_id": ABSENT},
        [],
        "sh:event",
        Relation.NONE,
        None,
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_lineage(case: str) -> None:
    """What an event and the memory give, from the outermost exim4 down; depth only where every step is certain."""
    fields, known, links, relation, depth, complete = CASES[case]
    found = of(table(*known), **fields)

    assert links == written(found)
    assert (relation, depth, complete) == (found.relation, found.depth, found.complete)


def test_links_carry_what_is_known() -> None:
    """The event's word for its own process and parent, the leader's for itself, the memory's for the rest."""
    seen = Process("G", (Image(1, "perl", "/usr/bin/perl", ("perl", "-e")),), "L", "40", "then")
    found = of(table(seen), parent="sh", **{**P, "process__Ext": {"ancestry": ["P", "G", "L"]}, **LEADS})

    assert ["L", "G", "P", "own"] == [one.entity_id for one in found.links]
    assert Link(seen, Origin.SEEN, (), "G") == found.links[1]
    assert found.links[3].process == executed(decode(raw(event(parent="sh", **{"process__entity_id": "own", **P}))), AT)


def test_long_chain_ends() -> None:
    """A table whose ids never end is followed no further than the limit; a leader still shows where it began."""
    known = [described("P", "sh", "0"), *(described(str(n), f"p{n}", str(n + 1)) for n in range(100))]

    assert MAX_ANCESTORS + 1 == len(of(table(*known), parent="sh", **P).links)
    found = of(table(*known), parent="sh", **P, **LEADS)
    assert ("exim4", Relation.DESCENDANT, None) == (found.links[0].name, found.relation, found.depth)
    assert MAX_ANCESTORS + 3 == len(found.links)


def test_exim4_at_the_limit_is_reached() -> None:
    """The last link that is followed."""
    ids = ["P", *(str(n) for n in range(MAX_ANCESTORS - 1))]
    known = [described(one, f"p{one}", over) for one, over in itertools.pairwise(ids)]
    found = of(table(*known, described(ids[-1], "exim4")), parent="sh", **P)

    assert (MAX_ANCESTORS, True) == (found.depth, found.complete)


class Memory:
    """A host's ring over a database, as events come to it."""

    def __init__(self) -> None:
        self._database: dict[bytes, bytes] = {}

    def take(self, time: int, **fields: object) -> str:
        """Remember an event, then trace it."""
        found = decode(raw(event(**fields)))
        ring = Ring(self._database.get, "h", 64, AT)
        ring.remember(executed(found, time), parent(found, time))
        for change in ring.changes:
            self._database.update({key: value for key, value in derived(*change) if value is not None})
        return written(trace(found, time, ring.find))


BELOW_SHELL: dict[str, object] = {"name": "wget", "parent": "sh", "process__parent__executable": "/usr/bin/sh", **P}


def test_parent_that_ends_later_completes_the_next_lineage() -> None:
    """An alert never waits: what a merged event brings later is there for the next child."""
    memory = Memory()
    shell = {"process__entity_id": "P", "process__parent__entity_id": "L"}

    assert "exim4:leader > ?:unknown > sh:event > wget:event" == memory.take(AT, **BELOW_SHELL, **LEADS)
    assert "exim4:event > sh:event" == memory.take(AT - 5, **shell)
    assert "exim4:leader > sh:event > wget:event" == memory.take(AT, **BELOW_SHELL, **LEADS)


def test_shell_that_was_told_of_stands_after_what_was_seen() -> None:
    """A child tells that its parent became a shell, before the shell's own event: the order is known all the same."""
    memory = Memory()
    exim4: dict[str, object] = {"name": "exim4", "process__executable": "/usr/sbin/exim4"}
    memory.take(1, **exim4, parent="systemd", process__entity_id="D", process__parent__entity_id="1")
    memory.take(2, **exim4, process__entity_id="P", process__parent__entity_id="D")

    assert "exim4:seen > sh:event<exim4 > wget:event" == memory.take(4, **BELOW_SHELL, process__entity_id="W")
    assert "exim4:seen > sh:seen<exim4 > wget:event > id:event" == memory.take(
        5,
        name="id",
        parent="wget",
        process__entity_id="I",
        process__parent__executable="/usr/bin/wget",
        process__Ext={"ancestry": ["W", "P"]},
    )
    assert "exim4:event > sh:event<exim4" == memory.take(3, process__entity_id="P", process__parent__entity_id="D")
    assert "exim4:seen > sh:event<exim4 > wget:event" == memory.take(3, **BELOW_SHELL, process__entity_id="W")


_NAMES = st.sampled_from(["exim4", "sh", None])
_IDS = st.sampled_from(["own", "P", "G", "L", ""])
_KNOWN = st.builds(
    Process,
    _IDS,
    st.lists(st.builds(Image, st.integers(0, 2 * AT), _NAMES), min_size=1, max_size=MAX_IMAGES).map(tuple),
    st.none() | _IDS,
)
_FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "process.entity_id",
            "process.parent.entity_id",
            "process.parent.parent.entity_id",
            "process.Ext.ancestry",
            *(f"process.{one}_leader.entity_id" for one in ("group", "session", "entry")),
        ]
    ),
    st.none() | _IDS | st.lists(_IDS, max_size=5),
)
_CALLED = st.dictionaries(
    st.sampled_from(
        [
            "process.name",
            "process.parent.name",
            *(f"process.{one}_leader.name" for one in ("group", "session", "entry")),
        ]
    ),
    _NAMES | st.lists(_NAMES, max_size=2),
)


@settings(deadline=None)
@given(_FIELDS, _CALLED, st.lists(_KNOWN, max_size=5))
def test_any_lineage_keeps_its_promises(fields: JsonObject, called: JsonObject, known: list[Process]) -> None:
    """Contradicting, looping and missing ids give a bounded chain whose marks agree with its links."""
    found = trace(
        decode(raw({**event(parent=ABSENT, process__parent__executable=ABSENT), **fields, **called})), AT, table(*known)
    )
    names = [one.name for one in found.links]
    above = names[-2::-1]

    assert 1 <= len(found.links) <= 1 + MAX_ANCESTORS + 6
    assert Origin.EVENT == found.links[-1].origin
    assert [one.process is None for one in found.links] == [one.origin == Origin.UNKNOWN for one in found.links]
    if "exim4" in above:
        nearest = above.index("exim4") + 1
        assert "exim4" == names[0]
        assert (Relation.CHILD if nearest == 1 else Relation.DESCENDANT) == found.relation
        assert (nearest if None not in [one.process for one in found.links[-nearest:]] else None) == found.depth
        assert found.complete == all(one.process is not None for one in found.links)
    else:
        assert (Relation.NONE, None, False) == (found.relation, found.depth, found.complete)
    ids = [one.entity_id for one in found.links[:-1] if one.entity_id is not None]
    assert len(set(ids)) == len(ids)
    assert all(len(one.earlier) <= MAX_IMAGES for one in found.links)

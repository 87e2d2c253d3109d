"""Evidence: how lineage and baseline stand in an alert, and how large they may become."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.assessment import weigh
from app.core.baseline import Baseline
from app.core.document import encode_document
from app.core.duration import DAY, SECOND
from app.core.event import JsonObject, decode
from app.core.evidence import MAX_LINEAGE_BYTES, Evidence, baseline_fields, lineage_fields, path_text
from app.core.lineage import Lineage, Link, Origin, Relation
from app.core.new_terms import Sighting, TermRecord
from app.core.process import MAX_ANCESTORS, MAX_ARGS, MAX_ARGS_TEXT, MAX_IMAGES, MAX_TEXT, Image, Process

NOON = 1_767_614_400 * SECOND  # 2026-01-05T12:00:00Z


def chain(*names: str | None, relation: Relation = Relation.DESCENDANT) -> Lineage:
    """Make a lineage of names; None is a process that is not known."""
    links = [
        Link(None, Origin.UNKNOWN) if name is None else Link(Process(None, (Image(0, name),)), Origin.SEEN)
        for name in names
    ]
    return Lineage(tuple(links), relation, None, complete=None not in names)


def largest(character: str, links: int = MAX_ANCESTORS + 7) -> Lineage:
    """Make a lineage of as many and as long texts as a process can hold, all of one character."""
    text = character * MAX_TEXT + "…"
    args = (character * (MAX_ARGS_TEXT - MAX_ARGS + 1), *[character] * (MAX_ARGS - 1), "…")
    image = Image(NOON, text, text, args, text, text, text)
    process = Process(text[:MAX_TEXT], (image,), text, text, text)
    return Lineage(
        (Link(process, Origin.LEADER, (text,) * MAX_IMAGES, text[:MAX_TEXT]),) * links, Relation.DESCENDANT, 9, True
    )


def test_lineage_is_written_whole() -> None:
    """Each process with all that is known of it, the outermost exim4 first; what is not known is absent."""
    image = Image(1, "sh", "/bin/sh", ("sh", "-c"), "0", "root", "ab")
    process = Process("P", (image,), "D", "4711", "2026-01-05T08:00:00Z")
    links = (
        Link(Process(None, (Image(1, "exim4"),)), Origin.LEADER),
        Link(None, Origin.UNKNOWN, (), "M"),
        Link(process, Origin.EVENT, ("exim4", ""), "P"),
    )
    expected = {
        "relation": "descendant",
        "depth": 2,
        "complete": False,
        "processes": [
            {"origin": "leader", "name": "exim4"},
            {"origin": "unknown", "entity_id": "M"},
            {
                "origin": "event",
                "entity_id": "P",
                "name": "sh",
                "executable": "/bin/sh",
                "start": "2026-01-05T08:00:00Z",
                "sha256": "ab",
                "pid": 4711,
                "args": ["sh", "-c"],
                "user": {"id": "0", "name": "root"},
                "earlier": ["exim4", ""],
            },
        ],
    }

    assert (expected, False) == lineage_fields(Lineage(links, Relation.DESCENDANT, 2, complete=False))


def test_depth_that_is_not_known_is_absent() -> None:
    """Nothing stands for it."""
    assert "depth" not in lineage_fields(chain("exim4", None, "sh"))[0]


@pytest.mark.parametrize(
    ("pid", "expected"),
    [
        ("1", 1),
        ("4294967295", 4294967295),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("x", None),
        ("١", None),
        ("9" * 11, None),
    ],
)
def test_pid_is_a_number(pid: str, expected: int | None) -> None:
    """What is none is left out: the field's type is that of every index."""
    link = Link(Process(None, (Image(0, "sh"),), None, pid), Origin.EVENT)

    assert expected == lineage_fields(Lineage((link,), Relation.NONE, None, complete=False))[0]["processes"][0].get(
        "pid"
    )


def test_usual_lineage_is_not_cut() -> None:
    """Sixteen processes with command lines of eighty characters, and one text as long as it may be."""
    image = Image(NOON, "python3.11", "/usr/bin/python3.11", ("python3.11", "/usr/local/lib/filter/" + "x" * 60), "105")
    long = Image(NOON, "x" * MAX_TEXT + "…", "/" * MAX_TEXT + "…", ("x" * MAX_ARGS_TEXT + "…",))
    links = [Link(Process("e" * 60, (image,), None, "4711", "2026-01-05T08:00:00.123456789Z"), Origin.SEEN)] * 16
    fields, is_cut = lineage_fields(
        Lineage((*links, Link(Process(None, (long,)), Origin.EVENT)), Relation.DESCENDANT, 16, complete=True)
    )

    assert not is_cut
    assert [long.name, long.executable, list(long.args)] == [
        fields["processes"][-1][name] for name in ("name", "executable", "args")
    ]


@pytest.mark.parametrize("links", [1, 2, 5, MAX_ANCESTORS + 7])
@pytest.mark.parametrize("character", ["a", "\x01", '"', "é", "\U0001f600", "\u2028", "\x7f"])
def test_lineage_never_exceeds_its_limit(character: str, links: int) -> None:
    """Also where each character takes six bytes as JSON; every process and its origin always remain."""
    fields, is_cut = lineage_fields(largest(character, links))

    assert len(encode_document(fields)) <= MAX_LINEAGE_BYTES
    assert links == len(fields["processes"])
    assert is_cut or links < 5
    assert fields == json.loads(encode_document(fields))


def test_arguments_between_the_ends_go_first() -> None:
    """What began the chain is known from its names; the process and its parent keep their arguments longest."""
    image = Image(NOON, "sh", "/bin/sh", ("x" * MAX_ARGS_TEXT,) * 2)
    links = (Link(Process("e", (image,)), Origin.SEEN),) * MAX_ANCESTORS
    fields, is_cut = lineage_fields(Lineage(links, Relation.DESCENDANT, None, complete=True))

    assert is_cut
    assert [False] * (MAX_ANCESTORS - 2) + [True] * 2 == ["args" in one for one in fields["processes"]]
    assert {"/bin/sh"} == {one["executable"] for one in fields["processes"]}


_TEXT = st.none() | st.sampled_from(["", "exim4", "\x01" * 257, "é" * 257, "a" * 257])
_PROCESS = st.builds(
    Process,
    _TEXT,
    st.builds(
        Image,
        st.just(1),
        _TEXT,
        _TEXT,
        st.lists(st.sampled_from(["\x01" * 30, "a"]), max_size=17).map(tuple),
        _TEXT,
        _TEXT,
        _TEXT,
    ).map(lambda one: (one,)),
    _TEXT,
    _TEXT,
    _TEXT,
)


@settings(deadline=None)
@given(st.lists(st.none() | _PROCESS, min_size=1, max_size=MAX_ANCESTORS + 7), st.booleans())
def test_any_lineage_fits(processes: list[Process | None], complete: bool) -> None:
    """Whatever its processes hold, and it says when it was cut."""
    links = tuple(Link(one, Origin.SEEN if one else Origin.UNKNOWN, ("\x01" * 256,)) for one in processes)
    lineage = Lineage(links, Relation.DESCENDANT, None, complete)
    fields, is_cut = lineage_fields(lineage)

    assert len(encode_document(fields)) <= MAX_LINEAGE_BYTES
    assert len(links) == len(fields["processes"])
    names = [one.image.name for one in processes if one is not None]
    if not is_cut:
        assert names == [one.get("name") for one in fields["processes"] if one["origin"] == "seen"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["exim4", "sh"], "exim4 > sh"),
        (["exim4", None, "sh", "wget"], "exim4 > ? > sh > wget"),
        (["exim4", "exim4", "sh", "id"], "exim4 > sh > id"),
        (["exim4", "sh", "exim4"], "exim4 > sh > exim4"),
        (["exim4", None, "exim4"], "exim4 > ? > exim4"),
        (["bash", "sh"], "bash > sh"),
        (["exim4"], "exim4"),
        (["exim4", "", "x" * 40], "exim4 > ? > " + "x" * 32),
    ],
)
def test_path_in_one_line(names: list[str | None], expected: str) -> None:
    """From the nearest exim4 above the process; what has no name is a question mark, long names lose their ends."""
    assert expected == path_text(chain(*names))


def evidence(baseline: Baseline | None, executable: str | None = None, sha256: bytes | None = None) -> Evidence:
    """Make the evidence of a match at noon."""
    return Evidence(
        Sighting(NOON, 1, 0, NOON, executable, sha256),
        chain("exim4", "sh"),
        baseline,
        (),
        weigh(decode(b"{}"), None, Relation.NONE),
    )


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (None, {}),
        (Baseline(), {"rule": {"terms": 0}}),
        (
            Baseline(NOON - 3 * DAY - 7200 * SECOND, 7),
            {"rule": {"terms": 7, "watched_since": "2026-01-02T10:00:00.000Z", "watched_for": "3 d 2 h"}},
        ),
        (
            Baseline(NOON + 1, 1),
            {"rule": {"terms": 1, "watched_since": "2026-01-05T12:00:00.000000001Z", "watched_for": "0 s"}},
        ),
    ],
)
def test_baseline_of_the_rule(baseline: Baseline | None, expected: JsonObject) -> None:
    """How long it watched and what it knows; absent for the fleet, without a beginning at the first match."""
    assert expected == baseline_fields(None, evidence(baseline))


_OLD, _NEW = b"\x0a" * 32, b"\x0b" * 32


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (("/bin/sh", _OLD), ("/bin/sh", _OLD), {}),
        (("/bin/sh", _OLD), ("/tmp/sh", _OLD), {"executable": {"before": "/bin/sh", "now": "/tmp/sh"}}),
        (("/bin/sh", _OLD), ("/bin/sh", _NEW), {"sha256": {"before": "0a" * 32, "now": "0b" * 32}}),
        ((None, None), ("/bin/sh", _NEW), {}),
        (("/bin/sh", _OLD), (None, None), {}),
    ],
)
def test_baseline_of_the_term(
    before: tuple[str | None, bytes | None], now: tuple[str | None, bytes | None], expected: JsonObject
) -> None:
    """What was seen of it before, and which of its executable's path and hash is another now."""
    record = TermRecord(NOON - 2 * DAY, NOON - DAY, 5, NOON, 1, 0, *before)
    seen = {"first_seen": "2026-01-03T12:00:00.000Z", "last_seen": "2026-01-04T12:00:00.000Z", "count": 5}

    assert {"term": {**seen, **expected}} == baseline_fields(record, evidence(None, *now))

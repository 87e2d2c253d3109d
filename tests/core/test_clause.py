"""Clauses: the query they are of, what they say of an event, and how much of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.document import encode_document
from app.core.event import decode
from app.core.kql import And, Equals, Exists, Not, Or, Query, compile_query, parse
from app.core.kql.clause import MAX_VALUES, Clause, clauses, judge_clauses, judge_tree, listed
from app.core.shown import shown
from tests.core.queries import EXIM4_CHILD, FIELDS, Event, event, event_for, holds, leaves, queries, texts

_RANDOMS = st.randoms(use_true_random=False)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Draw events with up to ten values a field."""
    return Event({name: draw(st.lists(texts() | st.none(), max_size=10)) for name in FIELDS})


def nodes(query: Query) -> Iterator[Query]:
    """Yield a query and everything in it."""
    yield query
    if isinstance(query, Not):
        yield from nodes(query.child)
    elif isinstance(query, And | Or):
        for child in query.children:
            yield from nodes(child)


def tree(clause: Clause) -> Iterator[Clause]:
    """Yield a clause and all its parts."""
    yield clause
    for part in clause.parts:
        yield from tree(part)


@given(queries())
def test_a_clause_s_text_is_the_clause(query: Query) -> None:
    """What is shown can be parsed, and means the same."""
    assert clauses(query) == tuple(parse(clause.text) for clause in judge_clauses(query, Event()))
    assert all(parse(node.text) in set(nodes(query)) for node in tree(judge_tree(query, Event())))


@given(queries(), _RANDOMS, events())
@settings(max_examples=300)
def test_a_query_holds_if_all_its_clauses_do(query: Query, random: Random, drawn: Event) -> None:
    """Clauses, tree and the compiled predicate of the worker never disagree, nor do the parts with their whole."""
    for seen in (event_for(query, random), drawn):
        expected = compile_query(query)(seen)
        assert expected == all(clause.result for clause in judge_clauses(query, seen))
        assert expected == judge_tree(query, seen).result
        assert all(holds(parse(part.text), seen) == part.result for part in tree(judge_tree(query, seen)))


@given(queries(), _RANDOMS, events())
def test_a_clause_has_the_values_that_the_predicate_sees(query: Query, random: Random, drawn: Event) -> None:
    """Every field of the clause is there with its values in their order, cut in number and length."""
    for seen in (event_for(query, random), drawn):
        for part, clause in zip(clauses(query), judge_clauses(query, seen), strict=True):
            assert {leaf.field for leaf in leaves(part)} == set(clause.values)
            for name, values in clause.values.items():
                distinct = list(dict.fromkeys(seen.values(name)))
                assert len(distinct) == len(values) + clause.omitted.get(name, 0)
                assert set(values) <= set(map(shown, distinct))
                assert len(distinct) > MAX_VALUES or list(values) == list(map(shown, distinct))


@given(st.integers(0, 40), st.sampled_from(["n39", "n0", "*39", "absent"]))
def test_the_value_that_decided_is_shown_however_many_there_are(at: int, wanted: str) -> None:
    """An attacker can't bury the value that satisfied a clause below others."""
    names = [f"n{number}" for number in range(40)]
    names.insert(at, names.pop())
    (clause,) = judge_clauses(parse(f"process.name:{wanted}"), event(process__name=list(names)))

    shown_values = clause.values["process.name"]
    assert clause.result == any(name.endswith(wanted.lstrip("*")) for name in shown_values)
    assert (MAX_VALUES, 40 - MAX_VALUES) == (len(shown_values), clause.omitted["process.name"])


def test_the_child_rule_s_clauses() -> None:
    """The shape of an alert's `detector.clauses`."""
    seen = event(
        host__os__type="linux",
        event__type=["start", "end"],
        event__action=["fork", "exec", "end"],
        process__parent__name="exim4",
        process__name="sh",
    )
    documents, complete = listed(judge_clauses(parse(EXIM4_CHILD), seen), 10_000)

    assert complete
    assert [
        {"clause": "host.os.type:linux", "result": True, "values": {"host.os.type": ["linux"]}},
        {"clause": "event.type:start", "result": True, "values": {"event.type": ["start", "end"]}},
        {"clause": "event.action:exec", "result": True, "values": {"event.action": ["fork", "exec", "end"]}},
        {"clause": "process.parent.name:exim4", "result": True, "values": {"process.parent.name": ["exim4"]}},
        {
            "clause": "not process.name:(exim4 or start-stop-daemon or run-parts or systemctl or update-exim4.conf "
            "or install or plymouth or readlink or grep or stat or cmake or gcc or cppcheck or sort or sshd)",
            "result": True,
            "values": {"process.name": ["sh"]},
        },
    ] == documents


def test_parts_go_down_to_clauses_about_one_field() -> None:
    """A negated list of names is one clause; what joins several fields is taken apart."""
    judged = judge_tree(parse("a:1 and not (b:(2 or 3) and not c:4)"), event(a="1", b="3", c="4"))

    first, second = judged.parts
    assert ("a:1", True, ()) == (first.text, first.result, first.parts)
    assert ("not (b:(2 or 3) and not c:4)", True) == (second.text, second.result)
    assert ("all", "none", "all", "") == (judged.needs, second.needs, second.parts[0].needs, first.needs)
    assert [("b:(2 or 3)", True, {"b": ("3",)}), ("not c:4", False, {"c": ("4",)})] == [
        (part.text, part.result, part.values) for part in second.parts[0].parts
    ]


@given(queries(), _RANDOMS)
def test_parts_decide_their_whole(query: Query, random: Random) -> None:
    """A reader finds out from the parts why their whole holds or fails."""
    for clause in tree(judge_tree(query, event_for(query, random))):
        results = [part.result for part in clause.parts]
        expected = {"all": all(results), "any": any(results), "none": not any(results), "": clause.result}
        assert expected[clause.needs] == clause.result
        assert bool(clause.needs) == bool(results)


def test_a_missing_field_and_an_object_are_told_apart() -> None:
    """`field:*` takes an object for a value, though there is no text to show."""
    query = And((Exists("process"), Not(Equals("nothing", "x"))))
    first, second = judge_clauses(query, decode(b'{"process":{"name":"sh"}}'))

    assert (True, {"process": ()}, frozenset({"process"})) == (first.result, first.values, first.objects)
    assert (True, {"nothing": ()}, frozenset()) == (second.result, second.values, second.objects)


@given(queries(), events(), st.integers(0, 2000))
@example(And(tuple(Equals("f", "x" * 3000) for _ in range(50))), Event({"f": ["y" * 3000]}), 3000)
def test_a_list_keeps_to_its_room(query: Query, drawn: Event, room: int) -> None:
    """Neither rule text nor hostile values make a list longer; it says when it is not complete."""
    judged = judge_clauses(query, drawn)
    documents, complete = listed(judged, room)

    assert len(encode_document({"c": documents})) <= room + len('{"c":[]}')
    assert complete == (len(judged) == len(documents) and all("values" in document for document in documents))


def test_a_hostile_event_costs_no_more_than_its_size() -> None:
    """A clause keeps little of a million bytes of values, control characters among them."""
    names = [f"\x1b{number:07d}" for number in range(50_000)] + ["\x1b" * 500_000]
    seen = decode(json.dumps({"process": {"name": names}}).encode())
    (clause,) = judge_clauses(parse("not process.name:(a or *b*c*)"), seen)

    assert (MAX_VALUES, 50_001 - MAX_VALUES) == (len(clause.values["process.name"]), clause.omitted["process.name"])
    assert all(len(value) <= 1024 for value in clause.values["process.name"])

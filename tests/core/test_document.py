"""Documents: one nested layout for all, and cutting of what is too large."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.document import (
    CUT_TEXT,
    MAX_KEY_PARTS,
    MAX_MADE,
    SHORT_KEY,
    as_object,
    dotted,
    encode_document,
    fit,
    nest,
)
from app.core.event import ProcessEvent, decode


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a.b": 1}, {"a": {"b": 1}}),
        ({"a.b.c": 1, "a": {"b": {"d": 2}}}, {"a": {"b": {"c": 1, "d": 2}}}),
        ({"a": {"b.c": 1}, "a.b": {"d": 2}}, {"a": {"b": {"c": 1, "d": 2}}}),
        ({"a": {"b": 1}, "a.b": 2}, {"a": {"b": [1, 2]}}),
        ({"a": {"b": [1, 2]}, "a.b": [3]}, {"a": {"b": [1, 2, 3]}}),
        ({"a": 1, "a.b": 2}, {"a": [1, {"b": 2}]}),
        ({"a": None, "a.b": 2}, {"a": [None, {"b": 2}]}),
        ({"a": [{"b.c": 1}, {"b": {"c": 2}}, "x"]}, {"a": [{"b": {"c": 1}}, {"b": {"c": 2}}, "x"]}),
        ({"a.b": {"c.d": {"e.f": []}}}, {"a": {"b": {"c": {"d": {"e": {"f": []}}}}}}),
        ({"": 1, ".": 2, "a.": 3, ".a": 4, "a..b": 5}, {"": 1, ".": 2, "a.": 3, ".a": 4, "a..b": 5}),
        ({".".join("a" * (MAX_KEY_PARTS + 1)): 1}, {".".join("a" * (MAX_KEY_PARTS + 1)): 1}),
    ],
)
def test_dotted_keys_become_objects(document: dict[str, Any], expected: dict[str, Any]) -> None:
    """Objects at one place are merged, values of one field stand together; odd and very long keys stay."""
    before = copy.deepcopy(document)

    assert expected == nest(document)
    assert before == document


def test_longest_key_that_is_spelled_out() -> None:
    """A key of as many parts as Elasticsearch takes levels becomes objects."""
    found: Any = nest({".".join("a" * MAX_KEY_PARTS): 1})
    for _ in range(MAX_KEY_PARTS):
        assert ["a"] == list(found)
        found = found["a"]

    assert 1 == found


def test_long_keys_that_would_make_too_much_stay() -> None:
    """A megabyte of long dotted keys does not grow to hundreds of thousands of objects; short ones still unfold."""
    fitting = MAX_MADE // SHORT_KEY
    long_keys = [f"k{number}" + ".a" * SHORT_KEY for number in range(fitting + 2)]
    found = nest({**dict.fromkeys(long_keys, 1), "event.kind": "forged", ".".join("s" * SHORT_KEY): 2})

    assert long_keys[fitting:] == [key for key in found if "." in key]
    assert {"kind": "forged"} == found["event"]
    assert {"s": {"s": 2}} == found["s"]


_KEYS = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(".".join)
_DOCUMENTS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(_KEYS, st.integers(0, 9), max_size=3),
    lambda inner: st.dictionaries(_KEYS, inner | st.lists(inner, max_size=2) | st.integers(0, 9), max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(_DOCUMENTS)
def test_no_value_is_lost(document: dict[str, Any]) -> None:
    """Every field has the same values before and after, whatever layouts were mixed."""
    before, after = ProcessEvent(document), ProcessEvent(nest(document))

    for field in ("a", "b", "a.a", "a.b", "b.a", "a.b.a", "a.a.a", "a.b.a.b"):
        assert sorted(before.values(field)) == sorted(after.values(field))


@settings(deadline=None)
@given(_DOCUMENTS)
def test_nested_document_has_no_dotted_key(document: dict[str, Any]) -> None:
    """What was brought into one layout is in it: a second time changes nothing."""
    once = nest(document)

    assert once == nest(once)
    assert "." not in encode_document(once).decode()


def test_flat_copy_stands_behind_its_prefix() -> None:
    """Each value that is no object has its whole path as its key; arrays stay whole."""
    document = {"a": {"b": 1, "c": {"d": [{"e": 2}]}}, "f": None, "g": {}}

    assert {"p.a.b": 1, "p.a.c.d": [{"e": 2}], "p.f": None} == dotted(document, "p")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1}, {"a": 1}),
        ([{"a": 1}, {"b": 2}, "x", None], {"a": 1, "b": 2}),
        ([{"a": 1}, {"a": [2, 3]}], {"a": [1, 2, 3]}),
        ([{"a": {"b": 1}}, {"a": {"c": 2}}], {"a": {"b": 1, "c": 2}}),
        ([], {}),
        (None, {}),
        ("text", {}),
        (5, {}),
    ],
)
def test_one_object_stands_for_a_value(value: object, expected: dict[str, Any]) -> None:
    """An object itself, the objects of an array merged, else an empty one."""
    assert expected == as_object(value)


def test_document_that_fits_is_not_cut() -> None:
    """Exactly the budget is enough."""
    parts = ({"a": "x" * 500, "b": {"c": [1, 2]}}, {"d": 1})
    before = copy.deepcopy(parts)

    assert [] == fit(parts, sum(len(encode_document(part)) for part in parts))
    assert before == parts


def test_largest_field_is_cut_first() -> None:
    """Fields go by size, whatever part they stand in; a string keeps its beginning."""
    parts = ({"a": "x" * 3000, "b": {"c": "y" * 5000}}, {"d": "z" * 4000, "e": "kept"})

    assert ["b.c", "d"] == fit(parts, 3600)
    assert ({"a": "x" * 3000, "b": {"c": "y" * CUT_TEXT + "…"}}, {"d": "z" * CUT_TEXT + "…", "e": "kept"}) == parts


def test_array_and_short_values_are_removed_whole() -> None:
    """What is no long string can't keep a beginning."""
    part = {"args": ["x" * 10] * 400, "names": {f"n{n}": "v" * 50 for n in range(100)}, "last": 1}

    cuts = fit((part,), 3000)
    assert "args" == cuts[0]
    assert "args" not in part
    assert cuts[1:] == [f"names.n{n}" for n in sorted(range(100), key=str)][: len(cuts) - 1]
    assert len(encode_document(part)) <= 3000
    assert 1 == part["last"]


def test_fields_of_one_size_go_by_name() -> None:
    """What is cut depends on names and values, never on the order in which they stand."""
    fields = {f"f{n}": "x" * 400 for n in range(10)}
    forward, backward = dict(fields), dict(reversed(fields.items()))

    assert ["f0", "f1", "f2"] == fit((forward,), 3500)
    assert ["f0", "f1", "f2"] == fit((backward,), 3500)
    assert forward == backward


def test_very_long_path_is_shortened() -> None:
    """A path in the list of cuts has a bounded length."""
    part = {"k" * 5000: {"j" * 5000: 1}}

    assert ["k" * CUT_TEXT] == fit((part,), 100)
    assert {} == part


def test_empty_objects_are_cut_at_last() -> None:
    """A document of nothing but empty objects is cut too; the longest names of equal sizes by the alphabet."""
    part: dict[str, Any] = {f"k{n:03}": {} for n in range(100)}

    assert [f"k{n:03}" for n in range(90)] == fit((part,), 109)[:90]
    assert len(encode_document(part)) <= 109


@settings(deadline=None)
@given(
    st.recursive(
        st.dictionaries(st.text(max_size=20), st.text(max_size=300) | st.integers() | st.none(), max_size=5),
        lambda inner: st.dictionaries(st.text(max_size=20), inner | st.lists(inner, max_size=3), max_size=4),
        max_leaves=10,
    ),
    st.integers(2, 2000),
)
def test_cut_document_fits(document: dict[str, Any], budget: int) -> None:
    """Whatever the document, it takes no more than its budget afterwards, and every cut is named."""
    untouched = copy.deepcopy(document)
    cuts = fit((document,), budget)

    assert len(encode_document(document)) <= budget
    assert bool(cuts) == (untouched != document)


def test_numbers_are_written_as_they_came() -> None:
    """Whatever its digits, a number is not rounded on its way through."""
    text = b'{"a":1.50,"b":123456789012345678901234567890,"c":-0,"d":1E+400,"e":[0.1e-7,18446744073709551616]}'

    assert text == encode_document(nest(decode(text).document))


def test_short_fields_outlive_many_longer_ones() -> None:
    """Where shortening is not enough, the longest fields are removed; what names the process stays."""
    process: dict[str, Any] = {f"field{number}": "x" * 200 for number in range(2000)}
    part = {"process": {**process, "name": "sh"}}

    cuts = fit((part,), 100_000)

    assert "sh" == part["process"]["name"]
    assert 100_000 >= len(encode_document(part))
    assert 100_000 * 0.9 < len(encode_document(part))
    assert "process.name" not in cuts


def test_string_that_would_grow_is_not_shortened() -> None:
    """The mark of a cut takes three bytes: a string just over the limit is left or removed, never lengthened."""
    text = "x" * (CUT_TEXT + 1)
    part = {"a": text, "b": 1}

    assert ["a"] == fit((part,), 30)
    assert {"b": 1} == part


def test_objects_in_nested_arrays_are_merged() -> None:
    """Arrays flatten at any depth, and the source is left as it was."""
    value = [[{"type": "start"}, [{"id": "x", "type": ["end"]}]], "text"]

    assert {"type": ["start", "end"], "id": "x"} == as_object(value)
    assert [[{"type": "start"}, [{"id": "x", "type": ["end"]}]], "text"] == value


def test_many_keys_and_many_empty_objects_are_no_burden() -> None:
    """Merging and cutting take time in proportion to the document: with squares this would take minutes."""
    nested = nest({f"a.k{number}": number for number in range(200_000)})
    assert 200_000 == len(nested["a"])

    part = {f"k{number}": dict[str, Any]() for number in range(200_000)}
    fit((part,), 1000)
    assert 1000 >= len(encode_document(part))


@pytest.mark.parametrize(
    "document",
    [
        {"process.args": ["b"], "process": {"args": ["a"]}},
        {
            "process": {"parent.name": "b", "parent": {"name": "a"}},
            "process.parent.name": "d",
            "process.parent": {"name": "c"},
        },
        {"process.parent.name": ["d"], "process.parent": {"name": "c"}, "process": {"parent.name": "b"}},
    ],
)
def test_values_keep_the_order_in_which_they_are_read(document: dict[str, Any]) -> None:
    """What is derived from an alert's values is the same as from its event's, where the order of arguments matters."""
    field = "process.args" if "process.args" in document else "process.parent.name"

    assert ProcessEvent(document).values(field) == ProcessEvent(nest(document)).values(field)

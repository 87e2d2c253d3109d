"""Reading events: every layout means the same, broken bytes are judged, and what is no object says why."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from app.core.document import encode_document
from app.core.event import MAX_DEPTH, ProcessEvent, UndecodableError, decode, text_of
from tests.events import event, raw

LAYOUTS = [
    b'{"process":{"parent":{"name":"exim4"}}}',
    b'{"process.parent.name":"exim4"}',
    b'{"process":{"parent.name":"exim4"}}',
    b'{"process.parent":{"name":"exim4"}}',
    b'{"process":[{"parent":{"name":["exim4"]}}]}',
    b'{"process":[1,null,{"parent":[[{"name":"exim4"}]]}]}',
]


def reason_of(record: bytes) -> str:
    """Decode a record that can't be, and give the dead letter's reason."""
    with pytest.raises(UndecodableError) as caught:
        decode(record)
    assert caught.value.dead_letter.detail
    assert caught.value.dead_letter.rule_id is None
    return caught.value.dead_letter.reason


@pytest.mark.parametrize("record", LAYOUTS)
def test_every_layout_of_a_key_means_the_same(record: bytes) -> None:
    """Keys may be nested, dotted or mixed, and objects may stand in arrays."""
    assert ("exim4",) == decode(record).values("process.parent.name")


def test_values_of_all_places_add_up() -> None:
    """One record may spell one field in several ways: all its values count."""
    record = b'{"a":{"b":{"c":"1"},"b.c":["2","3"]},"a.b":{"c":"4"},"a.b.c":"5"}'

    assert {"1", "2", "3", "4", "5"} == set(decode(record).values("a.b.c"))


def test_arrays_of_objects_flatten() -> None:
    """Values of different objects of an array all stand at the field, so they may satisfy different clauses."""
    found = decode(b'{"process":[{"name":"a","pid":1},{"name":"b"},{"pid":[2,[3]]}]}')

    assert ("a", "b") == found.values("process.name")
    assert ("1", "2", "3") == found.values("process.pid")


def test_arrays_are_the_normal_case() -> None:
    """Defend merges fork, exec and end of a short-lived process: each element of the array is a value."""
    assert ("fork", "exec", "end") == decode(raw(event())).values("event.action")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"text"', ("text",)),
        ('""', ("",)),
        ("105", ("105",)),
        ("-7", ("-7",)),
        ("-0", ("-0",)),
        ("1.50", ("1.50",)),
        ("1e3", ("1e3",)),
        ("1E+400", ("1E+400",)),
        ("123456789012345678", ("123456789012345678",)),
        ("1234567890123456789", ("1234567890123456789",)),
        ("123456789012345678901234567890", ("123456789012345678901234567890",)),
        ("true", ("true",)),
        ("false", ("false",)),
        ("null", ()),
        ("[]", ()),
        ("{}", ()),
        ('{"b":1}', ()),
        ('[null,"x",{"b":1},[2]]', ("x", "2")),
    ],
)
def test_values_compare_by_their_json_text(written: str, expected: tuple[str, ...]) -> None:
    """Numbers and booleans give the text they are written in; null and objects are no values."""
    assert expected == decode(f'{{"a":{written}}}'.encode()).values("a")


def test_field_is_asked_for_twice_with_the_same_answer() -> None:
    """The second look-up of a field equals the first."""
    found = decode(b'{"a":{"b":["x","y"]}}')

    assert found.values("a.b") == found.values("a.b")
    assert "x" == found.first("a.b")
    assert found.first("a.c") is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('""', True),
        ("0", True),
        ("false", True),
        ('{"b":1}', True),
        ('{"b":[null,{"c":""}]}', True),
        ('[null,"x"]', True),
        ("null", False),
        ("[]", False),
        ("[null,[]]", False),
        ("{}", False),
        ('{"b":null,"c":[],"d":[{}]}', False),
    ],
)
def test_field_has_a_value(written: str, expected: bool) -> None:
    """A field exists unless it is null, `[]`, without a leaf or missing; "" is a value."""
    assert expected is decode(f'{{"a":{written}}}'.encode()).has_value("a")
    assert not decode(f'{{"a":{written}}}'.encode()).has_value("z")


def test_leaves_give_all_that_stands_at_a_field() -> None:
    """Scalars, null and objects, arrays flattened."""
    assert ["x", None, {"b": 1}, 2] == decode(b'{"a":["x",[null,{"b":1}]],"a.":0,"a":[2]}').leaves("a")


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (b'{"process":{"name":"s\xffh"}}', "s\ufffdh"),
        (b'{"process":{"name":"s\xed\xa0\x80h"}}', "s\ufffd\ufffd\ufffdh"),
        (b'{"process":{"name":"s\xc3"}}', "s\ufffd"),
        (b'{"process":{"name":"s\\ud800h"}}', "s\ufffdh"),
        (b'{"process":{"name":"s\\uDFFFh"}}', "s\ufffdh"),
        (b'{"process":{"name":"\\udc00\\ud800"}}', "\ufffd\ufffd"),
        (b'{"process":{"name":"\\ud800\\ud83d\\ude00"}}', "\ufffd\U0001f600"),
    ],
)
def test_broken_encoding_is_judged(record: bytes, name: str) -> None:
    """What is no character becomes U+FFFD, and the event is flagged."""
    found = decode(record)

    assert (name,) == found.values("process.name")
    assert ("invalid_encoding",) == found.flags


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (b'{"process":{"name":"\\ud83d\\ude00"}}', "\U0001f600"),
        (b'{"process":{"name":"\\uD83D\\uDE00"}}', "\U0001f600"),
        (b'{"process":{"name":"\\\\ud800"}}', "\\ud800"),
        (b'{"process":{"name":"\\\\\\ud83d\\ude00"}}', "\\\U0001f600"),
        (b'{"process":{"name":"\\u0065xim4"}}', "exim4"),
        ('{"process":{"name":"é\u202e\U0001f600"}}'.encode(), "é\u202e\U0001f600"),
        (b'\xef\xbb\xbf{"process":{"name":"sh"}}', "sh"),
        (b' \t\r\n{"process":{"name":"sh"}}\r\n', "sh"),
    ],
)
def test_sound_encoding_is_left_alone(record: bytes, name: str) -> None:
    """Pairs of surrogates, escaped backslashes, a byte order mark and white space are not mended or flagged."""
    found = decode(record)

    assert (name,) == found.values("process.name")
    assert () == found.flags


@pytest.mark.parametrize(
    ("record", "values"),
    [
        (b'{"a":"x","a":"y"}', ("x", "y")),
        (b'{"a":["x"],"a":["y","z"]}', ("x", "y", "z")),
        (b'{"a":"x","a":["y"],"a":"z"}', ("x", "y", "z")),
        (b'{"a":null,"a":"x"}', ("x",)),
        (b'{"a":"x","\\u0061":"y"}', ("x", "y")),
    ],
)
def test_repeated_key_counts_with_all_its_values(record: bytes, values: tuple[str, ...]) -> None:
    """An attacker can't hide a value behind a second one of the same key; the event is flagged."""
    found = decode(record)

    assert values == found.values("a")
    assert ("duplicate_keys",) == found.flags


def test_repeated_object_counts_with_all_its_fields() -> None:
    """Also objects that stand twice, at any depth, add up; both flags may stand together."""
    found = decode(b'{"p":{"n":"x\xff","q":{"r":1,"r":2}},"p":{"n":"y"}}')

    assert ("x\ufffd", "y") == found.values("p.n")
    assert ("1", "2") == found.values("p.q.r")
    assert ("duplicate_keys", "invalid_encoding") == found.flags


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"  \n",
        b"exim4",
        b"{",
        b'{"a"}',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1}{"b":2}',
        b'{"a":1} x',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":"\n"}',
        b'{"a":"\x00"}',
        b'{"a":"\\x41"}',
        b'{"a":"\\u00g1"}',
        b'{"a":"unclosed',
        b'{"a":"unclosed\\',
        b'{"a":1]',
        '{"a":\u0661}'.encode(),
        "\ufeff\ufeff{}".encode(),
        b"\x00\x01\x02\x03",
    ],
)
def test_syntax_error_is_not_json(record: bytes) -> None:
    """What is no JSON text, NaN and infinities included, is a dead letter that says so."""
    assert "not_json" == reason_of(record)


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (b'[{"exim4":1}]', "array"),
        (b'"exim4"', "string"),
        (b"null", "null"),
        (b"true", "boolean"),
        (b"4", "number"),
        (b"4.5", "number"),
    ],
)
def test_other_json_is_not_an_object(record: bytes, kind: str) -> None:
    """JSON with anything but an object at the top is a dead letter that names what it is."""
    assert "not_an_object" == reason_of(record)
    with pytest.raises(UndecodableError, match=kind):
        decode(record)


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_depth_is_limited(opening: str, closing: str) -> None:
    """Objects and arrays nest up to the limit; one level more is too deep."""
    levels = MAX_DEPTH - 1

    assert decode(f'{{"a":{opening * levels}1{closing * levels}}}'.encode()).has_value("a")
    levels += 1
    assert "too_deep" == reason_of(f'{{"a":{opening * levels}1{closing * levels}}}'.encode())


def test_brackets_in_strings_are_no_depth() -> None:
    """Only real nesting counts, neither brackets in strings nor objects side by side."""
    text = "[{" * MAX_DEPTH + '\\"'
    record = f'{{"a":"{text}","b":[{",".join(["{}"] * MAX_DEPTH)}]}}'

    assert ("[{" * MAX_DEPTH + '"',) == decode(record.encode()).values("a")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param(b'{"a":"' + b"\\ud800" * 200_000 + b'"}', None, id="lone surrogates"),
        pytest.param(b'{"a":"' + b"\\\\ud" * 200_000 + b'"}', None, id="escaped backslashes"),
        pytest.param(b'{"a":"' + b"\xff" * 1_000_000 + b'"}', None, id="no UTF-8"),
        pytest.param(b'{"a":"' + b"[" * 1_000_000 + b'"}', None, id="brackets in a string"),
        pytest.param(b'{"a":"' + b'\\"[' * 300_000 + b'"}', None, id="quotes in a string"),
        pytest.param(b"{" + b'"a":1,' * 150_000 + b'"b":2}', None, id="one key again and again"),
        pytest.param(b'{"a":' + b"9" * 1_000_000 + b"}", None, id="digits"),
        pytest.param(b'{"a":' + b"[" * 1_000_000, "too_deep", id="open arrays"),
        pytest.param(b'{"a":' + b"[]" * 500_000, "not_json", id="arrays without commas"),
        pytest.param(b'"' * 1_000_001 + b"[" * 1000, "not_json", id="quotes"),
        pytest.param(b'"[' * 500_000, "too_deep", id="quotes and brackets"),
        pytest.param(b'{"a":"' + b"\\" * 1_000_001 + b"[" * 1000, "not_json", id="backslashes"),
        pytest.param(b" " * 1_000_000 + b"x", "not_json", id="spaces"),
    ],
)
def test_adversarial_megabyte_is_read_or_refused(record: bytes, reason: str | None) -> None:
    """Reading takes linear time: a quadratic step would not come back from these within the test run."""
    if reason is None:
        assert decode(record).values("a")
    else:
        assert reason == reason_of(record)


@settings(deadline=None)
@given(st.binary(max_size=80) | st.text(alphabet='{}[]",:\\ud8a0 e1-N.', max_size=60).map(str.encode))
def test_bytes_give_an_event_or_a_dead_letter(record: bytes) -> None:
    """Nothing else comes out of decoding, whatever goes in."""
    outcome: object
    try:
        outcome = type(decode(record).document)
    except UndecodableError as error:
        outcome = error.dead_letter.reason
    assert outcome in {dict, "not_json", "not_an_object"}


_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=6), _VALUES, max_size=5), st.booleans())
def test_what_was_decoded_can_be_written_again(document: dict[str, Any], ascii_only: bool) -> None:
    """Whatever JSON object comes in, the same comes out, integers of any size included."""
    record = json.dumps(document, ensure_ascii=ascii_only).encode()

    assert document == json.loads(encode_document(decode(record).document))


@st.composite
def _spelled(draw: st.DrawFn, parts: list[str], value: object) -> dict[str, Any]:
    """Spell one field in any of its layouts."""
    if not parts:
        raise ValueError("a field has a name")
    taken = draw(st.integers(1, len(parts)))
    rest = parts[taken:]
    inner: Any = draw(_spelled(rest, value)) if rest else value
    if draw(st.booleans()):
        inner = [inner]
    return {".".join(parts[:taken]): inner}


@settings(deadline=None)
@given(st.data(), st.lists(st.sampled_from("xyz"), min_size=1, max_size=4), st.integers(1, 4))
def test_layout_does_not_matter(data: st.DataObject, values: list[str], depth: int) -> None:
    """Any mixture of layouts of a field holds the same values, in some order."""
    parts = [f"k{n}" for n in range(depth)]
    spelled = [data.draw(_spelled(parts, value)) for value in values]
    pairs = ",".join(json.dumps(one)[1:-1] for one in spelled)

    assert Counter(values) == Counter(decode(f"{{{pairs}}}".encode()).values(".".join(parts)))


_KEYS = st.sampled_from(("a", "b", "a.b", "b.a", "a.b.a"))
_LEAVES = st.sampled_from(("x", "", 0, -7, True, None, Raw(b"1.50")))
_NODES = st.recursive(
    _LEAVES, lambda node: st.dictionaries(_KEYS, node, max_size=3) | st.lists(node, max_size=3), max_leaves=8
)


@given(st.dictionaries(_KEYS, _NODES, max_size=4), st.sampled_from(("a", "a.b", "b.a", "a.b.a", "b.a.b.a")))
@settings(max_examples=500, deadline=None)
def test_values_are_the_texts_of_the_leaves(document: dict[str, Any], field: str) -> None:
    """Whatever way is taken to them: the short one, for fields that stand nested alone, differs in nothing."""
    found = ProcessEvent(document)
    scalars = [leaf for leaf in found.leaves(field) if leaf is not None and not isinstance(leaf, dict)]

    assert tuple(map(text_of, scalars)) == found.values(field)


def test_event_can_be_made_of_a_document() -> None:
    """A decoded object is enough to ask for fields; it has no flags then."""
    found = ProcessEvent({"a.b": True})

    assert "true" == found.first("a.b")
    assert () == found.flags

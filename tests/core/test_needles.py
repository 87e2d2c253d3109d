"""Needles: derived from queries, found in bytes, and never missing a match."""

from __future__ import annotations

import json
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import needles as module
from app.core.kql import Equals, Query, compile_query, parse
from app.core.needles import Needles, needles_of
from tests.core.queries import EXIM4_CHILD, Event, Number, Scalar, event_for, holds, queries, text_of

EXIM4 = Needles(frozenset({"exim4"}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (EXIM4_CHILD, {"exim4"}),
        ("process.name:sshd", {"sshd"}),
        ('process.args:"a b/long-er_run.x c"', {"long-er_run.x"}),
        ("process.args:/one/two", {"one"}),
        ("process.name:ex?m4abc", {"m4abc"}),
        ("process.name:exim4é", {"exim4"}),
        ("process.name:*exim*4.conf", {"4.conf"}),
        ("process.name:\\\\*exim4*", {"exim4"}),
        ("process.name:true", {"true"}),
        ("f:(exim4 or sendmail)", {"exim4", "sendmail"}),
        ("f:exim4 or g:exim4", {"exim4"}),
        ("f:exim4 and g:sendmail", {"sendmail"}),
        ("f:(exim4 or sendmail) and g:abcde", {"abcde"}),
        ("f:(aaaaa or bbbbb) and g:exim4", {"exim4"}),
        ("f:bbbbb and g:aaaaa", {"aaaaa"}),
        ("f:exim4 and g:*", {"exim4"}),
        ("f:exim4 and not g:longer-name", {"exim4"}),
        ("event.action:a-very-long-action and f:exim4", {"exim4"}),
        ("event.action:exec and event.type:start", {"start"}),
        ("(event.action:longest-of-all or f:exim4) and g:abc", {"abc"}),
        ("not not f:exim4", {"exim4"}),
        ("not (not f:exim4 or not g:abc)", {"exim4"}),
        ("not (not f:exim4 and not g:abc)", {"abc", "exim4"}),
        ("f:10.0.0.1", {"10.0.0.1"}),
    ],
)
def test_needles_are_what_every_match_must_contain(text: str, expected: set[str]) -> None:
    """The longest safe run of a value; the most selective of clauses that all hold; all of alternatives."""
    assert frozenset(expected) == needles_of(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "f:*",
        "not f:exim4",
        "not f:exim4*",
        "not f:*",
        "f:sh",
        'f:""',
        "f:a/b/cd",
        "f:éèê",
        "f:1000",
        "f:1e21",
        "f:1234e+25",
        'f:"1000 x"',
        "f:1234e*",
        "f:*1000",
        "f:*nfin*",
        "f:nan*",
        "f:exim4 or g:*",
        "f:exim4 or not g:exim4",
        "f:exim4 or g:sh",
        "not (f:exim4 and not g:exim4)",
        "not (not f:exim4 and g:exim4)",
    ],
)
def test_no_needle_where_a_match_needs_none(text: str) -> None:
    """Negations, bare existence, numbers, short values and alternatives without a needle give none."""
    assert needles_of(parse(text)) is None


def test_needles_of_several_rules_are_joined() -> None:
    """A needle that contains another is dropped, since the shorter one finds all that it would."""
    queries = [("one", parse("f:exim4")), ("two", parse("f:(sendmail or exim4-daemon)"))]

    assert Needles(frozenset({"exim4", "sendmail"})) == Needles.of(iter(queries))
    assert Needles.of(queries).reason is None


def test_one_rule_without_a_needle_lets_everything_through() -> None:
    """The reason names that rule, so that a warning can."""
    needles = Needles.of([("good", parse("f:exim4")), ("wide", parse("not f:exim4")), ("wider", parse("f:*"))])

    assert frozenset() == needles.literals
    assert "the query of wide has no literal that every match must contain" == needles.reason
    assert needles.is_candidate(b"{}")
    assert 1 == needles.first_hit(b"{}", 1, 2)
    assert -1 == needles.first_hit(b"{}", 2, 2)


def test_everything_is_let_through_on_request() -> None:
    """The sieve can be switched off without a rule's fault, and says so."""
    assert Needles.all("the sieve is off").is_candidate(b"")
    assert Needles.all().reason


def test_no_rules_need_no_records() -> None:
    """Without queries nothing can match, so nothing is a candidate, not even an escape."""
    assert not Needles.of([]).is_candidate(rb'{"f":"\u0065xim4"}')
    assert -1 == Needles.of([]).first_hit(rb'{"f":"\u0065xim4"}', 0, 18)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b'{"process":{"parent":{"name":"exim4"}}}', True),
        (b'{"args":"/usr/sbin/exim4 -qG"}', True),
        (rb'{"name":"\u0065xim4"}', True),
        (rb'{"name":"\u0065\u0078\u0069\u006d\u0034"}', True),
        (rb'{"name":"exi\u006D4"}', True),
        (b'{"name":"bash"}', False),
        (b'{"name":"Exim4"}', False),
        (rb'{"name":"\u00\u0065xim4"}', True),
        (rb'{"name":"b\u0061sh"}', False),
        (rb'{"name":"\u003cexim\u003e"}', False),
        (rb'{"name":"\u0065xim"}', False),
        (rb'{"name":"\U0065xim4"}', False),
        (rb'{"name":"exim\u00', False),
        (b"", False),
    ],
)
def test_a_candidate_holds_a_needle_in_any_spelling(record: bytes, expected: bool) -> None:
    """Raw, escaped or mixed, hexadecimal digits in any case; other escapes do not make a candidate."""
    assert expected is EXIM4.is_candidate(record)
    assert expected is EXIM4.is_candidate(memoryview(bytearray(record)))


def test_many_foreign_escapes_hide_no_escaped_needle() -> None:
    """Behind a crowd of escapes such as Go writes, the needle's own is still found."""
    crowd = rb"\u003c" * 1000

    assert EXIM4.is_candidate(crowd + rb"e\u0078im4")
    assert not EXIM4.is_candidate(crowd + rb"e\u0079im4")
    assert 6000 == EXIM4.first_hit(crowd + rb"\u0078", 0, 6006)
    assert -1 == EXIM4.first_hit(crowd + rb"\u0078", 0, 6005)


@settings(deadline=None)
@given(
    st.text(),
    st.text(),
    st.sampled_from(["exim4", "a.b", "J_-.z9", "KLMNO"]),
    st.randoms(use_true_random=False),
)
def test_no_spelling_of_a_needle_is_missed(before: str, after: str, needle: str, random: Random) -> None:
    """Whatever stands around it and however each character is written, the record is a candidate."""
    needles = Needles(frozenset({needle, "unrelated"}))
    record = encode({"f": [before + needle + after]}, random)

    assert before + needle + after == json.loads(record)["f"][0]
    assert needles.is_candidate(record)
    assert 0 <= needles.first_hit(record, 0, len(record))


@settings(deadline=None, max_examples=300)  # a fifth of them have a needle and match
@given(queries(), st.randoms(use_true_random=False))
def test_every_match_is_a_candidate(query: Query, random: Random) -> None:
    """The promise: an event that matches is a candidate in every encoding of its JSON."""
    event = event_for(query, random)
    needles = Needles.of([("rule", query)])
    plain = {name: [_plain(value) for value in values] for name, values in event.elements.items()}
    predicate = compile_query(query)

    for record in (
        encode(event.elements, random),
        json.dumps(plain).encode(),
        json.dumps(plain, ensure_ascii=False).encode(),
    ):
        read = json.loads(record, parse_int=Number, parse_float=Number)
        if predicate(Event(read)):
            assert needles.is_candidate(record)
            assert 0 <= needles.first_hit(record, 0, len(record))


@settings(deadline=None)
@given(queries(), st.randoms(use_true_random=False))
def test_every_match_holds_a_derived_literal_in_its_text(query: Query, random: Random) -> None:
    """Derivation alone: some field's text contains one of the literals."""
    event = event_for(query, random)
    literals = needles_of(query)

    if literals is not None and holds(query, event):
        texts = [text for name in event.elements for text in event.values(name)]
        assert any(literal in text for literal in literals for text in texts)


@settings(deadline=None)
@given(queries())
def test_needles_are_plain_and_long_enough(query: Query) -> None:
    """Only characters that an encoder can't alter, at least the least length, never a number."""
    for literal in needles_of(query) or ():
        assert re.fullmatch(r"[A-Za-z0-9_.\-]{3,}", literal)
        assert not re.fullmatch(r"[0-9.]+", literal.replace(".", "", 1))


_PARTS = [
    b"exim4",
    b"exim",
    b"4",
    b"sendmail",
    b"send",
    rb"\u0065",
    rb"\u006D",
    rb"\u003c",
    rb"\u00",
    b"x" * 7,
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(_PARTS), max_size=30).map(b"".join), st.integers(0, 40), st.integers(1, 64))
def test_the_first_hit_is_the_first(buffer: bytes, start: int, window: int) -> None:
    """Across windows of any size, the hit is the first raw needle or own escape that is wholly inside."""
    needles = Needles(frozenset({"exim4", "sendmail"}))
    end = max(start, len(buffer) - 3)
    pattern = re.compile(rb"exim4|sendmail|\\u00(?:65|6[dD])")
    found = pattern.search(buffer, start, end)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WINDOW", window)
        assert (found.start() if found else -1) == needles.first_hit(buffer, start, end)
        assert (found.start() if found else -1) == needles.first_hit(memoryview(buffer), start, end)


@pytest.mark.parametrize("spelling", [b"exim4", rb"\u0065", rb"\u006D"])
@pytest.mark.parametrize("window", range(1, 12))
def test_no_hit_is_lost_between_windows(spelling: bytes, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hit over the border of two windows is found, wherever it lies, if all of it is before the end."""
    monkeypatch.setattr(module, "_WINDOW", window)

    for position in range(14):
        buffer = b"." * position + spelling + b"...."
        whole = position + len(spelling)
        assert position == EXIM4.first_hit(buffer, 0, len(buffer))
        assert position == EXIM4.first_hit(buffer, position, whole)
        assert -1 == EXIM4.first_hit(buffer, 0, whole - 1)
        assert -1 == EXIM4.first_hit(buffer, position + 1, len(buffer))


def test_equal_needles_are_equal_values() -> None:
    """Needles can't be changed, and compare by what they look for."""
    assert EXIM4 == Needles.of([("rule", Equals("f", "exim4"))])
    assert hash(EXIM4) == hash(Needles(frozenset({"exim4"})))
    with pytest.raises(AttributeError):
        EXIM4.reason = "changed"  # type: ignore[misc]


def encode(elements: object, random: Random) -> bytes:
    """Write JSON in which each character of a string may be an escape, its digits in either case."""
    if isinstance(elements, dict):
        members = (encode(name, random) + b":" + encode(value, random) for name, value in elements.items())
        return b"{" + b",".join(members) + b"}"
    if isinstance(elements, list):
        return b"[" + b",".join(encode(value, random) for value in elements) + b"]"
    if isinstance(elements, str):
        return b'"' + b"".join(_encode_character(char, random) for char in elements) + b'"'
    return b"null" if elements is None else text_of(elements).encode()  # type: ignore[arg-type]


def _encode_character(char: str, random: Random) -> bytes:
    if random.random() < 0.5:
        return json.dumps(char, ensure_ascii=False)[1:-1].encode()
    units = char.encode("utf-16-be").hex()
    digits = "".join(random.choice((digit, digit.upper())) for digit in units)
    return "".join(f"\\u{digits[at : at + 4]}" for at in range(0, len(digits), 4)).encode()


def _plain(value: Scalar) -> object:
    return json.loads(value.text) if isinstance(value, Number) else value

"""Headers of our records: what is written is read again, and what is malformed says so."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.dead_letter import DeadLetter
from app.core.engine import Route
from app.core.rule import Scope
from app.core.source_format import SOURCE_FORMATS, SourceFormat
from app.runtime.records import (
    FORMAT,
    MAX_DETAIL,
    DeadLetterHeaders,
    MatchHeaders,
    NotADeadLetterError,
    NotAMatchError,
    SourcePosition,
    cut_headers,
    dead_letter_headers,
    match_headers,
    read_dead_letter_headers,
    read_match_headers,
)

SOURCE = SourcePosition("process-events", 3, 42, 1_767_614_400_123)
ROUTE = Route("host", b"mail01")
HEADERS = dict(match_headers(ROUTE, SOURCE))

_TOPICS = st.text(alphabet="abcXYZ019._-", min_size=1, max_size=249)
_SCOPES: st.SearchStrategy[Scope] = st.sampled_from(("host", "fleet"))
_TIMES = st.none() | st.integers(-1, 2**63 - 1)


@settings(deadline=None)
@given(
    st.builds(Route, _SCOPES, st.binary(max_size=40)),
    st.builds(SourcePosition, _TOPICS, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), _TIMES),
    st.sampled_from(SOURCE_FORMATS),
)
def test_headers_of_a_match_are_read_again(route: Route, source: SourcePosition, source_format: SourceFormat) -> None:
    """Route, source position and source format survive, with the record's key."""
    headers = match_headers(route, source, source_format)

    assert MatchHeaders(route, source, source_format) == read_match_headers(route.key, headers)


def test_only_a_wrapped_event_says_how_it_is_read() -> None:
    """Of others the headers are those that older workers write, and read."""
    named = dict(match_headers(ROUTE, SOURCE, "message"))

    assert b"message" == named.pop("eximwatch.source.format")
    assert HEADERS == named == dict(match_headers(ROUTE, SOURCE, "ecs"))


def test_headers_of_a_match_name_no_rule() -> None:
    """Format, scope and source position; rules are evaluated again by whoever reads."""
    assert {
        "eximwatch.format": b"1",
        "eximwatch.scope": b"host",
        "eximwatch.source.topic": b"process-events",
        "eximwatch.source.partition": b"3",
        "eximwatch.source.offset": b"42",
        "eximwatch.source.timestamp": b"1767614400123",
    } == HEADERS


def test_next_format_and_unknown_headers_are_read() -> None:
    """A newer writer may add headers; the next format is understood, tracing headers are left alone."""
    headers = {**HEADERS, "eximwatch.format": b"2", "traceparent": b"\xff", "eximwatch.later": b"x"}

    assert MatchHeaders(ROUTE, SOURCE) == read_match_headers(b"mail01", headers.items())


@pytest.mark.parametrize("name", sorted(set(HEADERS) - {"eximwatch.source.timestamp"}))
def test_missing_header_is_named(name: str) -> None:
    """Without one of them the record is not a match of ours."""
    headers = [(key, value) for key, value in HEADERS.items() if key != name]

    with pytest.raises(NotAMatchError, match=f"the header {re.escape(name)} is missing"):
        read_match_headers(b"mail01", headers)


def test_source_without_a_time_is_read() -> None:
    """The source record's time is the one header that may lack."""
    headers = [(key, value) for key, value in HEADERS.items() if key != "eximwatch.source.timestamp"]

    assert read_match_headers(b"mail01", headers).source.timestamp is None


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"eximwatch.format": b"3"}, b"k", "format 3 is not known here, only 1 to 2"),
        ({"eximwatch.format": b"0"}, b"k", "format 0 is not known here"),
        ({"eximwatch.format": b"one"}, b"k", "a header is malformed"),
        ({"eximwatch.format": b""}, b"k", "a header is malformed"),
        ({"eximwatch.format": None}, b"k", "the header eximwatch.format is missing"),
        ({"eximwatch.source.offset": b"\xff"}, b"k", "a header is malformed"),
        ({"eximwatch.source.partition": b"1.5"}, b"k", "a header is malformed"),
        ({"eximwatch.source.topic": b"\xff"}, b"k", "a header is malformed"),
        ({"eximwatch.source.timestamp": b"noon"}, b"k", "a header is malformed"),
        ({"eximwatch.scope": b"\xc3\xa9"}, b"k", "a header is malformed"),
        ({"eximwatch.scope": b"planet"}, b"k", "scope 'planet' with a key leads nowhere"),
        ({"eximwatch.scope": b""}, b"k", "scope '' with a key leads nowhere"),
        ({}, None, "scope 'host' with no key leads nowhere"),
        ({"eximwatch.source.format": b"xml"}, b"k", "the source format 'xml' is not known here"),
        ({"eximwatch.source.format": b"\xff"}, b"k", "a header is malformed"),
    ],
)
def test_malformed_headers_are_not_a_match(changes: dict[str, bytes], key: bytes | None, message: str) -> None:
    """Whatever else stands in the topic is told apart, in one line."""
    with pytest.raises(NotAMatchError, match=re.escape(message)) as caught:
        read_match_headers(key, {**HEADERS, **changes}.items())
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(HEADERS)), st.binary(max_size=6)), st.none() | st.binary(max_size=3))
def test_any_headers_are_a_match_or_not(changes: dict[str, bytes], key: bytes | None) -> None:
    """No bytes of a header provoke another error."""
    try:
        found = read_match_headers(key, {**HEADERS, **changes}.items())
    except NotAMatchError:
        return
    assert key == found.route.key


def test_position_has_nanoseconds_and_a_shown_form() -> None:
    """Kafka's milliseconds become the core's nanoseconds; an alert shows the position alone."""
    assert 1_767_614_400_123_000_000 == SOURCE.nanoseconds
    assert SourcePosition("t", 0, 0, None).nanoseconds is None
    assert {"topic": "process-events", "partition": 3, "offset": 42} == SOURCE.shown()


def test_headers_of_a_dead_letter_say_why_and_where() -> None:
    """Reason, detail, source position and, where one rule failed, its id."""
    headers = dead_letter_headers(DeadLetter("missing_term_field", "host.id has no value", "child"), SOURCE)
    whole = dead_letter_headers(DeadLetter("not_json", "x" * 5000), SourcePosition("t", 0, 1, None))

    assert {
        "eximwatch.format": str(FORMAT).encode(),
        "eximwatch.reason": b"missing_term_field",
        "eximwatch.detail": b"host.id has no value",
        "eximwatch.source.topic": b"process-events",
        "eximwatch.source.partition": b"3",
        "eximwatch.source.offset": b"42",
        "eximwatch.source.timestamp": b"1767614400123",
        "eximwatch.rule": b"child",
    } == dict(headers)
    assert not {"eximwatch.rule", "eximwatch.source.timestamp"} & set(dict(whole))
    assert b"x" * MAX_DETAIL == dict(whole)["eximwatch.detail"]
    cut = dict(dead_letter_headers(DeadLetter("not_json", "é" * MAX_DETAIL + "x"), SOURCE))["eximwatch.detail"]
    assert "é" * (MAX_DETAIL // 2) == cut.decode()
    odd = dict(dead_letter_headers(DeadLetter("not_json", "x" + "é" * MAX_DETAIL), SOURCE))["eximwatch.detail"]
    assert MAX_DETAIL - 1 == len(odd)


def test_headers_of_a_cut_say_what_is_missing() -> None:
    """A dead letter that was cut carries the record's whole length and its SHA-256."""
    assert {"eximwatch.cut.length": b"70000", "eximwatch.cut.sha256": b"ab"} == dict(cut_headers(70_000, "ab"))


_LETTER = DeadLetter("missing_term_field", "host.id has no value \x1b é", "child")


@pytest.mark.parametrize(
    ("letter", "source", "cut"),
    [
        (_LETTER, SOURCE, None),
        (DeadLetter("not_json", ""), SourcePosition("t", 0, 1, None), None),
        (DeadLetter("too_large", "x"), SOURCE, (70_000, "ab" * 32)),
    ],
)
def test_headers_of_a_dead_letter_are_read_again(
    letter: DeadLetter, source: SourcePosition, cut: tuple[int, str] | None
) -> None:
    """Reason, detail, rule, source position and what was cut survive; the next format and other headers are read."""
    headers = dead_letter_headers(letter, source) + (cut_headers(*cut) if cut else [])
    later = {**dict(headers), "eximwatch.format": b"2", "traceparent": b"\xff"}

    expected = DeadLetterHeaders(letter.reason, letter.detail, source, letter.rule_id, cut)
    assert expected == read_dead_letter_headers(headers)
    assert expected == read_dead_letter_headers(later.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eximwatch.format": b"3"}, "format 3 is not known here, only 1 to 2"),
        ({"eximwatch.reason": None}, "the header eximwatch.reason is missing"),
        ({"eximwatch.detail": None}, "the header eximwatch.detail is missing"),
        ({"eximwatch.source.offset": b"x"}, "a header is malformed"),
        ({"eximwatch.rule": b"\xff"}, "a header is malformed"),
        ({"eximwatch.cut.length": b"5"}, "the header eximwatch.cut.sha256 is missing"),
    ],
)
def test_malformed_headers_are_no_dead_letter(changes: dict[str, bytes | None], message: str) -> None:
    """What another wrote into the topic is told apart."""
    headers = {**dict(dead_letter_headers(_LETTER, SOURCE)), **changes}

    with pytest.raises(NotADeadLetterError, match=re.escape(message)):
        read_dead_letter_headers(headers.items())


def test_detail_that_is_no_text_is_read() -> None:
    """It is for people only."""
    headers = {**dict(dead_letter_headers(_LETTER, SOURCE)), "eximwatch.detail": b"a\xff"}

    assert "a\ufffd" == read_dead_letter_headers(headers.items()).detail

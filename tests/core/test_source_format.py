"""Events that a record wraps: read as the same events by themselves, and never passed over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.alert import Maker
from app.core.duration import DAY, SECOND
from app.core.engine import Arrival, Engine, Examination, Standards
from app.core.event import MAX_DEPTH, UndecodableError, decode
from app.core.needles import Needles
from app.core.source_format import read_event, seems_wrapped
from app.runtime.rules import load_rules
from app.runtime.settings import PACKAGED_RULES
from app.tools.history import History
from tests.event_strategies import NOW, Literal, Node, Spelling, records
from tests.events import event as sample
from tests.events import raw as raw_of

STANDARDS = Standards(Maker("1.2.3", 1_000_000), 28 * DAY, 300 * SECOND)
PLAIN = Engine(load_rules([PACKAGED_RULES]), STANDARDS)
WRAPPED = PLAIN.reading("message")
RECORDINGS = Path(__file__).parents[1] / "recordings" / "events.ndjson"

_ESCAPED = ("", "", "\\", "u", "0", "exim4", "m", '{"', "0123456789abcdefABCDEF", "\\u0123456789abcdef", "é\x7f")
SPELLINGS = st.builds(
    Spelling, escaped=st.sampled_from(_ESCAPED), capitals=st.booleans(), space=st.sampled_from(("", " ", "\r\n\t"))
)


def wrapped(raw: bytes, spelling: Spelling = Spelling(), **others: Any) -> bytes:  # noqa: B008 — it is frozen
    """A record as Logstash makes one of a line that it does not parse."""
    text = raw.decode("utf-8", "surrogateescape")
    around = {"@timestamp": "2001-01-01T00:00:00Z", "@version": "1", "process": {"name": "logstash"}} | others
    members = [(name, Literal(json.dumps(value))) for name, value in around.items()]
    return spelling.write(Node([*members[:1], ("message", text), *members[1:]]))


def reasons(examination: Examination) -> list[str]:
    """Why it could not be judged."""
    return [letter.reason for letter in examination.dead_letters]


def alerts(engine: Engine, raws: list[bytes]) -> Iterator[dict[str, Any]]:
    """The alerts of a history, without what is made of the records' bytes."""
    history = History(engine)
    for number, raw in enumerate(raws):
        if not engine.needles.is_candidate(raw):
            continue
        examination = engine.examine(raw, NOW)
        for route in examination.routes():
            for judged in history.judge(raw, examination, route, Arrival(0, number, NOW, {}), NOW):
                assert isinstance(judged, tuple), judged
                if judged[2].alert is not None:
                    alert = msgspec.json.decode(judged[2].alert.value)
                    del alert["kibana.alert.uuid"], alert["detector"]["record_sha256"]
                    if not examination.event or not examination.event.first("event.id"):
                        del alert["kibana.alert.ancestors"]
                    yield alert


@settings(max_examples=1000, deadline=None)
@given(raw=records(), spelling=SPELLINGS)
def test_a_wrapped_event_is_read_as_the_event_itself(raw: bytes, spelling: Spelling) -> None:
    """Same document and flags, matches, terms and clock, and same faults, whatever is escaped at either level."""
    record = wrapped(raw, spelling)
    plain, found = PLAIN.examine(raw, NOW), WRAPPED.examine(record, NOW)

    if plain.event is None:
        assert [reason if reason != "not_an_object" else "not_wrapped" for reason in reasons(plain)] == reasons(
            found
        ) or (
            ["not_wrapped"] == reasons(found)
            and not raw.decode("utf-8", "replace").lstrip("\ufeff \t\r\n").startswith("{")
        )
        return
    assert found.event is not None
    assert msgspec.json.encode(plain.event.document) == msgspec.json.encode(found.event.document)
    assert plain.event.flags == found.event.flags
    assert (plain.clock, plain.matches, plain.dead_letters) == (found.clock, found.matches, found.dead_letters)
    assert (plain.is_member, plain.host, plain.routes()) == (found.is_member, found.host, found.routes())


@settings(max_examples=1000, deadline=None)
@given(raw=records(), spelling=SPELLINGS)
def test_no_candidate_is_lost_by_wrapping(raw: bytes, spelling: Spelling) -> None:
    """Where the event is a candidate its wrapped form is one, and the sieve's search hits in it."""
    record = wrapped(raw, spelling)

    if PLAIN.needles.is_candidate(raw):
        assert WRAPPED.needles.is_candidate(record)
        assert 0 <= WRAPPED.needles.first_hit(record, 0, len(record))


@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_a_needle_is_found_in_every_spelling(data: st.DataObject) -> None:
    """Each of its characters may be escaped in the event, each of that escape's in the record, or not."""
    needles = Needles(frozenset({"exim4", "a_B-9."}), wrapped=True)
    needle = data.draw(st.sampled_from(sorted(needles.literals)))
    inner = _spelled(data, needle)
    outer = _spelled(data, inner).encode()

    assert needle == json.loads('"' + json.loads(b'"' + outer + b'"') + '"')
    assert needles.is_candidate(outer)
    assert 0 <= needles.first_hit(outer, 0, len(outer))


def _spelled(data: st.DataObject, text: str) -> str:
    """A string's JSON without its quotes, each character as it must be or as an escape."""
    forms = data.draw(st.lists(st.integers(0, 2), min_size=len(text), max_size=len(text)))
    ways = ((json.dumps(c)[1:-1], f"\\u{ord(c):04x}", f"\\u{ord(c):04X}") for c in text)
    return "".join(way[form] for way, form in zip(ways, forms, strict=True))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (rb'{"message":"{\"a\":\"exi\\u006d4\"}"}', True),
        (rb'{"message":"{\"a\":\"exi\\\u00750\u00306d4\"}"}', True),
        (rb'{"message":"{\"a\":\"exi\u005c\u0075\u0030\u0030\u0036\u00644\"}"}', True),
        (rb'{"message":"{\"a\":\"exi\u005Cu006D4\"}"}', True),
        (rb'{"message":"{\"a\":\"exi\u006d4\"}"}', True),
        (rb'{"message":"{\"a\":\"exi\\u006e4\"}"}', False),
        (rb'{"message":"{\"a\":\"exi\\\\u006d4\"}"}', False),
        (rb'{"message":"{\"a\":\"\\u003cexim\\u003e\"}"}', False),
        (b'{"message":"{}"}', False),
    ],
)
def test_candidates_among_wrapped_events(record: bytes, expected: bool) -> None:
    """An escape may itself be escaped; an escaped backslash and what looks like an escape after it is none."""
    assert expected is Needles(frozenset({"exim4"}), wrapped=True).is_candidate(record)


def test_without_needles_nothing_is_a_candidate() -> None:
    """Also of wrapped events, whatever they are spelled with."""
    assert -1 == Needles(frozenset(), wrapped=True).first_hit(rb"\u0030\u005c", 0, 12)


def test_a_recorded_attack_alerts_alike() -> None:
    """All alerts of the recording, in order, equal but for what is made of the records' bytes."""
    raws = RECORDINGS.read_bytes().splitlines()
    expected = list(alerts(PLAIN, raws))

    assert len(expected) == 20
    assert expected == list(alerts(WRAPPED, [wrapped(raw) for raw in raws]))


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        (b"exim4", "not_json", "Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "not_an_object", "a JSON array at the top, not an object"),
        (b'{"process":{"name":"exim4"}}', "not_wrapped", "it has no field message that could hold an event"),
        (b'{"message":{"process":{}}}', "not_wrapped", "its field message is no text"),
        (b'{"message":null}', "not_wrapped", "its field message is no text"),
        (b'{"message":["{}"]}', "not_wrapped", "its field message stands there twice, or is an array"),
        (b'{"message":"{}","message":"{}"}', "not_wrapped", "its field message stands there twice, or is an array"),
        (b'{"message":"Endpoint process event"}', "not_wrapped", "the text in its field message is no JSON object"),
        (b'{"message":"[{}]"}', "not_wrapped", "the text in its field message is no JSON object"),
        (b'{"message":""}', "not_wrapped", "the text in its field message is no JSON object"),
        (
            b'{"message":"{\\"a\\""}',
            "not_json",
            "the text in its field message: Expecting ':' delimiter: line 1 column 5 (char 4)",
        ),
    ],
)
def test_what_wraps_no_event_is_said(record: bytes, reason: str, detail: str) -> None:
    """A dead letter whose detail tells where the fault lies: around the event, or in it."""
    with pytest.raises(UndecodableError) as caught:
        read_event(record, "message")

    assert (reason, detail) == (caught.value.dead_letter.reason, caught.value.dead_letter.detail)


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1])
def test_nesting_is_bounded_at_either_level(levels: int) -> None:
    """As deep as an event may be, around it and in it; no deeper."""
    deep = b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
    around = b'{"message":"{}","a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
    for record in (wrapped(deep), around):
        if levels <= MAX_DEPTH:
            read_event(record, "message")
            continue
        with pytest.raises(UndecodableError) as caught:
            read_event(record, "message")
        assert "too_deep" == caught.value.dead_letter.reason


def test_broken_bytes_around_and_in_an_event_are_flagged() -> None:
    """Both kinds of mending; a repeated key around the event mends nothing of it."""
    twice = wrapped(b'{"a":1,"a":2}')
    broken = twice.replace(b"logstash", b"log\xffstash")
    repeated = twice.replace(b'"@version"', b'"@timestamp"')

    assert ("duplicate_keys", "invalid_encoding") == read_event(broken, "message").flags
    assert {"a": [1, 2]} == read_event(broken, "message").document
    assert ("duplicate_keys",) == read_event(repeated, "message").flags
    assert ("invalid_encoding",) == read_event(wrapped(b'{"a":"\xff"}'), "message").flags
    assert ("invalid_encoding",) == read_event(wrapped(rb'{"a":"\ud800"}'), "message").flags


def test_a_byte_order_mark_and_space_before_the_event_do_no_harm() -> None:
    """As before an event that stands by itself."""
    assert {} == read_event(wrapped(b"\xef\xbb\xbf \t{}\r\n"), "message").document


def test_an_event_keeps_its_own_message() -> None:
    """Elastic Defend's events have one; read as events they are, whatever it says."""
    raw = raw_of(sample() | {"message": '{"process":{"name":"sshd"}}'})

    assert decode(raw).document == read_event(raw, "ecs").document
    assert '{"process":{"name":"sshd"}}' == read_event(wrapped(raw), "message").first("message")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"message":"{\\"process\\":1}","host":{"name":"x"}}', True),
        (b'{"message":" {"}', True),
        (b'{"message":"{}","process":{"name":"sh"}}', False),
        (b'{"message":"{}","process.name":"sh"}', False),
        (b'{"message":"Endpoint process event"}', False),
        (b'{"message":["{}"]}', False),
        (b"{}", False),
    ],
)
def test_records_that_seem_to_wrap_an_event_can_be_told(raw: bytes, expected: bool) -> None:
    """By an object's text in `message` and no process: enough for a warning, not to read it so."""
    assert expected is seems_wrapped(decode(raw))


def test_a_record_may_say_how_it_is_read() -> None:
    """What is known of a record itself goes before the engine's setting."""
    raw = raw_of(sample())

    assert [] == reasons(WRAPPED.examine(raw, NOW, "ecs"))
    assert ["not_wrapped"] == reasons(WRAPPED.examine(raw, NOW))
    assert WRAPPED is WRAPPED.reading("message")

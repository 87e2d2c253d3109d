"""The alert: what it says, what it leaves out, what it is called, and how large it may be."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.alert import (
    MIN_ALERT_BYTES,
    Alert,
    Maker,
    Occurrence,
    alert_id,
    build_alert,
    build_body,
    reason,
    room_for_body,
    shown,
)
from app.core.baseline import Baseline
from app.core.clock import Clock
from app.core.document import encode_document
from app.core.duration import SECOND, parse_duration
from app.core.event import JsonObject, decode
from app.core.evidence import Evidence, gather
from app.core.lineage import Lineage, Link, Origin, Relation, trace
from app.core.new_terms import Assessment, Sighting, TermRecord, Verdict, encode_term, terms_of
from app.core.process import MAX_ANCESTORS, MAX_ARGS_TEXT, MAX_TEXT, Image, Process
from app.core.rule import Rule
from tests.core.rules import RULE_FILE, rule
from tests.events import ABSENT, TIME, event, raw

NOON = 1_767_614_400 * SECOND  # 2026-01-05T12:00:00Z
RULE = rule()
MAKER = Maker("1.2.3", MIN_ALERT_BYTES)
SOURCE: JsonObject = {"topic": "process-events", "partition": 3, "offset": 42}
UNKNOWN = Assessment(Verdict.NEW, TermRecord(NOON, NOON, 1, NOON, 1, 0), None)


def seen(ago: str) -> Assessment:
    """Make the assessment of a term that was last seen that long ago."""
    last = NOON - parse_duration(ago)
    return Assessment(Verdict.NEW, UNKNOWN.record, TermRecord(last - SECOND, last, 12, NOON, 1, 0))


def occurrence(record: bytes, clock: Clock | None = None, source: JsonObject = SOURCE) -> Occurrence:
    """Make the occurrence of a record."""
    clock = clock or Clock(NOON, "@timestamp")
    return Occurrence(decode(record), hashlib.sha256(record).hexdigest(), clock, source)


def grounds(found: Occurrence, baseline: Baseline | None = None) -> Evidence:
    """Make the evidence that an occurrence brings by itself."""
    sighting = Sighting(found.clock.time, 1, 0, NOON)
    return gather(RULE.query, found.event, sighting, trace(found.event, found.clock.time), baseline)


def alert(
    record: bytes,
    assessment: Assessment = UNKNOWN,
    *,
    of: Rule = RULE,
    clock: Clock | None = None,
    source: JsonObject = SOURCE,
    made_at: int = NOON,
    maker: Maker = MAKER,
    baseline: Baseline | None = None,
) -> Alert:
    """Build the alert of a record's first term."""
    found = occurrence(record, clock, source)
    term = terms_of(found.event, of.fields).terms[0]
    body = build_body(found.event, room_for_body(of, maker))
    return build_alert(of, term, body, found, assessment, grounds(found, baseline), made_at, maker)


def document(record: bytes, assessment: Assessment = UNKNOWN, **options: Any) -> JsonObject:
    """Read the alert of a record again."""
    read: JsonObject = json.loads(alert(record, assessment, **options).value)
    return read


def test_alert_describes_its_rule() -> None:
    """Everything of the rule that Kibana shows stands under `kibana.alert.rule`, dotted."""
    found = document(raw(event()))
    expected = {
        "rule_id": "child",
        "name": "A child of exim4",
        "version": 3,
        "category": "New Terms Rule",
        "rule_type_id": "siem.newTermsRule",
        "type": "new_terms",
        "severity": "low",
        "risk_score": 21,
        "description": "exim4 started a program.",
        "references": ["CVE-2019-10149"],
        "tags": ["OS: Linux"],
        "false_positives": ["Maintenance."],
        "note": "## Triage\n\n- Which program?\n- Which user?\n\n## Response\n\n- Isolate the host.",
        "parameters": {
            "language": "kuery",
            "query": "process.parent.name:exim4 and not process.name:grep",
            "new_terms_fields": ["host.id", "process.name"],
            "history_window_start": "now-14d",
        },
        "threat": [
            {
                "framework": "MITRE ATT&CK",
                "tactic": {"id": "TA0003", "name": "Persistence", "reference": "TA0003 page"},
                "technique": [
                    {
                        "id": "T1037",
                        "name": "Initialization Scripts",
                        "reference": "T1037 page",
                        "subtechnique": [{"id": "T1037.004", "name": "RC Scripts", "reference": "T1037.004 page"}],
                    },
                    {"id": "T1554", "name": "Compromise Host Software Binary", "reference": "T1554 page"},
                ],
            }
        ],
    }

    assert expected == {
        key.removeprefix("kibana.alert.rule."): value
        for key, value in found.items()
        if key.startswith("kibana.alert.rule.")
    }


def test_alert_has_the_fields_of_a_signal() -> None:
    """Severity, status, time, term and origin stand under `kibana.alert`; `event.kind` says signal."""
    record = raw(event())
    found = document(record)
    expected = {
        "kibana.alert.uuid": alert(record).id,
        "kibana.alert.severity": "low",
        "kibana.alert.risk_score": 21,
        "kibana.alert.status": "active",
        "kibana.alert.workflow_status": "open",
        "kibana.alert.depth": 1,
        "kibana.alert.original_time": TIME,
        "kibana.alert.new_terms": ["mail01", "sh"],
        "kibana.alert.ancestors": [
            {
                "id": "NP7QDF1Mn0XpDdgN+++++0d5",
                "type": "event",
                "index": "logs-endpoint.events.process-default",
                "depth": 0,
            }
        ],
        "@timestamp": "2026-01-05T12:00:00.000Z",
    }

    assert expected == {key: found[key] for key in expected}
    assert "signal" == found["event"]["kind"]
    assert b"mail01" == alert(record).key


def test_source_fields_are_kept() -> None:
    """The event's own fields stand in the alert as they came, but for `@timestamp` and `event.kind`."""
    source = event()
    found = document(raw(source))

    for key in ("agent", "data_stream", "ecs", "host", "process", "user"):
        assert source[key] == found[key]
    assert {**source["event"], "kind": "signal"} == found["event"]


def test_original_event_and_data_stream_are_copied() -> None:
    """What the alert overwrites can be read under `kibana.alert.original_…`, dotted."""
    found = document(raw(event(event__outcome={"a": {"b": 1}})))

    assert "event" == found["kibana.alert.original_event.kind"]
    assert ["fork", "exec", "end"] == found["kibana.alert.original_event.action"]
    assert 1 == found["kibana.alert.original_event.outcome.a.b"]
    assert "logs" == found["kibana.alert.original_data_stream.type"]
    assert "endpoint.events.process" == found["kibana.alert.original_data_stream.dataset"]
    assert "default" == found["kibana.alert.original_data_stream.namespace"]


@pytest.mark.parametrize(
    "record",
    [
        b'{"event.action":["exec"],"event":{"id":"1"},"host.id":"h","process":{"name":"sh"}}',
        b'{"event":[{"action":"exec"},{"id":"1"}],"host":{"id":"h"},"process.name":"sh"}',
        b'{"event":{"action":["exec"]},"event":{"id":"1"},"host":[{"id":"h"}],"process":{"name":"sh"}}',
    ],
)
def test_source_fields_come_out_nested(record: bytes) -> None:
    """Whatever layout came in, dotted, mixed or repeated: one object for `event` goes out."""
    found = document(record)

    assert "signal" == found["event"]["kind"]
    assert found["event"]["action"] in ("exec", ["exec"])
    assert "1" == found["event"]["id"]
    assert "1" == found["kibana.alert.original_event.id"]
    assert not [key for key in found if "." in key and not key.startswith("kibana.alert.")]


FORGERIES = [
    {"kibana": {"alert": {"uuid": "forged"}}},
    {"kibana.alert.uuid": "forged"},
    {"kibana.alert": {"rule.name": "forged"}},
    {"kibana": [{"alert.status": "forged"}]},
    {"kibana": "forged"},
    {"kibana..alert": "forged"},
    {"kibana.alert." + ".".join("a" * 30): "forged"},
    {"kibana.alert.original_event.action": "forged"},
    {"signal": {"rule": {"name": "forged"}}},
    {"signal.rule.name": "forged"},
    {"detector": {"term": "forged"}},
    {"detector.source.topic": "forged"},
    {"@metadata": {"pipeline": "forged"}},
    {"@metadata.pipeline": "forged"},
]


@pytest.mark.parametrize("forged", FORGERIES)
def test_forged_fields_are_stripped(forged: dict[str, Any]) -> None:
    """Names that would pass as ours or as a shipper's are left out, nested, dotted and mixed."""
    honest, forger = raw(event()), raw({**forged, **event(), **forged})
    expected = document(honest)
    found = json.loads(alert(forger).value.replace(_sha(forger), _sha(honest)))
    found["kibana.alert.uuid"] = expected["kibana.alert.uuid"]

    assert expected == found
    assert b"forged" not in alert(forger).value


def test_forged_key_that_stands_twice_is_stripped() -> None:
    """A repeated key hides nothing."""
    record = b'{"kibana":{"a":"forged"},"kibana":{"b":"forged"},' + raw(event())[1:]

    assert b"forged" not in alert(record).value
    assert ["duplicate_keys"] == document(record)["detector"]["flags"]


def test_forged_kind_is_overwritten() -> None:
    """`event.kind` is ours in every layout."""
    for forged in ({"event.kind": "forged"}, {"event": {"kind": {"x": 1}}}, {"event": [{"kind": "forged"}]}):
        found = document(raw({**event(), **forged}))
        assert "signal" == found["event"]["kind"]


def test_fields_of_ours_say_how_it_was_judged() -> None:
    """`detector` holds term, times, window, clock, origin, version and rule digest; no more than there is."""
    record = raw(event())

    assert {
        "engine": {"name": "eximwatch", "version": "1.2.3"},
        "rule_sha256": hashlib.sha256(RULE_FILE.encode()).hexdigest(),
        "scope": "host",
        "term": {"host.id": "mail01", "process.name": "sh"},
        "history_window": "14d",
        "clock": {"time": "2026-01-05T12:00:00.000Z", "source": "@timestamp"},
        "record_sha256": hashlib.sha256(record).hexdigest(),
        "source": SOURCE,
        "lineage": {
            "relation": "child",
            "depth": 1,
            "complete": True,
            "processes": [
                {"origin": "event", "name": "exim4", "executable": "/usr/sbin/exim4"},
                {
                    "origin": "event",
                    "entity_id": "ZW50aXR5",
                    "name": "sh",
                    "executable": "/usr/bin/sh",
                    "args": ["sh", "-c", "id"],
                    "pid": 4711,
                    "user": {"id": "105", "name": "Debian-exim"},
                },
            ],
        },
        "baseline": {},
        "clauses": [
            {
                "clause": "process.parent.name:exim4",
                "result": True,
                "values": {"process.parent.name": ["exim4"]},
            },
            {"clause": "not process.name:grep", "result": True, "values": {"process.name": ["sh"]}},
        ],
        "assessment": {
            "level": "medium",
            "score": 30,
            "reasons": [
                {"code": "interpreter", "points": 20, "detail": "sh is a shell"},
                {"code": "inline_code", "points": 10, "detail": "it is told to run: id"},
            ],
        },
    } == document(record)["detector"]


def test_fields_of_ours_tell_what_was_seen_before() -> None:
    """A term that came back carries when it was first and last seen, and how often."""
    found = document(raw(event()), seen("16d"))["detector"]["baseline"]

    assert {
        "term": {
            "first_seen": "2025-12-20T11:59:59.000Z",
            "last_seen": "2025-12-20T12:00:00.000Z",
            "count": 12,
        }
    } == found


def test_fields_of_ours_tell_what_was_bounded_and_mended() -> None:
    """Which clock was used, what was passed over, where it was bounded from, and what decoding mended."""
    clock = Clock(NOON, "@timestamp", ("event.ingested",), NOON + 1)
    found = document(raw(event(process__args=["X"])).replace(b'"X"', b'"\xff"'), clock=clock)

    assert {
        "time": "2026-01-05T12:00:00.000Z",
        "source": "@timestamp",
        "passed_over": ["event.ingested"],
        "bounded_from": "2026-01-05T12:00:00.000000001Z",
    } == found["detector"]["clock"]
    assert ["invalid_encoding"] == found["detector"]["flags"]
    assert ["\ufffd"] == found["process"]["args"]


@pytest.mark.parametrize(
    ("time", "expected"),
    [("never", "2026-01-05T12:00:00.000Z"), (ABSENT, "2026-01-05T12:00:00.000Z"), (["x", TIME], TIME)],
)
def test_original_time_is_the_timestamp_else_the_clock(time: object, expected: str) -> None:
    """The event's `@timestamp` where it can be read, else the clock by which it was judged."""
    assert expected == document(raw(event(time=time)))["kibana.alert.original_time"]


def test_ancestor_without_an_id_is_named_by_its_bytes() -> None:
    """Events without id and data stream have their SHA-256 and no index."""
    record = raw({"host.id": "h", "process.name": "sh"})

    assert [{"id": _sha(record).decode(), "type": "event", "index": "", "depth": 0}] == document(record)[
        "kibana.alert.ancestors"
    ]


@pytest.mark.parametrize(
    ("overrides", "assessment", "expected"),
    [
        (
            {},
            UNKNOWN,
            "exim4 started sh (/usr/bin/sh) as user Debian-exim on host mail01.example.org: first time on this host.",
        ),
        (
            {"process.executable": ABSENT, "user.name": ABSENT, "host.name": ABSENT},
            seen("16d2h"),
            "exim4 started sh as user 105 on host mail01: not seen on this host for 16 d 2 h.",
        ),
        (
            {"user": {"id": 0}, "process.user.name": "root", "process.name": ["dash", "sh"]},
            seen("14d1s"),
            "exim4 started dash (/usr/bin/sh) as user root on host mail01.example.org: not seen on this host for 14 d.",
        ),
        (
            {"process": {"name": "sh"}, "user.id": ABSENT, "user.name": ABSENT},
            UNKNOWN,
            "an unknown parent started sh on host mail01.example.org: first time on this host.",
        ),
    ],
)
def test_reason_names_what_who_where_and_what_was_new(
    overrides: dict[str, object], assessment: Assessment, expected: str
) -> None:
    """Process, parent, user and host, as far as they are there, and what about it is new."""
    assert expected == document(raw(event(**overrides)), assessment)["kibana.alert.reason"]


@pytest.mark.parametrize(
    ("fields", "assessment", "expected"),
    [
        (("process.executable",), UNKNOWN, ": first time in the fleet."),
        (("process.executable",), seen("15d"), ": not seen in the fleet for 15 d."),
        (("host.id", "user.id"), UNKNOWN, ", user.id 105: first time on this host."),
        (("agent.type", "user.id"), UNKNOWN, ", agent.type endpoint, user.id 105: first time in the fleet."),
    ],
)
def test_reason_tells_other_terms_and_the_scope(fields: tuple[str, ...], assessment: Assessment, expected: str) -> None:
    """Values of the term that the sentence would not show are added, and the history it was compared with."""
    of = rule(fields=fields)

    assert document(raw(event()), assessment, of=of)["kibana.alert.reason"].endswith(f"mail01.example.org{expected}")


def test_reason_without_names_is_still_a_sentence() -> None:
    """A rule that asks for none of the usual fields gets what there is."""
    of = rule(fields=("x",))
    found = occurrence(b'{"x":"1"}')

    assert "an unknown parent started a process, x 1: first time in the fleet." == reason(
        of, ("1",), found, UNKNOWN, grounds(found).lineage
    )


@pytest.mark.parametrize(
    ("fields", "overrides", "key"),
    [
        (("host.id", "process.name"), {"host.id": ["mail01", "mail02"]}, b"mail01"),
        (("process.executable",), {}, b"mail01"),
        (("process.executable",), {"host.id": ABSENT}, encode_term(("/usr/bin/sh",))),
        (("process.executable",), {"host.id": ""}, encode_term(("/usr/bin/sh",))),
        (("host.id",), {"host.id": "h" * 2000}, b"sha256:" + hashlib.sha256(b"h" * 2000).hexdigest().encode()),
    ],
)
def test_alert_is_keyed_by_its_host(fields: tuple[str, ...], overrides: dict[str, object], key: bytes) -> None:
    """By the term's host, else the event's; without one by the term, so that equal terms stay together."""
    assert key == alert(raw(event(**overrides)), of=rule(fields=fields)).key


def test_alert_of_a_second_host_is_keyed_by_it() -> None:
    """An event of several hosts has one alert a host, each with the key of its own."""
    found = occurrence(raw(event(host=["a", "b"])))

    body = build_body(found.event, room_for_body(RULE, MAKER))
    assert b"b" == build_alert(RULE, ("b", "sh"), body, found, UNKNOWN, grounds(found), NOON, MAKER).key


def test_alert_id_is_a_hash_of_rule_term_and_bytes() -> None:
    """Equal inputs give equal ids; another rule, term or record another one, whatever the event's id says."""
    digest = "0" * 64
    ids = [
        alert_id("child", ("h", "sh"), digest),
        alert_id("descendant", ("h", "sh"), digest),
        alert_id("child", ("h", "bash"), digest),
        alert_id("child", ("hs", "h"), digest),
        alert_id("child", ("h", "sh"), "1" * 64),
        alert_id("child", ("h",), digest),
    ]

    assert len(ids) == len(set(ids))
    assert ids[0] == alert_id("child", ("h", "sh"), digest)
    assert all(len(one) == 64 and int(one, 16) >= 0 for one in ids)


def test_equal_bytes_give_equal_alerts() -> None:
    """Two runs differ in `@timestamp` and `detector.source` only; ids don't depend on event ids."""
    record = raw(event(event__id=""))
    one = document(record)
    other = document(record, source={"file": "events.ndjson", "line": 7}, made_at=NOON + 5 * SECOND)

    assert ("2026-01-05T12:00:00.000Z", "2026-01-05T12:00:05.000Z") == (one.pop("@timestamp"), other.pop("@timestamp"))
    assert SOURCE == one["detector"].pop("source")
    assert {"file": "events.ndjson", "line": 7} == other["detector"].pop("source")
    assert one == other
    assert one["kibana.alert.uuid"] != document(record + b" ")["kibana.alert.uuid"]


@pytest.mark.parametrize(
    "number", ["1.50", "-0", "-0.0", "1E+400", "0.1e-7", "123456789012345678901234567890", "18446744073709551616"]
)
def test_number_survives_unchanged(number: str) -> None:
    """A number of the source is written again with the digits it came with."""
    record = raw(event(process__exit_code="NUMBER", event__risk="NUMBER")).replace(b'"NUMBER"', number.encode())
    value = alert(record).value

    assert f'"exit_code":{number}'.encode() in value
    assert f'"kibana.alert.original_event.risk":{number}'.encode() in value


def test_number_can_be_the_term() -> None:
    """User ids may be numbers: the term and the reason show their text."""
    found = document(raw(event()), of=rule(fields=("host.id", "user.id")))

    assert ["mail01", "105"] == found["kibana.alert.new_terms"]
    assert {"host.id": "mail01", "user.id": "105"} == found["detector"]["term"]


def test_long_value_of_a_term_is_shortened() -> None:
    """Over 1 KiB the beginning and the SHA-256 stand for it, and the alert says that it was cut."""
    name = "n" * 1025
    found = document(raw(event(name=name)))
    short = f"{'n' * 128}… (sha256:{hashlib.sha256(name.encode()).hexdigest()})"

    assert short == shown(name)
    assert ["mail01", short] == found["kibana.alert.new_terms"]
    assert short == found["detector"]["term"]["process.name"]
    assert short in found["kibana.alert.reason"]
    assert {"detector.term", "kibana.alert.new_terms"} == set(found["detector"]["truncated"])
    assert name == found["process"]["name"]


def test_value_of_a_kilobyte_is_shown_whole() -> None:
    """Exactly 1 KiB is not over-long."""
    assert "n" * 1024 == shown("n" * 1024)
    assert "é" * 512 == shown("é" * 512)
    assert "é" * 513 != shown("é" * 513)


def test_largest_fields_are_cut_first_and_listed() -> None:
    """A long field keeps its beginning, an array goes; what is small stays, and every cut is named."""
    record = raw(event(process__command_line="c" * 200_000, process__args=["a" * 100] * 3000, user__full="f" * 50_000))
    found = document(record)

    assert ["process.args", "process.command_line"] == found["detector"]["truncated"]
    assert "c" * 128 + "…" == found["process"]["command_line"]
    assert "args" not in found["process"]
    assert "f" * 50_000 == found["user"]["full"]
    assert "sh" == found["process"]["name"]
    assert len(alert(record).value) <= MIN_ALERT_BYTES


def test_copies_are_cut_as_well() -> None:
    """A large value under `event` stands twice: both are cut and both are named."""
    found = document(raw(event(event__original="o" * 300_000)))

    assert {"event.original", "kibana.alert.original_event.original"} == set(found["detector"]["truncated"])
    assert "o" * 128 + "…" == found["event"]["original"] == found["kibana.alert.original_event.original"]


def test_list_of_cuts_is_bounded() -> None:
    """Past fifty cuts only their number is told, and no name is endless."""
    record = raw(event(process__env={f"{n:05}" + "k" * 300: "v" * 100 for n in range(2000)}))
    found = document(record)["detector"]["truncated"]

    assert 51 == len(found)
    assert found[-1].startswith("… and ")
    assert found[-1].endswith(" more")
    assert max(map(len, found)) <= 129
    assert len(alert(record).value) <= MIN_ALERT_BYTES


def test_what_is_cut_does_not_depend_on_where_it_was_read() -> None:
    """Length of `detector.source` and of `@timestamp` decide nothing: all else stays equal near the limit."""
    for size in range(MIN_ALERT_BYTES - 6000, MIN_ALERT_BYTES - 1000, 97):
        record = raw(event(process__command_line="c" * size))
        one = document(record, source={"topic": "t", "partition": 0, "offset": 0})
        other = document(record, source={"topic": "t" * 249, "partition": 999, "offset": 2**63 - 1}, made_at=NOON + 1)
        for found in (one, other):
            del found["@timestamp"], found["detector"]["source"]
        assert one == other


def test_what_is_cut_does_not_depend_on_the_order_of_fields() -> None:
    """The same fields in another order are cut in the same way."""
    fields = {f"f{n}": "v" * (60_000 + n % 3) for n in range(9)}
    one = document(raw({**event(), **fields}))
    other = document(raw(dict(reversed({**event(), **fields}.items()))))

    assert ["f2", "f5", "f8", "f1", "f4"] == one["detector"]["truncated"][:5]
    assert one["detector"]["truncated"] == other["detector"]["truncated"]
    assert {name: one[name] for name in fields} == {name: other[name] for name in fields}


def test_long_name_of_a_file_fits() -> None:
    """In `replay` the source is a path, which may be as long as the system allows."""
    source = {"file": "/" + "d" * 4095, "line": 1}

    for size in range(200_000, MIN_ALERT_BYTES, 1000):
        assert len(alert(raw(event(process__command_line="c" * size)), source=source).value) <= MIN_ALERT_BYTES


def test_larger_limit_cuts_less() -> None:
    """The limit is the operator's: what fits below it is whole."""
    record = raw(event(process__command_line="c" * 300_000))

    assert "truncated" in document(record)["detector"]
    assert "truncated" not in document(record, maker=Maker("1", 1_000_000))["detector"]


_SIZES = st.sampled_from([0, 1, 127, 128, 129, 130, 1023, 1024, 1025, 5000, 262_144, 600_000])
_CHARACTERS = st.sampled_from(["x", "\x01", '"', "é", "\U0001f600", "\u2028", "\\"])
_BIG_TEXTS = st.builds(lambda size, character: character * size, _SIZES, _CHARACTERS)
_SHAPES = st.sampled_from(["text", "array", "object", "deep", "keys", "long key"])
_PLACES = st.sampled_from(
    ["process.command_line", "event.original", "data_stream.dataset", "host.name", "user.name", "event.id", "x", "a.b"]
)


def _shaped(shape: str, text: str) -> object:
    if shape == "array":
        return [text] * 3
    if shape == "object":
        return {"one": text, "two": {"three": [text, {"four": text}]}}
    if shape == "deep":
        value: object = text
        for _ in range(90):
            value = {"d": [value]}
        return value
    if shape == "keys":
        return {f"k{n}": text[:3] for n in range(len(text) // 40)}
    return {text: 1} if shape == "long key" else text


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_PLACES, _SHAPES, _BIG_TEXTS), max_size=4),
    _BIG_TEXTS,
    st.sampled_from([MIN_ALERT_BYTES, 300_000, 1_000_000]),
)
def test_alert_never_exceeds_its_limit(fields: list[tuple[str, str, str]], name: str, limit: int) -> None:
    """Whatever the source holds, the alert fits and says what it cut; its grounds always remain."""
    overrides = {place: _shaped(shape, text) for place, shape, text in fields}
    record = raw({**event(name=name), **overrides})
    found = alert(record, seen("20d"), maker=Maker("1", limit))
    read = json.loads(found.value)

    assert len(found.value) <= limit
    assert len(read["kibana.alert.new_terms"]) == 2
    assert "not seen on this host for 20 d." == read["kibana.alert.reason"][-31:]
    if len(record) > limit:
        assert read["detector"]["truncated"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({f"k{n}": n for n in range(100_000)}, id="keys at the top"),
        pytest.param({"process": {"name": "sh", **{f"k{n}": "v" for n in range(100_000)}}}, id="keys in process"),
        pytest.param({"event": {f"k{n}": {"v": [n]} for n in range(30_000)}}, id="keys in event"),
        pytest.param({"k" * 900_000: 1}, id="one long key"),
        pytest.param({"\x01" * 100_000 + str(n): n for n in range(5)}, id="long keys"),
        pytest.param({"x": [[{}]] * 90_000}, id="empty values"),
    ],
)
def test_alert_of_very_many_fields_fits(fields: dict[str, Any]) -> None:
    """A hundred thousand keys, or endless ones, are cut like everything else."""
    value = alert(raw({**event(), **fields})).value

    assert len(value) <= MIN_ALERT_BYTES
    assert json.loads(value)["detector"]["truncated"]


def test_alert_of_the_largest_term_fits() -> None:
    """Names of control characters take six bytes each in JSON: three fields of a kilobyte still fit."""
    name = "\x01" * 1024
    record = raw(
        event(
            name=name,
            host=name,
            host__name=name,
            user__name=name,
            process__executable=name,
            event__id=name,
            data_stream__type=name,
            data_stream__dataset=name,
            data_stream__namespace=name,
            more={f"k{n}": "v" for n in range(50_000)},
        )
    )
    of = rule(fields=("host.id", "process.name", "process.executable"))

    assert len(alert(record, of=of).value) <= MIN_ALERT_BYTES


@pytest.mark.parametrize("description", [100, 2_400, 10_600])
def test_alert_with_the_largest_evidence_fits(description: int) -> None:
    """Term, lineage and baseline as large as they become, beside as much of the event as its rule leaves room for."""
    name = "\x01" * 1024
    text = "\x01" * MAX_TEXT + "…"
    image = Image(NOON, text, text, ("\x01" * MAX_ARGS_TEXT,), text, text, text)
    process = Process(text, (image,), text, text, text)
    names = {f"{field}.name": name for field in ("host", "user", "process", "process.parent")}
    streams = {f"data_stream.{field}": name for field in ("type", "dataset", "namespace")}
    fields = {**names, **streams, "event.id": name, "x": {"a": name, "b": name}}
    query = " and ".join(f"{field}.name:*" for field in ("host", "user", "process", "process.parent") * 6)
    of = rule(fields=("host.id", "x.a", "x.b"), query=query)
    of = replace(of, spec=msgspec.structs.replace(of.spec, description="\x01" * description))
    room = room_for_body(of, MAKER)
    before = TermRecord(NOON - SECOND, NOON - SECOND, 2**62, NOON, 1, 0, text, b"\x01" * 32)
    now = Sighting(NOON, 1, 0, NOON, "\x02" + text[1:], b"\x02" * 32)
    smallest = build_body(decode(raw(event(host=name, **fields))), 10**6)
    rest = room - sum(len(encode_document(part)) for part in (smallest.source, smallest.original))
    found = occurrence(raw(event(host=name, **fields, more={f"k{n:06}": "v" for n in range(rest // 14 - 1)})))
    body = build_body(found.event, room)

    lengths = []
    for links in range(1, MAX_ANCESTORS + 8):
        lineage = Lineage(
            (Link(process, Origin.SEEN, (text,) * 4, text),) * links, Relation.DESCENDANT, 9, complete=True
        )
        evidence = gather(of.query, found.event, now, lineage, Baseline(1, 2**62))
        term = terms_of(found.event, of.fields).terms[0]
        made = build_alert(of, term, body, found, replace(UNKNOWN, before=before), evidence, NOON, MAKER)
        lengths.append(len(made.value))
    assert max(lengths) <= MIN_ALERT_BYTES


def test_rule_without_steps_has_no_note() -> None:
    """A rule file need not give triage and response."""
    bare = replace(RULE, spec=msgspec.structs.replace(RULE.spec, triage=(), response=()))

    assert "" == document(raw(event()), of=bare)["kibana.alert.rule.note"]


def _sha(record: bytes) -> bytes:
    return hashlib.sha256(record).hexdigest().encode()

"""schemas/ describes what we read and write: its examples, its agreement with the code, its AsyncAPI document.

`python -m tests.test_schemas` writes the examples that our own code makes again.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.core.alert import MIN_ALERT_BYTES, Alert, Maker
from app.core.baseline import BaselineRecord
from app.core.clock import ClockSource, parse_time
from app.core.dead_letter import REASONS, DeadLetter
from app.core.duration import SECOND
from app.core.engine import FORGETFUL, Arrival, Engine, Memory, Route, Standards
from app.core.event import Flag, JsonObject
from app.core.new_terms import MAX_TERMS, TermRecord
from app.core.rule import Rule, Scope, longest_window, parse_rule
from app.errors import RuleError
from app.runtime.records import (
    NotAMatchError,
    SourcePosition,
    cut_headers,
    dead_letter_headers,
    match_headers,
    read_match_headers,
)
from app.runtime.rules import load_rules
from app.runtime.settings import PACKAGED_RULES, Settings, load_settings
from app.runtime.topics import declare
from app.tools.replay import Replay, ReplayedDeadLetter
from tests.schemas import (
    SCHEMAS,
    SchemaError,
    schema_of,
    validate,
    validate_alert,
    validate_dead_letter,
    validate_match_headers,
    validate_process_event,
    validate_replay_dead_letter,
    validate_rule,
)

EXAMPLES: Final = SCHEMAS / "examples"
DAY: Final = 86_400 * SECOND
TAKEN_AT: Final = parse_time("2026-01-05T08:14:08.002Z") or 0
MADE_AT: Final = TAKEN_AT + 26_000_000
SOURCE: Final = SourcePosition("process-events", 3, 88_214, 1_767_600_847_391)

SHIPPED: Final = load_rules([PACKAGED_RULES])
CHILD: Final = next(rule for rule in SHIPPED if rule.id == "exim4_child")
FLEET: Final = parse_rule((EXAMPLES / "rule.valid.toml").read_bytes(), "rule.valid.toml")

Change = Callable[[JsonObject], object]


def engine(*rules: Rule, max_alert_bytes: int = 1_000_000) -> Engine:
    """The engine whose version and sizes do not change from release to release."""
    retention = 2 * longest_window(rules)
    return Engine(rules, Standards(Maker("0.1.0", max_alert_bytes), retention, 300 * SECOND))


def event(**fields: Any) -> JsonObject:
    """The example event with top-level fields replaced; None takes one out."""
    document: JsonObject = json.loads((EXAMPLES / "process-event.valid.json").read_bytes()) | fields
    return {name: value for name, value in document.items() if value is not None}


def dumped(document: JsonObject) -> bytes:
    """A document as a sensor would write it."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def alerts(
    raw: bytes,
    rule: Rule = CHILD,
    before: TermRecord | None = None,
    max_alert_bytes: int = 1_000_000,
    memory: Memory = FORGETFUL,
) -> list[Alert]:
    """The alerts that the worker's two steps make of one record; a dead letter on the way fails the test."""
    judge = engine(rule, max_alert_bytes=max_alert_bytes)
    examination = judge.examine(raw, SOURCE.nanoseconds)
    assert () == examination.dead_letters
    found: list[Alert] = []
    for offset, route in enumerate(examination.routes()):
        arrival = Arrival(1, 100 + offset, TAKEN_AT, SOURCE.shown())
        for due, term in examination.due(route):
            judgement = judge.judge(due, term, examination, before, arrival, raw, MADE_AT, memory)
            assert not isinstance(judgement, DeadLetter), judgement
            if judgement.alert is not None:
                found.append(judgement.alert)
    return found


def replayed_dead_letters(content: bytes) -> list[bytes]:
    """The dead letters of a replay over one file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "events.ndjson"
        path.write_bytes(content)
        found = list(Replay(engine(CHILD), TAKEN_AT, now=lambda: MADE_AT).file(str(path)))
    return [item.value for item in found if isinstance(item, ReplayedDeadLetter)]


def changed(document: JsonObject, change: Change) -> JsonObject:
    """A copy with one change."""
    altered = copy.deepcopy(document)
    change(altered)
    return altered


def header_texts(headers: list[tuple[str, bytes]]) -> JsonObject:
    """Headers as the object that the schemas describe."""
    return {name: value.decode() for name, value in headers}


def header_pairs(texts: JsonObject) -> list[tuple[str, bytes]]:
    """The object that the schemas describe as headers."""
    return [(name, value.encode()) for name, value in texts.items()]


# --- Examples ---------------------------------------------------------------------------------------------------


def made_examples() -> dict[str, JsonObject]:
    """The examples that come out of our own code, and beside each the same with one fault."""
    before = TermRecord(TAKEN_AT - 61 * DAY, TAKEN_AT - 17 * DAY, 4, TAKEN_AT - 17 * DAY, 1, 17)
    baseline = BaselineRecord(TAKEN_AT - 61 * DAY, 7, TAKEN_AT - 17 * DAY, 1, 17, 0)
    alert = json.loads(alerts(dumped(event()), before=before, memory=Memory(baseline))[0].value)
    match = header_texts(match_headers(Route("host", b"-"), SOURCE))
    no_host = dumped(event(host={"name": "mx1.example.test", "os": {"type": "linux"}}))
    letter = engine(CHILD).examine(no_host, SOURCE.nanoseconds).dead_letters[0]
    dead_letter = header_texts(dead_letter_headers(letter, SOURCE))
    line = json.loads(replayed_dead_letters(b"\n" * 211 + no_host)[0])
    line["source"]["file"] = "events.ndjson"
    return {
        "alert.valid.json": alert,
        "alert.invalid.json": changed(alert, lambda it: it["detector"].update(verdict="new")),
        "match-headers.valid.json": match,
        "match-headers.invalid.json": match | {"eximwatch.scope": "cluster"},
        "dead-letter.valid.json": dead_letter,
        "dead-letter.invalid.json": changed(dead_letter, lambda it: it.pop("eximwatch.rule")),
        "dead-letter-line.valid.json": line,
        "dead-letter-line.invalid.json": changed(line, lambda it: it.pop("record")),
        "process-event.invalid.json": changed(event(), lambda it: it["process"].update(name={"text": "sh"})),
    }


def written(document: JsonObject) -> str:
    """An example as its file holds it."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


VALID: Final = {
    "alert.valid.json": "alert.schema.json",
    "dead-letter-line.valid.json": "dead-letter.schema.json#/$defs/line",
    "dead-letter.valid.json": "dead-letter.schema.json#/$defs/headers",
    "match-headers.valid.json": "match-headers.schema.json",
    "process-event.valid.json": "process-event.schema.json",
}

INVALID: Final = {  # the place that is wrong, and the keyword that says so
    "alert.invalid.json": ("$.detector", "additionalProperties", "'verdict' was unexpected"),
    "dead-letter-line.invalid.json": ("$", "required", "'record' is a required property"),
    "dead-letter.invalid.json": ("$", "required", "'eximwatch.rule' is a required property"),
    "match-headers.invalid.json": ("$['eximwatch.scope']", "enum", "'cluster' is not one of ['host', 'fleet']"),
    "process-event.invalid.json": ("$.process.name", "type", "{'text': 'sh'} is not of type"),
}


@pytest.mark.parametrize("name", sorted({*VALID, *INVALID} - {"process-event.valid.json"}))
def test_made_examples_are_what_the_code_makes_today(name: str) -> None:
    """An example that is out of date misleads; `python -m tests.test_schemas` writes it again."""
    assert written(made_examples()[name]) == (EXAMPLES / name).read_text(), "run `python -m tests.test_schemas`"


@pytest.mark.parametrize(("name", "schema"), VALID.items())
def test_valid_examples_pass(name: str, schema: str) -> None:
    """Each schema accepts its valid example."""
    validate(json.loads((EXAMPLES / name).read_bytes()), schema)


@pytest.mark.parametrize(("name", "fault"), INVALID.items())
def test_invalid_examples_fail_for_the_one_reason_they_are_made_for(name: str, fault: tuple[str, str, str]) -> None:
    """Each schema refuses its invalid example, at the place that is wrong and nowhere else."""
    document = json.loads((EXAMPLES / name).read_bytes())
    with pytest.raises(SchemaError) as caught:
        validate(document, VALID[name.replace("invalid", "valid")])
    [found] = caught.value.faults
    assert fault[:2] == found[:2]
    assert fault[2] in found.message
    assert f"  {found.path}: " in str(caught.value)


def test_the_example_rule_passes_here_and_in_the_worker() -> None:
    """The valid rule is one; its history is the fleet's."""
    validate_rule((EXAMPLES / "rule.valid.toml").read_bytes())
    assert FLEET.scope == "fleet"


def test_the_invalid_example_rule_fails_by_its_window() -> None:
    """The invalid rule is refused for its history window, by the schema and by the worker."""
    content = (EXAMPLES / "rule.invalid.toml").read_bytes()
    with pytest.raises(SchemaError) as caught:
        validate_rule(content)
    assert [("$.new_terms.history_window", "pattern")] == [fault[:2] for fault in caught.value.faults]
    with pytest.raises(RuleError, match="'4 weeks' is no duration"):
        parse_rule(content, "rule.invalid.toml")


def test_every_schema_has_its_examples() -> None:
    """No schema without a valid and an invalid example, no example that no test looks at."""
    files = {path.name for path in EXAMPLES.iterdir()}
    assert {*VALID, *INVALID, "rule.valid.toml", "rule.invalid.toml"} == files
    schemas = {path.name for path in SCHEMAS.glob("*.schema.json")}
    assert {*(schema.partition("#")[0] for schema in VALID.values()), "rule.schema.json"} == schemas


# --- Schemas and code -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.schema.json")), ids=lambda path: path.name)
def test_schemas_are_themselves_valid(path: Path) -> None:
    """Each is JSON Schema 2020-12 and carries an id that no other one has."""
    schema = schema_of(path.name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert f"urn:eximwatch:schema:{path.name.removesuffix('.schema.json')}:1" == schema["$id"]


def test_lists_of_names_agree_with_the_code() -> None:
    """Reasons, flags, clocks and scopes are those the code knows."""
    detector = schema_of("alert.schema.json")["$defs"]["detector"]["properties"]
    assert list(REASONS) == schema_of("dead-letter.schema.json")["$defs"]["reason"]["enum"]
    assert sorted(get_args(Flag)) == detector["flags"]["items"]["enum"]
    assert list(get_args(ClockSource)) == detector["clock"]["properties"]["source"]["enum"]
    assert list(get_args(Scope)) == detector["scope"]["enum"]
    assert list(get_args(Scope)) == schema_of("match-headers.schema.json")["properties"]["eximwatch.scope"]["enum"]


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda rule: rule.id)
def test_shipped_rules_pass(rule: Rule) -> None:
    """Each rule that is shipped is one to the schema too."""
    validate_rule(Path(rule.file).read_bytes())


@pytest.mark.parametrize("scope", get_args(Scope))
@pytest.mark.parametrize("timestamp", [None, 0, 1_767_600_847_391])
def test_match_headers_pass_and_are_read_again(scope: Scope, timestamp: int | None) -> None:
    """What the first step writes is what the schema says and what the second step reads."""
    source = SourcePosition("process-events", 0, 0, timestamp)
    headers = match_headers(Route(scope, b"key"), source)
    validate_match_headers(headers)
    assert source == read_match_headers(b"key", headers).source


@pytest.mark.parametrize("name", schema_of("match-headers.schema.json")["required"])
def test_required_match_headers_are_those_that_the_reader_asks_for(name: str) -> None:
    """Without a required header schema and reader both refuse."""
    headers = [header for header in match_headers(Route("host", b"key"), SOURCE) if header[0] != name]
    with pytest.raises(SchemaError, match=name):
        validate_match_headers(headers)
    with pytest.raises(NotAMatchError, match=name):
        read_match_headers(b"key", headers)


@pytest.mark.parametrize("reason", REASONS)
def test_dead_letter_headers_pass(reason: Any) -> None:
    """Every reason, with a rule where one rule could not be judged, whole and cut."""
    of_record = reason in schema_of("dead-letter.schema.json")["$defs"]["reasonOfARecord"]["enum"]
    headers = dead_letter_headers(DeadLetter(reason, "said so", None if of_record else CHILD.id), SOURCE)
    validate_dead_letter(headers)
    validate_dead_letter([*headers, *cut_headers(2_000_000, "0" * 64)])


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ([], "$"),
        ([("eximwatch.detail", b"\xff")], "$['eximwatch.detail']"),
        ([("eximwatch.detail", b"a"), ("eximwatch.detail", b"b")], "$['eximwatch.detail']"),
        ([("eximwatch.detail", None)], "$['eximwatch.detail']"),
    ],
)
def test_headers_must_be_text_and_stand_once(headers: list[tuple[str, bytes | None]], path: str) -> None:
    """What can't be said as an object of name and text is refused, by its name."""
    with pytest.raises(SchemaError) as caught:
        validate_dead_letter(headers)
    assert path in [fault.path for fault in caught.value.faults]


def test_replayed_dead_letters_pass() -> None:
    """Whatever a file holds, the lines that say why it could not be judged are as declared."""
    no_host = event(host={"os": {"type": "linux"}})
    many = event(host={"id": [str(n) for n in range(MAX_TERMS + 1)], "os": {"type": "linux"}})
    lines = {
        "not_json": b'{"process":{"name":"exim4"',
        "not_an_object": b'["exim4"]',
        "too_deep": b'{"exim4":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        "too_many_terms": dumped(many),
        "missing_term_field": dumped(no_host),
        "no_clock": dumped(event(**{"@timestamp": None})),
    }
    content = b"\n".join(lines.values()) + b'\n{"exim4":\xff'
    letters = [validate_replay_dead_letter(line) for line in replayed_dead_letters(content)]
    assert [*lines, "not_json"] == [letter["reason"] for letter in letters]
    assert "record_base64" in letters[-1]


@pytest.mark.parametrize(
    ("text", "is_time"),
    [
        ("2026-01-05T08:14:07.310482917Z", True),
        ("2026-01-05T08:14:07+01:00", True),
        ("2026-01-05 08:14", True),
        ("2026-01-05", True),
        ("1767600847310", True),
        ("2026-01-05T08:14:07.3104829171Z", False),
        ("05.01.2026", False),
        ("2026-01-05T08", False),
        ("-1", False),
        ("now", False),
        ("", False),
    ],
)
def test_times_of_an_event_are_those_that_the_clock_reads(text: str, is_time: bool) -> None:
    """The schema's times are the clock's; only the calendar (a 31st of February) is beyond it."""
    assert is_time == (parse_time(text) is not None)
    for layout in ({"@timestamp": text}, {"event": [{"ingested": [text]}]}, {"event.ingested": text}):
        assert is_time == accepts(validate_process_event, dumped(layout))


@pytest.mark.parametrize(
    "document",
    [
        {"process": {"parent": {"name": "exim4"}}},
        {"process": {"parent.name": ["exim4"]}},
        {"process.parent": [{"name": "exim4"}]},
        {"process.parent.name": "exim4"},
    ],
)
def test_every_layout_of_an_event_is_described(document: JsonObject) -> None:
    """A field is found wherever it may stand: text passes there, an object does not."""
    assert accepts(validate_process_event, dumped(document))
    assert not accepts(validate_process_event, dumped(document).replace(b'"exim4"', b'{"text":"exim4"}'))


def accepts(check: Callable[[bytes], object], content: bytes) -> bool:
    """Whether a document passes."""
    try:
        check(content)
    except SchemaError:
        return False
    return True


# --- Alerts -----------------------------------------------------------------------------------------------------


def flat(document: JsonObject, prefix: str = "") -> JsonObject:
    """An event in dotted keys."""
    fields: JsonObject = {}
    for name, value in document.items():
        fields |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return fields


PROCMAIL: Final = event(process={"name": "perl", "executable": "/usr/bin/perl", "parent": {"name": "procmail"}})
MIXED: Final = {**event(event=None), "event.type": "start", "event": [{"action": "exec"}, {"action": ["end"], "id": 7}]}
SEEN: Final = TermRecord(TAKEN_AT - 40 * DAY, TAKEN_AT - 16 * DAY, 3, TAKEN_AT - 16 * DAY, 1, 5)
HOSTILE: Final = event() | {
    "kibana.alert.uuid": "mine",
    "kibana": {"alert": {"status": "closed"}},
    "signal": {"rule": 1},
    "signal.rule": 1,
    "detector": {"term": {}},
    "@metadata": {"beat": "filebeat"},
    "data_stream": [{"type": "logs"}, "text"],
    "": {"": 1},
    ".a..b.": 2,
    "event.": 3,
    ".".join("abcdefghijklmnopqrstuvwxyz"): 4,
    "process.pid": 1e300,
    "host.name": ["a\nb", "\u202e"],
}

CASES: Final[dict[str, tuple[Callable[[], list[Alert]], tuple[str, ...], object]]] = {  # what stands at a path
    "nested": (lambda: alerts(dumped(event())), ("detector", "term", "process.name"), "sh"),
    "dotted": (lambda: alerts(dumped(flat(event()))), ("process", "parent", "name"), "exim4"),
    "arrays": (lambda: alerts(dumped(MIXED)), ("kibana.alert.original_event.action",), ["exec", "end"]),
    "two terms": (
        lambda: alerts(dumped(event(**{"process.name": "dash"}))),
        ("process", "name"),
        ["sh", "dash"],
    ),
    "invalid encoding": (
        lambda: alerts(dumped(event()).replace(b"mx1.example.test", b"mx1\xff.example.test")),
        ("detector", "flags"),
        ["invalid_encoding"],
    ),
    "keys twice": (
        lambda: alerts(dumped(event()).replace(b'"name":"sh"', b'"name":"ls","name":"sh"')),
        ("detector", "flags"),
        ["duplicate_keys"],
    ),
    "truncated": (
        lambda: alerts(dumped(event(labels={"x": "a" * 300_000})), max_alert_bytes=MIN_ALERT_BYTES),
        ("detector", "truncated"),
        ["labels.x"],
    ),
    "over-long term": (
        lambda: alerts(dumped(event(process={"name": "é" * 5000, "parent": {"name": "exim4"}}))),
        ("detector", "truncated"),
        ["detector.term", "kibana.alert.new_terms"],
    ),
    "clock bounded": (
        lambda: alerts(dumped(event(**{"@timestamp": "2036-01-05T08:14:07.31048Z"}))),
        ("detector", "clock", "bounded_from"),
        "2036-01-05T08:14:07.310480Z",
    ),
    "clock passed over": (
        lambda: alerts(dumped(event(**{"@timestamp": "yesterday", "event.ingested": [True]}))),
        ("detector", "clock"),
        {
            "time": "2026-01-05T08:14:07.391Z",
            "source": "record_timestamp",
            "passed_over": ["event.ingested", "@timestamp"],
        },
    ),
    "known before": (lambda: alerts(dumped(event()), before=SEEN), ("detector", "baseline", "term", "count"), 3),
    "fleet": (lambda: alerts(dumped(PROCMAIL), FLEET), ("detector", "scope"), "fleet"),
    "fleet, no host": (
        lambda: alerts(dumped(flat(PROCMAIL) | {"host.id": None}), FLEET),
        ("detector", "term", "process.executable"),
        "/usr/bin/perl",
    ),
    "hostile": (lambda: alerts(dumped(HOSTILE)), ("kibana.alert.status",), "active"),
}


@pytest.mark.parametrize(("make", "path", "expected"), CASES.values(), ids=CASES)
def test_alerts_of_every_kind_of_event_pass(
    make: Callable[[], list[Alert]], path: tuple[str, ...], expected: object
) -> None:
    """Alerts are as declared, whatever the event looked like, and each case is what it claims to be."""
    made = make()
    assert made
    for alert in made:
        found: Any = validate_alert(alert.value)
        for name in path:
            found = found[name]
        assert expected == found


SCALARS: Final = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
NAMES: Final = st.lists(
    st.sampled_from(["event", "kibana", "alert", "detector", "data_stream", "type", "kind", "id", "", "@timestamp"]),
    min_size=1,
    max_size=4,
).map(".".join)
OBJECTS: Final = st.recursive(
    st.dictionaries(NAMES, SCALARS, max_size=3),
    lambda inner: st.dictionaries(NAMES, inner | st.lists(inner | SCALARS, max_size=3) | SCALARS, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(OBJECTS)
def test_no_event_can_make_an_alert_that_is_not_as_declared(fields: JsonObject) -> None:
    """Names that look like ours, values of any type, empty keys: what is written stays what is declared."""
    required = {"host.os.type": "linux", "process.parent.name": "exim4", "process.name": "sh", "host.id": "h1"}
    raw = dumped({**fields, **required, "event.type": "start", "event.action": "exec"})
    made = alerts(raw)
    assert made
    for alert in made:
        validate_alert(alert.value)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda it: it.update({"kibana.alert.rule.author": "me"}), "$['kibana.alert.rule.author']"),
        (lambda it: it.update({"kibana.space_ids": ["default"]}), "$['kibana.space_ids']"),
        (lambda it: it.update(kibana={"alert": {}}), "$.kibana"),
        (lambda it: it.update({"process.name": "sh"}), "$['process.name']"),
        (lambda it: it["event"].update(kind="event"), "$.event.kind"),
        (lambda it: it.pop("kibana.alert.uuid"), "$"),
        (lambda it: it["detector"].pop("lineage"), "$.detector"),
        (lambda it: it["detector"]["baseline"]["term"].pop("count"), "$.detector.baseline.term"),
        (lambda it: it["detector"]["lineage"].update(depth=0), "$.detector.lineage.depth"),
        (lambda it: it["detector"]["lineage"]["processes"][0].pop("origin"), "$.detector.lineage.processes[0]"),
        (lambda it: it["detector"]["assessment"].update(level="none"), "$.detector.assessment.level"),
        (lambda it: it["detector"]["clauses"][0].update(passed=True), "$.detector.clauses[0]"),
        (lambda it: it["detector"]["source"].update(file="events.ndjson"), "$.detector.source"),
        (lambda it: it["detector"]["clock"].update(time="2026-01-05T08:14:07Z"), "$.detector.clock.time"),
        (lambda it: it.update({"kibana.alert.uuid": it["kibana.alert.uuid"] + "\n"}), "$['kibana.alert.uuid']"),
        (lambda it: it.update({"kibana.alert.depth": 1.5}), "$['kibana.alert.depth']"),
    ],
)
def test_alerts_that_were_not_declared_fail(change: Change, path: str) -> None:
    """A field that nobody declared is refused at its place, not let through."""
    alert = json.loads((EXAMPLES / "alert.valid.json").read_bytes())
    with pytest.raises(SchemaError) as caught:
        validate_alert(dumped(changed(alert, change)))
    assert {path} == {fault.path for fault in caught.value.faults}


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b'{"a":1,"a":2}', b'{"a":NaN}', b"{\n}", b"{}\n{}"])
def test_alerts_that_are_no_line_of_json_fail(value: bytes) -> None:
    """Only strict JSON on one line is an alert."""
    with pytest.raises(SchemaError) as caught:
        validate_alert(value)
    assert ["syntax"] == [fault.keyword for fault in caught.value.faults]


# --- Rules ------------------------------------------------------------------------------------------------------

RULE: Final = tomllib.loads((EXAMPLES / "rule.valid.toml").read_text())


def toml(value: Any) -> str:
    """A value in TOML; tables inline. Enough for rule files, and without characters that must be escaped."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def rule_file(table: JsonObject) -> bytes:
    """A rule file with the given content."""
    return "".join(f"{name} = {toml(value)}\n" for name, value in table.items()).encode()


def usable(content: bytes) -> bool:
    """Whether the worker takes a rule file."""
    try:
        parse_rule(content, "rule.toml")
    except RuleError:
        return False
    return True


def setting(*path: str | int, to: Any) -> Change:
    """The change of one value deep in a rule."""

    def change(table: Any) -> None:
        for step in path[:-1]:
            table = table[step]
        table[path[-1]] = to

    return change


def without(*path: str | int) -> Change:
    """The removal of one key deep in a rule."""

    def change(table: Any) -> None:
        for step in path[:-1]:
            table = table[step]
        del table[path[-1]]

    return change


BROKEN_RULES: Final[list[tuple[Change, str]]] = [
    (setting("id", to="r\n"), "$.id"),
    (setting("new_terms", "fields", to=["host.id\n"]), "$.new_terms.fields[0]"),
    (setting("new_terms", "history_window", to="١٤d"), "$.new_terms.history_window"),
    (setting("description", to=" "), "$.description"),
    *((without(name), "$") for name in schema_of("rule.schema.json")["required"]),
    (without("new_terms", "fields"), "$.new_terms"),
    (without("new_terms", "history_window"), "$.new_terms"),
    (without("threat", 0, "framework"), "$.threat[0]"),
    (without("threat", 0, "tactic"), "$.threat[0]"),
    (without("threat", 0, "tactic", "reference"), "$.threat[0].tactic"),
    (without("threat", 0, "technique", 0, "id"), "$.threat[0].technique[0]"),
    (setting("enabled", to=True), "$"),
    (setting("new_terms", "window", to="14d"), "$.new_terms"),
    (
        setting("threat", 0, "technique", 0, "subtechnique", 0, "url", to="x"),
        "$.threat[0].technique[0].subtechnique[0]",
    ),
    (setting("id", to=""), "$.id"),
    (setting("id", to="exim4 child"), "$.id"),
    (setting("id", to="_child"), "$.id"),
    (setting("id", to="a" * 129), "$.id"),
    (setting("name", to=""), "$.name"),
    (setting("name", to=["procmail"]), "$.name"),
    (setting("version", to=0), "$.version"),
    (setting("version", to="1"), "$.version"),
    (setting("version", to=1.0), "$.version"),
    (setting("version", to=True), "$.version"),
    (setting("severity", to="urgent"), "$.severity"),
    (setting("severity", to="Low"), "$.severity"),
    (setting("risk_score", to=101), "$.risk_score"),
    (setting("risk_score", to=-1), "$.risk_score"),
    (setting("query", to=""), "$.query"),
    (setting("query", to="  "), "$.query"),
    (setting("query", to=1), "$.query"),
    (setting("tags", to="Linux"), "$.tags"),
    (setting("tags", to=[""]), "$.tags[0]"),
    (setting("references", to=[1]), "$.references[0]"),
    (setting("threat", 0, "framework", to="ATT&CK"), "$.threat[0].framework"),
    (setting("threat", to={}), "$.threat"),
    (setting("new_terms", to=["host.id"]), "$.new_terms"),
    (setting("new_terms", "fields", to=[]), "$.new_terms.fields"),
    (setting("new_terms", "fields", to=["a", "b", "c", "d"]), "$.new_terms.fields"),
    (setting("new_terms", "fields", to=["host.id", "host.id"]), "$.new_terms.fields"),
    (setting("new_terms", "fields", to="host.id"), "$.new_terms.fields"),
    (setting("new_terms", "fields", to=["host..id"]), "$.new_terms.fields[0]"),
    (setting("new_terms", "fields", to=["process.*"]), "$.new_terms.fields[0]"),
    (setting("new_terms", "history_window", to="0d"), "$.new_terms.history_window"),
    (setting("new_terms", "history_window", to=""), "$.new_terms.history_window"),
    (setting("new_terms", "history_window", to="5m1h"), "$.new_terms.history_window"),
    (setting("new_terms", "history_window", to="-1d"), "$.new_terms.history_window"),
    (setting("new_terms", "history_window", to="1.5d"), "$.new_terms.history_window"),
    (setting("new_terms", "history_window", to=14), "$.new_terms.history_window"),
]


@pytest.mark.parametrize(("change", "path"), BROKEN_RULES, ids=lambda value: value if isinstance(value, str) else "")
def test_broken_rule_files_fail_in_the_schema_and_in_the_worker(change: Change, path: str) -> None:
    """What the worker refuses the schema refuses, at its place, as far as a schema can say it."""
    content = rule_file(changed(RULE, change))
    with pytest.raises(SchemaError) as caught:
        validate_rule(content)
    assert [path] == [fault.path for fault in caught.value.faults]
    assert not usable(content)


@pytest.mark.parametrize(
    "change",
    [
        *(without(name) for name in RULE if name not in schema_of("rule.schema.json")["required"]),
        without("threat", 0, "technique"),
        without("threat", 0, "technique", 0, "subtechnique"),
        setting("threat", to=[]),
        setting("tags", to=[]),
        setting("id", to="A.b-c_9"),
        setting("risk_score", to=0),
        setting("risk_score", to=100),
        setting("new_terms", "fields", to=["@timestamp", "host.id", "process.Ext.x-y"]),
        setting("new_terms", "history_window", to="0d90m"),
        setting("new_terms", "history_window", to="1d2h3m4s"),
    ],
)
def test_rule_files_that_the_worker_takes_pass(change: Change) -> None:
    """The schema refuses nothing that the worker takes."""
    content = rule_file(changed(RULE, change))
    assert usable(content)
    validate_rule(content)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value in a rule."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*path, name))


ODD: Final[list[Any]] = [
    *("", " ", "a", "host.id", "14d", "low", "a:b", "1"),
    *(0, 1, 21, 100, 1.0, True, False),
    *([], ["a"], [""], [1], {}, {"id": "a"}, [{}]),
]


@settings(deadline=None)
@given(st.sampled_from(list(places(RULE))), st.sampled_from(ODD))
def test_schema_and_worker_agree_on_any_altered_rule(path: tuple[str | int, ...], value: Any) -> None:
    """Any value anywhere in a rule: both take it or both refuse it. Queries are left out, a schema can't read KQL."""
    if path == ("query",) and value not in ("a:b", " ", "", 1, []):
        return
    content = rule_file(changed(RULE, setting(*path, to=value)))
    assert usable(content) == accepts(validate_rule, content)


# --- AsyncAPI ---------------------------------------------------------------------------------------------------

ASYNCAPI: Final[JsonObject] = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_bytes())

# Of AsyncAPI 3.0 and its Kafka bindings 0.5.0 the objects that we use: required names, then the optional ones.
OBJECTS_OF_ASYNCAPI: Final[dict[str, tuple[set[str], set[str]]]] = {
    "document": ({"asyncapi", "info"}, {"id", "servers", "defaultContentType", "channels", "operations", "components"}),
    "info": ({"title", "version"}, {"description"}),
    "server": ({"host", "protocol"}, {"description", "bindings"}),
    "channel": ({"address", "title", "description", "messages", "bindings"}, set()),
    "operation": ({"action", "channel", "summary", "messages"}, {"bindings"}),
    "message": ({"title", "contentType", "payload", "bindings"}, {"headers", "summary"}),
    "channel binding": ({"topic", "bindingVersion"}, {"partitions", "replicas", "topicConfiguration"}),
    "operation binding": ({"groupId", "bindingVersion"}, set()),
    "message binding": ({"key", "bindingVersion"}, set()),
    "server binding": ({"bindingVersion"}, set()),
}


def references(node: Any) -> Iterator[str]:
    """Every `$ref` of the document."""
    if isinstance(node, dict):
        if "$ref" in node:
            assert ["$ref"] == list(node), "nothing may stand beside a reference"
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> JsonObject:
    """What a reference leads to, in this document or in a file beside it."""
    file, _, pointer = reference.partition("#")
    target: Any = schema_of(file.removeprefix("./")) if file else ASYNCAPI
    for part in pointer.split("/")[1:]:
        target = target[part]
    assert isinstance(target, dict)
    return target


def resolved(node: JsonObject) -> JsonObject:
    """An object, or what it refers to."""
    return resolve(node["$ref"]) if "$ref" in node else node


def check_object(kind: str, node: JsonObject) -> None:
    """Hold an object to the names that AsyncAPI gives its kind."""
    required, optional = OBJECTS_OF_ASYNCAPI[kind]
    assert required <= node.keys() <= required | optional, f"{kind}: {sorted(node)}"


def check_kafka(kind: str, node: JsonObject) -> None:
    """Hold an object's bindings to those of Kafka."""
    bindings = resolved(node.get("bindings", {"kafka": {"bindingVersion": "0.5.0"}}))
    assert ["kafka"] == list(bindings)
    if "bindings" in node:
        check_object(f"{kind} binding", bindings["kafka"])
    assert bindings["kafka"]["bindingVersion"] == "0.5.0"


def test_asyncapi_is_built_as_its_specification_says() -> None:
    """Version 3.0.0; every object has the names of its kind, every operation a channel and messages of it."""
    check_object("document", ASYNCAPI)
    check_object("info", ASYNCAPI["info"])
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    for server in ASYNCAPI["servers"].values():
        check_object("server", server)
        check_kafka("server", server)
    for channel in ASYNCAPI["channels"].values():
        check_object("channel", channel)
        check_kafka("channel", channel)
        assert all(reference["$ref"].startswith("#/components/messages/") for reference in channel["messages"].values())
    for operation in ASYNCAPI["operations"].values():
        check_object("operation", operation)
        check_kafka("operation", operation)
        assert operation["action"] in ("send", "receive")
        of_channel = f"{operation['channel']['$ref']}/messages/"
        assert all(reference["$ref"].startswith(of_channel) for reference in operation["messages"])
    for message in ASYNCAPI["components"]["messages"].values():
        check_object("message", message)
        check_kafka("message", message)
        for part in (message["payload"], message.get("headers", {"schema": {}})):
            assert set(part) in ({"schemaFormat", "schema"}, {"schema"}, {"type", "format", "description"})


def test_asyncapi_refers_only_to_what_exists() -> None:
    """Every reference leads somewhere, and every schema of a record is referred to."""
    found = set(references(ASYNCAPI))
    for reference in found:
        assert resolve(reference)
    files = {reference.partition("#")[0].removeprefix("./") for reference in found} - {""}
    of_records = {path.name for path in SCHEMAS.glob("*.schema.json")} - {"rule.schema.json"}
    assert of_records == files


def test_asyncapi_has_every_channel_and_message_in_use() -> None:
    """No channel without an operation, no message without a channel."""
    used = {operation["channel"]["$ref"] for operation in ASYNCAPI["operations"].values()}
    assert {f"#/channels/{name}" for name in ASYNCAPI["channels"]} == used
    carried = {ref["$ref"] for channel in ASYNCAPI["channels"].values() for ref in channel["messages"].values()}
    assert {f"#/components/messages/{name}" for name in ASYNCAPI["components"]["messages"]} == carried


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a worker that was told nothing."""
    for name in list(os.environ):
        if name.startswith("EXIMWATCH_"):
            monkeypatch.delenv(name)
    return load_settings()


def test_asyncapi_declares_the_topics_that_are_created(defaults: Settings) -> None:
    """Names, partitions, copies and configuration are those of the one declaration, for the shipped rules."""
    declared = {
        spec.name: {
            "topic": spec.name,
            "partitions": spec.partitions,
            "replicas": defaults.replication_factor,
            "topicConfiguration": {
                key: value.split(",") if key == "cleanup.policy" else int(value) if value.isdigit() else value
                for key, value in spec.configs.items()
            },
            "bindingVersion": "0.5.0",
        }
        for spec in declare(defaults, longest_window(SHIPPED))
    }
    declared |= {
        name: {
            "topic": name,
            "topicConfiguration": {"max.message.bytes": defaults.source_max_bytes},
            "bindingVersion": "0.5.0",
        }
        for name in defaults.source_topics
    }
    described = {channel["address"]: channel["bindings"]["kafka"] for channel in ASYNCAPI["channels"].values()}
    assert declared == described


def test_asyncapi_names_the_consumer_group(defaults: Settings) -> None:
    """The worker's group is the topic prefix."""
    assert defaults.topic_prefix == ASYNCAPI["components"]["operationBindings"]["worker"]["kafka"]["groupId"]["const"]


def key_fits(message: str, key: str) -> bool:
    """Whether a record's key is as the message's binding says."""
    schema = ASYNCAPI["components"]["messages"][message]["bindings"]["kafka"]["key"]
    return Draft202012Validator(schema).is_valid(key)


@pytest.mark.parametrize("host_id", ["b6a3c1f09d5e4f2782a4d7e0c9b51a36", "x" * 5000])
@pytest.mark.parametrize(("rule", "document"), [(CHILD, event()), (FLEET, PROCMAIL)], ids=["host", "fleet"])
def test_keys_are_as_asyncapi_says(rule: Rule, document: JsonObject, host_id: str) -> None:
    """Matches go by host or by a digest of the term, alerts by host."""
    raw = dumped(document | {"host": {"id": host_id, "os": {"type": "linux"}}})
    [route] = engine(rule).examine(raw, None).routes()
    assert key_fits("match", route.key.decode())
    [alert] = alerts(raw, rule)
    assert key_fits("alert", alert.key.decode())
    assert not key_fits("deadLetter", "process-events")
    assert key_fits("deadLetter", f"{SOURCE.topic}:{SOURCE.partition}:{SOURCE.offset}")


if __name__ == "__main__":
    for example, content in made_examples().items():
        (EXAMPLES / example).write_text(written(content))

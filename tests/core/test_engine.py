"""The engine: what is decided about a record, in which order, and what becomes a dead letter."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import engine as module
from app.core.alert import MIN_ALERT_BYTES, Maker
from app.core.baseline import BaselineRecord
from app.core.clock import Clock, parse_time
from app.core.dead_letter import REASONS, DeadLetter
from app.core.duration import SECOND
from app.core.engine import Arrival, Engine, Examination, Judgement, Memory, Route, Standards, route_of
from app.core.new_terms import MAX_TERMS, TermRecord, Verdict
from app.core.ring import Ring, derived
from app.core.rule import Rule
from app.core.state_format import StateFormatError
from tests.core.rules import rule
from tests.core.test_shipped_rules import RULES
from tests.events import ABSENT, JsonObject, event, raw

NOON = 1_767_614_400 * SECOND  # 2026-01-05T12:00:00Z
SKEW = 300 * SECOND
DAY = 86_400 * SECOND
HOST = rule("host")
FLEET = rule("fleet", fields=("process.executable",))
OTHER = rule("other", query="process.parent.name:exim4 and process.name:bash")


def engine(*rules: Rule, alert_from: int | None = None) -> Engine:
    """Make an engine with the usual standards."""
    return Engine(rules or (HOST,), Standards(Maker("1.2.3", MIN_ALERT_BYTES), 28 * DAY, SKEW, alert_from))


def arrival(offset: int = 0, taken_at: int = NOON) -> Arrival:
    """Make an arrival in one partition of the matches topic."""
    return Arrival(1, offset, taken_at, {"topic": "events", "partition": 0, "offset": offset})


def judge(
    of: Engine, record: bytes, known: TermRecord | None = None, offset: int = 0, timestamp: int | None = None
) -> Judgement | DeadLetter:
    """Take a record of one route and one term through both steps."""
    found = of.examine(record, timestamp)
    [(one, term)] = [due for route in found.routes() for due in found.due(route)]
    return of.judge(one, term, found, known, arrival(offset), record, NOON)


def judged(of: Engine, record: bytes, known: TermRecord | None = None, offset: int = 0) -> Judgement:
    """Take a record through both steps, to a judgement."""
    found = judge(of, record, known, offset)
    assert isinstance(found, Judgement)
    return found


def test_match_has_its_terms_and_its_clock() -> None:
    """The first step reads the event, evaluates every rule and makes the terms."""
    found = engine(HOST, FLEET, OTHER).examine(raw(event(time="2026-01-05T12:00:00Z")), None)

    assert [(HOST, (("mail01", "sh"),)), (FLEET, (("/usr/bin/sh",),))] == [(m.rule, m.terms) for m in found.matches]
    assert Clock(NOON, "@timestamp") == found.clock
    assert () == found.dead_letters


def test_event_that_matches_no_rule_has_nothing() -> None:
    """A candidate that no query matches is read and let go, whatever it lacks."""
    found = engine().examine(raw(event(name="grep", time=ABSENT, host=ABSENT)), None)

    assert ((), ()) == (found.matches, found.dead_letters)
    assert [] == found.routes()
    assert found.event is not None


def test_query_holds_if_any_layout_satisfies_it() -> None:
    """Clauses may be satisfied by different places of one record."""
    record = b'{"process":{"parent":{"name":"cron"}},"process.parent.name":"exim4","process.name":"sh","host.id":"h"}'

    assert [(("h", "sh"),)] == [match.terms for match in engine().examine(record, NOON).matches]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"exim4"', "not_json"),
        (b'{"exim4":NaN}', "not_json"),
        (b'["exim4"]', "not_an_object"),
        (b'{"exim4":' + b"[" * 300 + b"]" * 300 + b"}", "too_deep"),
    ],
)
def test_what_is_no_object_is_a_dead_letter(record: bytes, reason: str) -> None:
    """The whole record could not be read, so no rule is named."""
    found = engine().examine(record, NOON)

    assert [(reason, None)] == [(letter.reason, letter.rule_id) for letter in found.dead_letters]
    assert found.event is None
    assert [] == found.routes()


@pytest.mark.parametrize("value", [ABSENT, None, [], {}, "", ["", None]])
def test_match_without_a_term_is_a_dead_letter(value: object) -> None:
    """It names rule and field; other rules still judge the record."""
    found = engine(HOST, FLEET).examine(raw(event(host=value)), None)

    assert [("missing_term_field", "host")] == [(letter.reason, letter.rule_id) for letter in found.dead_letters]
    assert "host.id" in found.dead_letters[0].detail
    assert [FLEET] == [match.rule for match in found.matches]


def test_match_without_a_clock_is_a_dead_letter() -> None:
    """No usable time anywhere; the record's own is enough."""
    record = raw(event(time="never"))
    found = engine().examine(record, None)

    assert [("no_clock", "host")] == [(letter.reason, letter.rule_id) for letter in found.dead_letters]
    assert () == found.matches
    assert Clock(7, "record_timestamp", ("@timestamp",)) == engine().examine(record, 7).clock


def test_match_with_too_many_terms_is_judged_and_reported() -> None:
    """The first hundred are judged, and the record also goes to the dead letters."""
    found = engine().examine(raw(event(name=[f"p{n}" for n in range(MAX_TERMS + 1)])), None)

    assert [("too_many_terms", "host")] == [(letter.reason, letter.rule_id) for letter in found.dead_letters]
    assert "101 terms" in found.dead_letters[0].detail
    assert MAX_TERMS == len(found.matches[0].terms)
    assert not engine().examine(raw(event(name=[f"p{n}" for n in range(MAX_TERMS)])), None).dead_letters


def test_too_many_terms_without_a_clock_are_both_reported() -> None:
    """Each thing that stands against a match has its own dead letter."""
    found = engine().examine(raw(event(name=[str(n) for n in range(200)], time=ABSENT)), None)

    assert {"no_clock", "too_many_terms"} == {letter.reason for letter in found.dead_letters}


def test_rules_of_a_scope_share_one_route() -> None:
    """Two rules of one host share a match record; the fleet's terms go by themselves."""
    found = engine(HOST, FLEET, OTHER).examine(raw(event(name="bash")), None)
    routes = found.routes()

    assert [Route("host", b"mail01"), route_of(FLEET, ("/usr/bin/bash",))] == routes
    assert [HOST, OTHER] == [due[0] for due in found.due(routes[0])]
    assert [(FLEET, ("/usr/bin/bash",))] == list(found.due(routes[1]))
    assert [] == list(found.due(Route("host", b"elsewhere")))


def test_hosts_of_a_record_have_routes_of_their_own() -> None:
    """An event of two hosts is judged once for each, where that host's history is."""
    found = engine().examine(raw(event(host=["a", "b"], name=["x", "y"])), None)

    assert [Route("host", b"a"), Route("host", b"b")] == found.routes()
    assert [("b", "x"), ("b", "y")] == [term for _, term in found.due(Route("host", b"b"))]


def test_fleet_route_depends_on_the_term() -> None:
    """Equal terms of a rule without `host.id` meet, whatever the host; others are spread."""
    assert route_of(FLEET, ("/bin/sh",)) == route_of(FLEET, ("/bin/sh",))
    assert route_of(FLEET, ("/bin/sh",)) != route_of(FLEET, ("/bin/bash",))
    assert "fleet" == route_of(FLEET, ("/bin/sh",)).scope


def test_new_term_has_an_alert() -> None:
    """The second step gives verdict, record and alert."""
    found = judged(engine(), raw(event(time="2026-01-05T12:00:00Z")))

    assert Verdict.NEW == found.assessment.verdict
    assert TermRecord(NOON, NOON, 1, NOON, 1, 0, "/usr/bin/sh") == found.assessment.record
    assert found.alert is not None
    assert "1.2.3" == json.loads(found.alert.value)["detector"]["engine"]["version"]


def test_known_replayed_and_learnt_terms_have_none() -> None:
    """Only what is new raises an alert."""
    record = raw(event(time="2026-01-05T12:00:00Z"))
    first = judged(engine(), record).assessment.record
    known = judged(engine(), record, first, offset=1)
    replayed = judged(engine(), record, first)
    learnt = judged(engine(alert_from=NOON + 1), record)

    assert [(Verdict.KNOWN, None), (Verdict.REPLAYED, None), (Verdict.LEARNING, None)] == [
        (one.assessment.verdict, one.alert) for one in (known, replayed, learnt)
    ]
    assert Verdict.NEW == judged(engine(alert_from=NOON), record).assessment.verdict


def test_window_is_the_rule_s() -> None:
    """A term that comes back after the rule's window is new, with what was seen before in the alert."""
    before = TermRecord(0, NOON - 14 * DAY, 4, NOON - DAY, 1, 0)
    record = raw(event(time="2026-01-05T12:00:00Z"))
    later = raw(event(time="2026-01-05T12:00:00.000000001Z"))

    assert Verdict.KNOWN == judged(engine(), record, before, 1).assessment.verdict
    found = judged(engine(), later, before, 1)
    assert Verdict.NEW == found.assessment.verdict
    assert found.alert is not None
    assert json.loads(found.alert.value)["kibana.alert.reason"].endswith("not seen on this host for 14 d.")


@pytest.mark.parametrize(
    "time", ["2026-01-05T12:05:00.000000001Z", "2126-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "253402300799999"]
)
def test_far_future_can_not_silence_a_term(time: str) -> None:
    """The clock is bounded by the topic's time plus the skew, and the alert says what was read."""
    found = judged(engine(), raw(event(time=time)))

    assert NOON + SKEW == found.assessment.record.last_seen
    assert found.alert is not None
    clock = json.loads(found.alert.value)["detector"]["clock"]
    assert "2026-01-05T12:05:00.000Z" == clock["time"]
    assert parse_time(time) == parse_time(clock["bounded_from"])


def test_clock_within_the_skew_is_not_bounded() -> None:
    """Exactly the skew is tolerated."""
    found = judged(engine(), raw(event(time="2026-01-05T12:05:00Z")))

    assert found.alert is not None
    assert "bounded_from" not in json.loads(found.alert.value)["detector"]["clock"]


@pytest.mark.parametrize(
    "time", ["9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59-23:59", "10000-01-01T00:00:00Z", "99999999999999999"]
)
def test_time_past_the_last_year_is_judged(time: str) -> None:
    """No date keeps a new term from its alert: what can't be written again is passed over."""
    found = judge(engine(), raw(event(time=time)), timestamp=NOON)

    assert isinstance(found, Judgement)
    assert found.alert is not None
    assert ["@timestamp"] == json.loads(found.alert.value)["detector"]["clock"]["passed_over"]


@pytest.mark.parametrize("timestamp", [253_402_300_800 * SECOND, (2**63 - 1) * 1_000_000, -1])
def test_impossible_time_of_a_record_is_no_clock(timestamp: int) -> None:
    """A record's time that no date can write is none."""
    found = engine().examine(raw(event(time=ABSENT)), timestamp)

    assert ["no_clock"] == [letter.reason for letter in found.dead_letters]


@pytest.mark.parametrize("depth", [10, 100, 190])
def test_deep_dotted_keys_are_no_failure_of_our_own(depth: int) -> None:
    """Dotted keys in nested objects, each spelled out as twenty levels, are judged or refused as too deep."""
    value: object = 1
    for _ in range(depth):
        value = {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t": value}
    record = raw({**event(), "labels": value})
    found = engine().examine(record, None)
    letters = [*found.dead_letters]
    for route in found.routes():
        for one, term in found.due(route):
            judgement = engine().judge(one, term, found, None, arrival(), record, NOON)
            letters += [judgement] if isinstance(judgement, DeadLetter) else []

    assert {letter.reason for letter in letters} <= {"too_deep"}


def test_old_entry_counts_as_absent() -> None:
    """Past the changelog's retention an entry is not believed any more."""
    before = TermRecord(0, NOON, 9, NOON - 28 * DAY - 1, 1, 0)

    assert Verdict.NEW == judged(engine(), raw(event()), before, 1).assessment.verdict


def test_rules_share_what_an_event_brings_to_their_alerts() -> None:
    """To normalise and cut an event is done once, not for each rule; neither alert is changed by the other."""
    of = engine(HOST, FLEET)
    record = raw(event(a="x" * 300_000))
    together = of.examine(record, NOON)
    found = [of.judge(one, term, together, None, arrival(), record, NOON)
             for route in together.routes() for one, term in together.due(route)]  # fmt: skip

    assert 1 == len(together.bodies)
    assert [judged(engine(one), record) for one in (HOST, FLEET)] == found


def test_alert_id_does_not_depend_on_the_run() -> None:
    """Other offsets, times and sources give the same id and key."""
    record = raw(event())
    of = engine()
    found = of.examine(record, None)
    runs = [
        of.judge(HOST, ("mail01", "sh"), found, None, arrival(offset, NOON + offset), record, NOON + 9 * offset)
        for offset in (0, 77)
    ]
    alerts = [one.alert for one in runs if isinstance(one, Judgement) and one.alert]

    assert 2 == len(alerts)
    assert 1 == len({(one.id, one.key) for one in alerts})


def test_failure_of_our_code_in_the_first_step_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever decoding or evaluating raises, the worker goes on and the record is kept."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr(module, "read_event", fail)

    assert (DeadLetter("internal_error", "ZeroDivisionError: our fault"),) == engine().examine(b"{}", 0).dead_letters


def test_failure_of_our_code_in_the_second_step_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever building raises, nothing is written for the term, and rule and error are named."""

    def fail(*_: object) -> None:
        raise RecursionError("our fault")

    monkeypatch.setattr(module, "build_alert", fail)

    assert DeadLetter("internal_error", "RecursionError: our fault", "host") == judge(engine(), raw(event()))


@pytest.mark.parametrize("examination", [Examination(), Examination(event=object())])  # type: ignore[arg-type]
def test_judging_what_was_not_read_is_a_dead_letter(examination: Examination) -> None:
    """Without event or clock there is nothing to judge."""
    found = engine().judge(HOST, ("h", "sh"), examination, None, arrival(), b"", NOON)

    assert isinstance(found, DeadLetter)
    assert ("internal_error", "host") == (found.reason, found.rule_id)


def test_candidate_is_what_holds_a_needle() -> None:
    """The engine derives its needles from all its rules, and from the family's query."""
    of = engine(HOST, rule("perl", query="process.name:perl5"))

    assert engine(rule("perl", query="process.name:perl5")).needles.is_candidate(b"...exim4...")

    assert {"exim4", "perl5"} == of.needles.literals
    assert of.needles.is_candidate(b"...perl5...")
    assert of.needles.is_candidate(b"...\\u0065xim4...")
    assert not of.needles.is_candidate(b"...exim...")


MEMBER = event(name="grep", time="2026-01-05T12:00:00Z", process__entity_id="E", process__parent__entity_id="P")


def remembered(
    record: JsonObject, taken_at: int = NOON, database: dict[bytes, bytes] | None = None
) -> tuple[Ring, DeadLetter | None]:
    """Remember an event's processes."""
    found = engine().examine(raw(record), NOON)
    ring = Ring(({} if database is None else database).get, "mail01", 8, taken_at)
    return ring, engine().remember(found, arrival(taken_at=taken_at), ring)


def test_member_that_matches_no_rule_goes_to_its_host() -> None:
    """Its lineage is remembered there; nothing is judged."""
    found = engine().examine(raw(MEMBER), NOON)
    [route] = found.routes()

    assert Route("host", b"mail01") == route
    assert found.tells_of(route)
    assert [] == list(found.due(route))
    assert (True, "mail01") == (found.is_member, found.host)


def test_match_and_member_share_their_host_s_route() -> None:
    """One record for both; the fleet's terms go by themselves, and tell of no process there."""
    found = engine(HOST, FLEET).examine(raw(event()), NOON)
    here, fleet = found.routes()

    assert [True, False] == [found.tells_of(here), found.tells_of(fleet)]
    assert not found.tells_of(Route("host", b"elsewhere"))
    assert not found.tells_of(Route("fleet", here.key))


def test_member_of_the_fleet_s_rules_has_two_routes() -> None:
    """Where a rule does not ask for the host, the lineage still does."""
    found = engine(FLEET).examine(raw(event()), NOON)

    assert [False, True] == [found.tells_of(route) for route in found.routes()]


def test_processes_of_an_event_are_the_first_host_s() -> None:
    """An event of two hosts is judged on each, and remembered once."""
    found = engine().examine(raw(event(host=["", "a", "b"], name="x")), NOON)

    assert [("a", True), ("b", False)] == [(one.key.decode(), found.tells_of(one)) for one in found.routes()]


def test_member_without_a_host_is_remembered_nowhere() -> None:
    """It is a member all the same, so that it can be counted; it is no dead letter."""
    found = engine().examine(raw(event(name="grep", host=ABSENT)), NOON)

    assert (True, None, [], ()) == (found.is_member, found.host, found.routes(), found.dead_letters)
    assert not found.tells_of(Route("host", b""))


def test_event_that_is_no_member_tells_of_none() -> None:
    """A rule may match what is no execution of the family."""
    of = engine(rule(query="process.name:sh"))
    found = of.examine(raw(event(parent="bash")), NOON)

    assert [Route("host", b"mail01")] == found.routes()
    assert (False, None) == (found.is_member, found.host)


def test_process_and_parent_are_remembered() -> None:
    """As the event describes them, at the event's time."""
    ring, failure = remembered(MEMBER)
    own, over = ring.find("E"), ring.find("P")

    assert failure is None
    assert own is not None
    assert over is not None
    assert ("grep", NOON, False, "P") == (own.image.name, own.image.clock, own.image.is_told, own.parent_id)
    assert ("exim4", NOON, True) == (over.image.name, over.image.clock, over.image.is_told)


def test_leader_named_exim4_is_remembered() -> None:
    """The daemon leads the sessions of its deliveries, and is in none of their events a parent."""
    daemon = {"process__session_leader__name": "exim4", "process__session_leader__entity_id": "daemon"}
    shell = {"process__group_leader__name": "sh", "process__group_leader__entity_id": "shell"}
    ring, _ = remembered(event(process__entity_id="E", process__parent__entity_id="P", **daemon, **shell))
    found = ring.find("daemon")

    assert found is not None
    assert ("exim4", True) == (found.image.name, found.image.is_told)
    assert ring.find("shell") is None


def test_term_keeps_which_program_it_was() -> None:
    """Path and digest of the last match; what is no digest is left out."""
    found = judged(engine(), raw(event(process__hash__sha256="AB" * 32)))
    odd = judged(engine(), raw(event(process__hash__sha256="no digest")))

    assert ("/usr/bin/sh", b"\xab" * 32) == (found.assessment.record.executable, found.assessment.record.sha256)
    assert odd.assessment.record.sha256 is None


@pytest.mark.parametrize(
    ("time", "expected"), [("2126-01-01T00:00:00Z", NOON + SKEW), ("2026-01-05T12:05:00Z", NOON + SKEW), (ABSENT, NOON)]
)
def test_far_future_is_not_remembered(time: object, expected: int) -> None:
    """A process's time is bounded as a term's is; without one it is the record's."""
    own = remembered({**event(time=time, process__entity_id="E")})[0].find("E")

    assert own is not None
    assert expected == own.image.clock


def test_member_without_any_clock_is_remembered_when_it_was_taken() -> None:
    """Its match is a dead letter, its place in a lineage is not lost."""
    found = engine().examine(raw(event(time=ABSENT, process__entity_id="E")), None)
    ring = Ring(lambda _: None, "mail01", 8, NOON)

    assert ["no_clock"] == [letter.reason for letter in found.dead_letters]
    assert engine().remember(found, arrival(), ring) is None
    own = ring.find("E")
    assert own is not None
    assert NOON == own.image.clock


def test_failure_to_remember_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever our own code raises; without an event there is nothing to remember."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    ring = Ring(lambda _: None, "mail01", 8, NOON)
    found = engine().remember(Examination(), arrival(), ring)
    assert found is not None
    assert "internal_error" == found.reason
    monkeypatch.setattr(module, "executed", fail)
    assert DeadLetter("internal_error", "RuntimeError: a bug") == remembered(MEMBER)[1]


def test_unknown_format_of_the_lineage_stops() -> None:
    """Neither an alert nor what is remembered is lost to a table that a newer version wrote."""
    found = engine().examine(raw({**MEMBER, **event(process__entity_id="E")}), NOON)
    newer = Ring(lambda _: b"\x09", "mail01", 8, NOON)

    with pytest.raises(StateFormatError):
        engine().remember(found, arrival(), newer)
    with pytest.raises(StateFormatError):
        engine().judge(HOST, ("mail01", "sh"), found, None, arrival(), b"", NOON, Memory(None, newer.find))


@pytest.mark.parametrize("field", ["process__executable", "process__parent__name", "process__Ext__ancestry"])
def test_hostile_event_is_judged_in_seconds(field: str) -> None:
    """Of a hundred terms none looks anew at a hundred thousand values: that took minutes, and the group's patience."""
    of = engine(*RULES.values())
    fields: dict[str, object] = {
        "process__executable": [f"/tmp/{n}" for n in range(MAX_TERMS)],
        "process__entry_leader__name": "exim4",
        "process__args": ["sh"],
        field: ["exim4", *(f"/tmp/{n}" for n in range(60_000))],
    }
    record = raw(event([f"{n}" for n in range(MAX_TERMS)], **fields))
    started = time.process_time()

    found = of.examine(record, NOON)
    dues = [due for route in found.routes() for due in found.due(route)]
    alerts = [of.judge(one, term, found, None, arrival(), record, NOON) for one, term in dues]

    assert time.process_time() - started < 4
    assert len(alerts) >= 2 * MAX_TERMS - 1
    assert all(isinstance(one, Judgement) and one.alert is not None for one in alerts)


def test_alert_says_what_is_remembered() -> None:
    """The chain above the parent comes from the table, the rule's baseline from the other one."""
    database: dict[bytes, bytes] = {}
    for before in (
        event("exim4", "systemd", process__entity_id="D"),
        event("exim4", process__entity_id="P", process__parent__entity_id="D", process__executable="/usr/sbin/exim4"),
    ):
        ring, _ = remembered(before, database=database)
        for change in ring.changes:
            database.update({key: value for key, value in derived(*change) if value is not None})
    record = raw(event(process__entity_id="E", process__parent__entity_id="P"))
    found = engine().examine(record, NOON)
    ring = Ring(database.get, "mail01", 8, NOON)
    engine().remember(found, arrival(), ring)
    memory = Memory(BaselineRecord(NOON - DAY, 3, NOON - DAY, 1, 0, 0), ring.find)
    judgement = engine().judge(HOST, ("mail01", "sh"), found, None, arrival(9), record, NOON, memory)

    assert isinstance(judgement, Judgement)
    assert judgement.alert is not None
    detector = json.loads(judgement.alert.value)["detector"]
    assert ["D", "P", "E"] == [one["entity_id"] for one in detector["lineage"]["processes"]]
    assert ("child", 1, True) == tuple(detector["lineage"][name] for name in ("relation", "depth", "complete"))
    assert 3 == detector["baseline"]["rule"]["terms"]
    assert judgement.baseline is not None
    assert 4 == judgement.baseline.terms


def test_fleet_s_judgement_has_no_baseline() -> None:
    """Its terms belong to no host."""
    found = judged(engine(FLEET), raw(event()))

    assert found.baseline is None
    assert found.alert is not None
    assert {} == json.loads(found.alert.value)["detector"]["baseline"]


@pytest.mark.parametrize("names", [["a", "b", "c"], ["c", "a", "b", "a"]])
def test_terms_of_a_record_are_counted_in_their_order(names: list[str]) -> None:
    """Each finds those before it in the baseline, and counts itself."""
    record = raw(event(name=names))
    of = engine()
    found = of.examine(record, NOON)
    baseline: BaselineRecord | None = None
    for n, (one, term) in enumerate(found.due(found.routes()[0])):
        judgement = of.judge(one, term, found, None, arrival(), record, NOON, Memory(baseline))
        assert isinstance(judgement, Judgement)
        baseline = judgement.baseline
        assert baseline is not None
        assert (n + 1, n) == (baseline.terms, baseline.place)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["exim4", "sh", "", "2026-01-05T12:00:00Z", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "process",
                    "name",
                    "parent",
                    "host",
                    "id",
                    "event",
                    "kibana",
                    "@timestamp",
                    "process.name",
                    "data_stream",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(
    st.sampled_from(["process.name", "event", "host", "@timestamp", "data_stream", "event.ingested", "user", "kibana"]),
    _JSON,
)
def test_odd_values_in_known_fields_are_judged(field: str, value: object) -> None:
    """Whatever type stands where a string is expected, no record of a match provokes a failure of our own."""
    record = raw({**event(), field: value})
    of = engine(HOST, FLEET)
    found = of.examine(record, NOON)

    assert "internal_error" not in {letter.reason for letter in found.dead_letters}
    for route in found.routes():
        for one, term in found.due(route):
            assert isinstance(of.judge(one, term, found, None, arrival(), record, NOON), Judgement)


@settings(deadline=None)
@given(st.binary(max_size=30))
def test_bytes_never_stop_the_engine(tail: bytes) -> None:
    """Any bytes in a process's name or after the record give a result."""
    for record in (raw(event()) + tail, raw(event(name="NAME")).replace(b"NAME", tail)):
        found = engine().examine(record, NOON)
        assert found.event is not None or found.dead_letters
        assert all(letter.reason in REASONS and letter.reason != "internal_error" for letter in found.dead_letters)

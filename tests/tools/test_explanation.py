"""An explanation says what the worker does: on random histories, before and after, and by the alert alone."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hypothesis import given, seed, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from app.core.alert import Alert
from app.core.document import encode_document
from app.core.engine import Arrival, Engine, Route
from app.core.event import JsonObject
from app.core.new_terms import epoch_of
from app.runtime.counts import Counts
from app.runtime.effects import Effects
from app.runtime.in_flight import Unconfirmed
from app.runtime.records import SourcePosition, match_headers
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import PACKAGED_RULES
from app.runtime.steps import MatchStep, NoveltyStep, Reads, Record
from app.tools.decisions import Subject
from app.tools.explain_alert import CarriedAlert
from app.tools.explanation import explain
from app.tools.explanation_tree import tree_of
from app.tools.history import History
from tests.core.rules import RULE_FILE
from tests.event_strategies import NOW, records, time_text
from tests.events import event, raw
from tests.oracle import DAY, SECOND, WINDOW
from tests.runtime.test_steps import Recorder
from tests.tools.test_screen import acts

_PARTITION = 1
_SLOTS = 4
_TOPIC_ID = "topic"


def engine() -> Engine:
    """The engine with all shipped rules."""
    return build_engine(
        load_rules([PACKAGED_RULES]), max_alert_bytes=1 << 20, max_future_skew="5m", alert_from=None, learn_until=None
    )


_ENGINE = engine()
_NAMES = ("exim4", "sh", "grep", "id")
_ENTITIES = ("e1", "e2", "e3", "e4")
_PATHS = ("/usr/bin/", "/tmp/.x/", "/usr/bin/../")
_TIMES = (NOW, NOW - DAY, NOW - WINDOW, NOW - WINDOW - 1, NOW - 2 * WINDOW)


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """Draw an execution in a small family: few ids and names, so that chains meet, with what is missing at random."""
    name, parent = draw(st.sampled_from(_NAMES)), draw(st.sampled_from(_NAMES))
    leader = draw(st.sampled_from(("exim4", "exim4", "sh")))
    own, *ids = draw(st.permutations(_ENTITIES))
    fields: dict[str, Any] = {
        "process__entity_id": own,
        "process__executable": draw(st.sampled_from(_PATHS)) + name,
        "process__args": [name, *draw(st.sampled_from(([], ["-c", "curl x|sh"], ["-i"])))],
        "process__parent__entity_id": ids[0],
        "process__session_leader": {"name": leader, "entity_id": draw(st.sampled_from(ids))},
        "user__id": draw(st.sampled_from((0, 105))),
    }
    if draw(st.booleans()):
        fields["process__Ext__ancestry"] = ids[: draw(st.integers(1, 3))]
    host = draw(st.sampled_from(("h1", "h1", "h1", "h2", ["h1", "h2"], "")))
    return raw(event(name, parent, host, time_text(draw(st.sampled_from(_TIMES))), **fields))


def some_histories() -> st.SearchStrategy[list[bytes]]:
    """Draw histories of families and of odd records, some of them twice."""
    return st.lists(members() | members() | records(), min_size=1, max_size=10).flatmap(
        lambda drawn: st.lists(st.sampled_from(drawn), max_size=3).map(lambda again: drawn + again)
    )


@dataclass
class Changelogs(Recorder):
    """The worker's effects, with its changelogs as its state is read from them."""

    terms_log: list[tuple[bytes, bytes]] = field(default_factory=list)
    lineage_log: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    sent: list[JsonObject] = field(default_factory=list)

    async def forward(self, route: Route, *rest: object) -> Unconfirmed:
        """Note where a match goes."""
        self.routes.append(route)
        return await super().forward(route, *rest)

    async def alert(self, alert: Alert, *rest: object) -> bool:
        """Note an alert in the order in which it was decided."""
        self.sent.append({"raw": alert.value})
        return await super().alert(alert, *rest)

    async def write(self, key: bytes, value: bytes) -> Unconfirmed:
        """Keep the changelog record."""
        self.terms_log.append((key, value))
        return await super().write(key, value)

    async def remember(self, changes: Sequence[tuple[bytes, bytes | None]]) -> list[Unconfirmed]:
        """Keep the changelog records."""
        self.lineage_log += changes
        return await super().remember(changes)

    def history(self) -> History:
        """What is known, by the changelogs."""
        history = History(_ENGINE, _SLOTS)
        for key, value in self.terms_log:
            history.enter(key, value)
        for name, content in self.lineage_log:
            history.remember(name, content)
        return history


class Worker:
    """Both steps over a log of matches in memory, all effects of a record confirmed before the next."""

    def __init__(self) -> None:
        self.changelogs = Changelogs()
        self.counts = Counts()
        self.offset = 0
        reads = Reads(self.changelogs.table.get, self.changelogs.lineage.get, _SLOTS)
        effects = cast(Effects, self.changelogs)
        self._match = MatchStep(_ENGINE, effects, self.counts)
        self._novelty = NoveltyStep(_ENGINE, effects, reads, lambda: NOW, _TOPIC_ID, self.counts)

    def process(self, value: bytes, source: SourcePosition) -> None:
        """Process one source record to its end."""
        asyncio.run(self._process(value, source))

    async def _process(self, value: bytes, source: SourcePosition) -> None:
        self.changelogs.routes.clear()
        await self._settle(await self._match.process(Record(source, None, value, [])))
        for route in list(self.changelogs.routes):
            position = SourcePosition("matches", _PARTITION, self.offset, NOW // 10**6)
            self.offset += 1
            match = Record(position, route.key, value, list(match_headers(route, source)))
            await self._settle(await self._novelty.process(match))

    async def _settle(self, unconfirmed: list[Unconfirmed]) -> None:
        await asyncio.gather(*(effect.future for effect in unconfirmed))


def subject(value: bytes, source: SourcePosition, first_offset: int) -> Subject:
    """The record as the worker will see it: its matches take the next offsets."""
    routes = _ENGINE.examine(value, source.nanoseconds).routes()
    taken_at = NOW // 10**6 * 10**6
    places = {
        route: Arrival(epoch_of(_TOPIC_ID, _PARTITION), first_offset + n, taken_at, source.shown())
        for n, route in enumerate(routes)
    }
    unrouted = Arrival(0, 0, taken_at, source.shown())
    return Subject(value, source.nanoseconds, source.shown(), lambda route: places.get(route, unrouted))


def explained(history: History, of: Subject) -> JsonObject:
    """Explain, with a tree made of it, too."""
    document = explain(_ENGINE, history, of, NOW, "what is known")
    tree_of(document)
    return cast(JsonObject, json.loads(encode_document(document)))


def terms(document: JsonObject) -> list[JsonObject]:
    """All terms of an explanation, with their rules."""
    return [{**term, "rule": rule} for rule in document.get("rules", ()) for term in rule["terms"]]


def flat(clauses: Sequence[JsonObject]) -> list[tuple[str, bool]]:
    """Text and result of clauses."""
    return [(clause["clause"], clause["result"]) for clause in clauses]


@settings(max_examples=60, deadline=None)
@given(some_histories())
def test_an_explanation_is_what_the_worker_does(history: list[bytes]) -> None:
    """Verdicts, alert ids, reasons, clauses, lineage, assessment, state and dead letters, said before it is done."""
    worker = Worker()
    for number, value in enumerate(history):
        source = SourcePosition("events", 0, number, NOW // 10**6)
        document = explained(worker.changelogs.history(), subject(value, source, worker.offset))
        verdicts, done, alerts = worker.counts.of_verdict(), len(worker.changelogs.done), len(worker.changelogs.sent)
        worker.process(value, source)

        found = terms(document)
        assert Counter(term["verdict"] for term in found) == +(worker.counts.of_verdict() - verdicts)
        letters = [what for name, what in worker.changelogs.done[done:] if name == "dead_letter"]
        assert [letter["reason"] for letter in document["dead_letters"]] == letters
        made = {alert["kibana.alert.uuid"]: alert for alert in map(decoded, worker.changelogs.sent[alerts:])}
        new = [term for term in found if term["verdict"] == "new"]
        assert sorted(made) == sorted(term["alert_id"] for term in new)
        for term in new:
            assert_grounds(term, document, made[term["alert_id"]])


def decoded(sent: JsonObject) -> JsonObject:
    """An alert's content."""
    return cast(JsonObject, json.loads(sent["raw"]))


def assert_grounds(term: JsonObject, document: JsonObject, alert: JsonObject) -> None:
    """What an explanation says of a new term is what its alert says."""
    detector = alert["detector"]
    assert detector["term"] == term["term"]
    assert detector["clock"] == term["clock"]
    assert alert["kibana.alert.reason"] == term["reason"]
    assert detector["lineage"] == term.get("lineage", document.get("lineage"))
    assert detector["assessment"] == term.get("assessment", document.get("assessment"))
    assert flat(detector["clauses"]) == flat(term["rule"]["clauses"])
    assert all(clause["result"] for clause in term["rule"]["clauses"])
    state = term["state"] or {}
    before = detector["baseline"].get("term", {})
    names = ("first_seen", "last_seen", "count")
    assert {name: before.get(name) for name in names} == {name: state.get(name) for name in names}
    assert detector["baseline"]["rule"] == term["baseline"]


@settings(max_examples=60, deadline=None)
@given(some_histories())
def test_what_was_applied_is_explained_as_such(history: list[bytes]) -> None:
    """After the worker went on, the same event at its position is known to have been judged."""
    worker = Worker()
    for number, value in enumerate(history):
        source = SourcePosition("events", 0, number, NOW // 10**6)
        first = worker.offset
        worker.process(value, source)

        again = explained(worker.changelogs.history(), subject(value, source, first))
        assert {"replayed"} >= {term["verdict"] for term in terms(again)}


@settings(max_examples=60, deadline=None)
@given(some_histories())
def test_an_alert_is_derived_again_from_what_it_carries(history: list[bytes]) -> None:
    """Query, term, id, verdict and assessment of every alert follow from its own fields."""
    worker = Worker()
    for number, value in enumerate(history):
        worker.process(value, SourcePosition("events", 0, number, NOW // 10**6))
    for sent in worker.changelogs.sent:
        carried = CarriedAlert(sent["raw"], "alert")
        document = carried.explain(_ENGINE.rules)

        assert [] == [check for check in document["checks"] if not check["result"]]
        assert [] == document["notes"]
        assert ["new"] == [term["verdict"] for term in terms(document)]
        tree_of(document)


def test_histories_bring_every_verdict() -> None:
    """The strategy reaches what it is there for; else the properties above would say little."""
    seen: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None, database=None)
    @seed(1)
    @given(some_histories())
    def run(history: list[bytes]) -> None:
        worker = Worker()
        for number, value in enumerate(history):
            worker.process(value, SourcePosition("events", 0, number, NOW // 10**6))
        seen.update(worker.counts.of_verdict())
        for sent in worker.changelogs.sent:
            links = decoded(sent)["detector"]["lineage"]["processes"]
            seen.update(link["origin"] for link in links)

    run()
    assert {"new", "known", "event", "leader", "seen", "unknown"} <= set(+seen)


def test_what_the_changelog_may_have_dropped_counts_as_forgotten() -> None:
    """A record that was applied too long ago is shown, and is not what the term is compared with."""
    history, value = History(_ENGINE), raw(event())
    source = SourcePosition("events", 0, 0, None)
    explain(_ENGINE, history, subject(value, source, 0), NOW, "nothing")
    for key, record in history.terms.items():
        old = replace(record, applied_at=NOW - _ENGINE.standards.retention - SECOND)
        history.terms[key] = old
    (term,) = terms(explained(history, subject(value, source, 1)))

    assert ("new", None, 1) == (term["verdict"], term["state"], term["forgotten"]["count"])


def test_a_field_that_holds_an_object_is_said(tmp_path: Path) -> None:
    """`field:*` takes an object for a value; there is no text of it to show."""
    file = tmp_path / "rule.toml"
    file.write_text(RULE_FILE.replace("process.parent.name:exim4", "process.parent.name:exim4 and process.tty:*"))
    judging = build_engine(
        load_rules([file]), max_alert_bytes=1 << 20, max_future_skew="5m", alert_from=None, learn_until=None
    )
    value = raw(event(process__tty={"columns": 80}))
    document = explain(judging, History(judging), subject(value, SourcePosition("e", 0, 0, None), 0), NOW, "nothing")
    (clause,) = [one for one in document["rules"][0]["clauses"] if one["clause"] == "process.tty:*"]

    assert (True, {"process.tty": []}, ["process.tty"]) == (clause["result"], clause["values"], clause["objects"])
    assert any("an object" in line for line in printed(document))


def printed(document: JsonObject) -> list[str]:
    """The lines of a document's tree."""
    console = Console(width=10_000, force_terminal=False)
    with console.capture() as captured:
        console.print(tree_of(document))
    return captured.get().splitlines()


def test_nothing_of_an_event_acts_on_a_terminal() -> None:
    """Names, arguments and values with control characters are spelled out in the tree."""
    bad = "sh\x1b]0;owned\x07\u202e\n"
    value = raw(event(bad, process__args=[bad, "-c", bad], process__executable=f"/tmp/{bad}", host=bad))
    source = SourcePosition("events", 0, 0, None)
    document = explain(_ENGINE, History(_ENGINE), subject(value, source, 0), NOW, "nothing")
    text = "".join(printed(document))

    assert "sh\\u001b]0;owned\\u0007\\u202e\\u000a" in text
    assert not acts(text)

"""The order of effects: what is confirmed before what, and what is never done after a failure."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from app.core.alert import Alert
from app.core.baseline import decode_baseline, is_baseline_key
from app.core.dead_letter import DeadLetter
from app.core.engine import Engine, Route
from app.core.new_terms import TermRecord, decode_record, encode_record, epoch_of, term_key
from app.core.ring import UnreadableError, derived
from app.errors import EffectError
from app.runtime.counts import Counts
from app.runtime.effects import Effects
from app.runtime.in_flight import Unconfirmed
from app.runtime.records import SourcePosition, match_headers
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import PACKAGED_RULES
from app.runtime.steps import MatchStep, NoveltyStep, Reads, Record
from tests.events import ABSENT, event, raw

RULE = PACKAGED_RULES / "exim4_child.toml"
NOW = 1_767_700_000 * 10**9
SOURCE = SourcePosition("events", 3, 7, NOW // 10**6)
ROUTE = Route("host", b"mail01")


def _engine() -> Engine:
    return build_engine(
        load_rules([RULE]), max_alert_bytes=1_000_000, max_future_skew="5m", alert_from=None, learn_until=None
    )


@dataclass
class Recorder:
    """Stands for the effects: notes each in its order and can fail at one of them."""

    fails_at: str = ""
    done: list[tuple[str, Any]] = field(default_factory=list)
    table: dict[bytes, bytes] = field(default_factory=dict)
    lineage: dict[bytes, bytes] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    turns: dict[str, int] = field(
        default_factory=dict
    )  # of the loop until an alert is confirmed, by the last value of its term
    most_at_once: int = 0
    takes_alerts: bool = True
    _sending: int = 0

    async def _note(self, name: str, what: object) -> None:
        await asyncio.sleep(0)
        if name == self.fails_at:
            raise EffectError(f"{name} was not confirmed")
        self.done.append((name, what))

    async def forward(self, route: Route, *_: object) -> Unconfirmed:
        """Note a match; it is confirmed at once."""
        await self._note("forward", route)
        return _confirmed("a match")

    async def alert(self, alert: Alert, *_: object) -> bool:
        """Note an alert, after a while; says whether it is in its topic, or a dead letter now."""
        self._sending += 1
        self.most_at_once = max(self.most_at_once, self._sending)
        document = json.loads(alert.value)
        for _turn in range(self.turns.get(document["kibana.alert.new_terms"][-1], 20)):
            await asyncio.sleep(0)
        await self._note("alert", alert.id)
        self._sending -= 1
        self.alerts.append(document)
        return self.takes_alerts

    async def dead_letter(self, letter: DeadLetter, *_: object) -> None:
        """Note a dead letter."""
        await self._note("dead_letter", letter.reason)

    async def write(self, key: bytes, value: bytes) -> Unconfirmed:
        """Note an entry, and keep it; it is confirmed at once."""
        if is_baseline_key(key):
            await self._note("baseline", decode_baseline(value))
        else:
            await self._note("write", decode_record(value))
        self.table[key] = value
        return _confirmed("an entry")

    async def remember(self, changes: Sequence[tuple[bytes, bytes | None]]) -> list[Unconfirmed]:
        """Note that a process is remembered, and keep it."""
        await self._note("remember", len(changes))
        for change in changes:
            for key, value in derived(*change):
                self.lineage.pop(key, None)
                if value is not None:
                    self.lineage[key] = value
        return [_confirmed("a process")]


def _novelty(
    recorder: Recorder, topic_id: str = "topic", engine: Engine | None = None, counts: Counts | None = None
) -> NoveltyStep:
    reads = Reads(recorder.table.get, recorder.lineage.get)
    counted = Counts() if counts is None else counts
    return NoveltyStep(engine or _engine(), cast(Effects, recorder), reads, lambda: NOW, topic_id, counted)


def _match(value: bytes, offset: int = 5, route: Route = ROUTE) -> Record:
    position = SourcePosition("matches", 1, offset, NOW // 10**6)
    return Record(position, route.key, value, list(match_headers(route, SOURCE)))


def _term(name: str, at: int) -> Record:
    return _match(raw(event(name=name)), 5 + at)


def _confirmed(what: str) -> Unconfirmed:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return Unconfirmed(future, what)


def _run(step: MatchStep | NoveltyStep, *records: Record) -> None:
    """Process records as a worker does: the next begins before the one before is confirmed."""

    async def run() -> None:
        unconfirmed = [effect for record in records for effect in await step.process(record)]
        await asyncio.gather(*(effect.future for effect in unconfirmed))

    asyncio.run(run())


def _names(recorder: Recorder) -> list[str]:
    """What was done; that every member of the family is remembered has tests of its own."""
    return [name for name, _ in recorder.done if name != "remember"]


def test_alert_is_confirmed_before_the_table_is_written() -> None:
    """A crash between the two replays the record: the alert comes twice, never not at all."""
    recorder = Recorder()

    _run(_novelty(recorder), _match(raw(event(host="mail01"))))

    assert ["alert", "baseline", "write"] == _names(recorder)


@pytest.mark.parametrize(
    ("fails_at", "expected"),
    [("remember", []), ("alert", []), ("baseline", ["alert"]), ("write", ["alert", "baseline"])],
)
def test_nothing_is_done_after_a_failed_effect(fails_at: str, expected: list[str]) -> None:
    """The step raises, so that the process ends; above all the table does not know the term yet."""
    recorder = Recorder(fails_at)

    with pytest.raises(EffectError):
        _run(_novelty(recorder), _match(raw(event(host="mail01"))))

    assert expected == _names(recorder)
    assert [] == [key for key in recorder.table if not is_baseline_key(key)]


@pytest.mark.parametrize(("is_taken", "expected"), [(True, (1, 1)), (False, (0, 0))])
def test_alert_is_counted_once_it_is_in_its_topic(is_taken: bool, expected: tuple[int, int]) -> None:
    """One that was too large is a dead letter, and counts as that alone."""
    counts = Counts()
    _run(_novelty(Recorder(takes_alerts=is_taken), counts=counts), _match(raw(event(name="sh"))))
    latencies = {sum(latency.buckets) for latency in counts.latencies.values()}

    assert (expected[0], {expected[1]}) == (sum(counts.alerts.values()), latencies)


def test_replayed_record_gives_the_same_alert_id() -> None:
    """Judged again before its table entry was written, a record alerts under the id it had."""
    first, second = Recorder("write"), Recorder()
    with pytest.raises(EffectError):
        _run(_novelty(first), _match(raw(event(host="mail01"))))
    _run(_novelty(second), _match(raw(event(host="mail01"))))

    assert first.done == second.done[: len(first.done)]
    assert ["alert", "baseline"] == _names(first)


def test_replayed_position_is_written_again_and_not_judged() -> None:
    """After the write a replay sends no alert, but writes the entry: its changelog record may be missing."""
    recorder = Recorder()
    step = _novelty(recorder)
    for _ in range(2):
        _run(step, _match(raw(event(host="mail01"))))

    assert ["alert", "baseline", "write", "baseline", "write"] == _names(recorder)
    written = [what for name, what in recorder.done if name in ("baseline", "write")]
    assert written[:2] == written[2:]


def test_recreated_topic_is_another_epoch() -> None:
    """Offsets begin anew in a topic that was made again: its records do not look applied."""
    recorder = Recorder()
    _run(_novelty(recorder, "before"), _match(raw(event(host="mail01")), offset=9))
    _run(_novelty(recorder, "after"), _match(raw(event(host="mail01")), offset=0))

    counts = [record.count for name, record in recorder.done if name == "write"]
    assert [1, 2] == counts
    assert epoch_of("before", 1) != epoch_of("after", 1)


def test_record_of_the_same_term_waits_for_the_announcement() -> None:
    """New is a barrier for its term: the next one of it finds the entry and is known."""
    recorder = Recorder()

    _run(_novelty(recorder), *(_match(raw(event(host="mail01")), offset) for offset in (5, 6, 7)))

    assert ["alert", "baseline", "write", "write", "write"] == _names(recorder)
    assert [1, 2, 3] == [record.count for name, record in recorder.done if name == "write"]


def test_record_of_another_term_does_not_wait() -> None:
    """While a new term is announced others are judged: one slow acknowledgement does not hold up the rest."""
    recorder = Recorder()
    names = ("sh", "perl", "nc")

    _run(_novelty(recorder), *(_match(raw(event(host="mail01", name=name)), 5 + at) for at, name in enumerate(names)))

    assert 3 == recorder.most_at_once
    assert ["baseline", "write"] * 3 == [name for name in _names(recorder) if name != "alert"]


def test_terms_that_are_announced_together_are_counted_one_after_the_other() -> None:
    """Each alert tells the baseline with those before it, though none of them is written yet."""
    recorder = Recorder()
    names = ("sh", "perl", "nc")

    _run(_novelty(recorder), *(_match(raw(event(host="mail01", name=name)), 5 + at) for at, name in enumerate(names)))

    told = [alert["detector"]["baseline"]["rule"]["terms"] for alert in recorder.alerts]
    assert [0, 1, 2] == told
    assert [1, 2, 3] == [what.terms for name, what in recorder.done if name == "baseline"]


def test_baselines_are_written_in_the_order_of_their_records() -> None:
    """Also where a later alert is confirmed first: else an older count would stand in the table for good."""
    recorder = Recorder(turns={"sh": 60, "perl": 5})

    _run(_novelty(recorder), *(_match(raw(event(name=name)), 5 + at) for at, name in enumerate(("sh", "perl"))))

    assert ["perl", "sh"] == [alert["process"]["name"] for alert in recorder.alerts]
    assert [1, 2] == [what.terms for name, what in recorder.done if name == "baseline"]


def test_baseline_that_is_still_to_be_written_outlives_the_end_of_an_earlier_one() -> None:
    """The first announcement is over, the second is not: a third term is counted after both."""
    recorder = Recorder(turns={"sh": 5, "perl": 500})
    step = _novelty(recorder)

    async def run() -> None:
        first = [one for at, name in enumerate(("sh", "perl")) for one in await step.process(_term(name, at))]
        await first[1].future  # of the first term: its process came before it
        third = await step.process(_term("nc", 2))
        await asyncio.gather(*(one.future for one in (*first, *third)))

    asyncio.run(run())
    told = {alert["process"]["name"]: alert["detector"]["baseline"]["rule"]["terms"] for alert in recorder.alerts}
    assert {"sh": 0, "perl": 1, "nc": 2} == told


def test_crash_between_baseline_and_term_counts_the_term_once() -> None:
    """The replay finds the term counted, and tells what the first alert told."""
    recorder = Recorder("write")
    with pytest.raises(EffectError):
        _run(_novelty(recorder), _match(raw(event(host="mail01"))))
    recorder.fails_at = ""
    _run(_novelty(recorder), _match(raw(event(host="mail01"))))

    first, second = recorder.alerts
    assert first == second
    assert [1, 1] == [what.terms for name, what in recorder.done if name == "baseline"]


def test_member_that_no_rule_matches_is_remembered_and_nothing_else() -> None:
    """A delivery of exim4 raises nothing, and later alerts can tell of it."""
    recorder = Recorder()

    _run(_novelty(recorder), _match(raw(event(name="exim4", parent="exim4", process__entity_id="delivery"))))

    assert [("remember", 1)] == recorder.done


def test_table_that_can_not_be_read_costs_no_alert() -> None:
    """While a process is remembered or its ancestors are looked up: the step raises, and the replay judges."""
    value = raw(
        event(host="mail01", process__entity_id="own", process__Ext__ancestry=["parent", "grandparent", "daemon"])
    )
    done: list[list[str]] = []
    for working in range(20):
        recorder = Recorder()
        step = _novelty(recorder)
        step._reads = Reads(recorder.table.get, _failing_after(working, recorder.lineage))
        try:
            _run(step, _match(value))
        except UnreadableError:
            assert "dead_letter" not in _names(recorder)
            assert not recorder.alerts
            done.append([name for name, _ in recorder.done])
        else:
            assert ["alert", "baseline", "write"] == _names(recorder)

    assert [] in done
    assert ["remember"] in done


def _failing_after(reads: int, table: dict[bytes, bytes]) -> Callable[[bytes], bytes | None]:
    """Read a table, until the machine has no more files to open."""
    left = iter(range(reads))

    def read(key: bytes) -> bytes | None:
        if next(left, None) is None:
            raise OSError("IO error: Too many open files")
        return table.get(key)

    return read


def test_alert_tells_of_what_was_remembered() -> None:
    """The parent of the parent is in no event of the last process; its own event said it."""
    recorder = Recorder()
    shell = event("sh", process__entity_id="shell", process__parent__entity_id="delivery")
    deep = event(
        "wget",
        "sh",
        process__entity_id="wget",
        process__parent__entity_id="shell",
        process__session_leader__name="exim4",
        process__session_leader__entity_id="daemon",
    )
    engine = build_engine(
        load_rules([PACKAGED_RULES]), max_alert_bytes=1_000_000, max_future_skew="5m", alert_from=None, learn_until=None
    )

    _run(_novelty(recorder, engine=engine), _match(raw(shell)), _match(raw(deep), 6))

    lineage = recorder.alerts[-1]["detector"]["lineage"]
    assert ["exim4", None, "exim4", "sh", "wget"] == [one.get("name") for one in lineage["processes"]]
    assert ["leader", "unknown", "seen", "event", "event"] == [one["origin"] for one in lineage["processes"]]
    assert (2, "descendant") == (lineage["depth"], lineage["relation"])


def test_learned_term_waits_for_what_is_announced_of_its_baseline() -> None:
    """Its baseline must not be overwritten by an older one that is written later."""
    recorder = Recorder()
    engine = build_engine(
        load_rules([RULE]),
        max_alert_bytes=1_000_000,
        max_future_skew="5m",
        alert_from="2026-01-05T08:00:00Z",
        learn_until=None,
    )
    early = event("perl", time="2026-01-04T00:00:00Z")

    _run(_novelty(recorder, engine=engine), _match(raw(event("sh"))), _match(raw(early), 6))

    assert ["alert", "baseline", "write", "baseline", "write"] == _names(recorder)
    assert [1, 2] == [what.terms for name, what in recorder.done if name == "baseline"]


def test_failed_announcement_leaves_the_term_unknown_to_what_waits_for_it() -> None:
    """The record behind the barrier is judged as the first was; the process ends before it matters."""
    recorder = Recorder("alert")

    with pytest.raises(EffectError):
        _run(_novelty(recorder), *(_match(raw(event(host="mail01")), offset) for offset in (5, 6)))

    assert {} == recorder.table


def test_known_term_is_written_without_an_alert() -> None:
    """What was seen within the window only moves its record forward."""
    term = ("mail01", "sh")
    known = TermRecord(NOW - 10**9, NOW - 10**9, 4, NOW, 1, 1)
    recorder = Recorder(table={term_key("exim4_child", ("host.id", "process.name"), term): encode_record(known)})

    _run(_novelty(recorder), _match(raw(event(host="mail01"))))

    assert ["baseline", "write"] == _names(recorder)
    assert 5 == recorder.done[-1][1].count


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (_match(raw(event(host="mail01")), route=Route("host", b"other")), "not_a_match"),
        (_match(raw(event(host="mail01", name="grep", parent="cron"))), "not_a_match"),
        (_match(b"[]"), "not_an_object"),
        (Record(SourcePosition("matches", 1, 5, 0), b"k", raw(event()), []), "not_a_match"),
        (Record(SourcePosition("matches", 1, 5, 0), b"k", None, []), "not_a_match"),
    ],
)
def test_match_that_nothing_judges_is_a_dead_letter(record: Record, reason: str) -> None:
    """A record of the matches topic that leads nowhere, or that no rule here knows, does not vanish."""
    recorder = Recorder()

    _run(_novelty(recorder), record)

    assert [("dead_letter", reason)] == recorder.done


def test_dead_letters_come_before_the_forward() -> None:
    """What stands against a record is said first; a match of several hosts goes to each of them."""
    recorder = Recorder()
    step = MatchStep(_engine(), cast(Effects, recorder), Counts())

    _run(step, Record(SOURCE, None, raw(event(host=[f"h{number}" for number in range(101)])), []))

    assert ["dead_letter", *["forward"] * 100] == _names(recorder)


def test_failed_forward_ends_the_step() -> None:
    """Nothing after it is sent, and the step raises."""
    recorder = Recorder("forward")
    step = MatchStep(_engine(), cast(Effects, recorder), Counts())

    with pytest.raises(EffectError):
        _run(step, Record(SOURCE, None, raw(event(host=["a", "b"])), []))

    assert [] == recorder.done


@pytest.mark.parametrize(("value", "counted"), [(None, (1, 0, 0)), (b"{}", (0, 1, 0)), (b"exim4", (0, 0, 1))])
def test_records_are_counted_once(value: bytes | None, counted: tuple[int, int, int]) -> None:
    """Null, scanned or candidate: each record is one of them."""
    counts = Counts()
    step = MatchStep(_engine(), cast(Effects, Recorder()), counts)

    _run(step, Record(SOURCE, None, value, []))

    assert counted == (counts.null, counts.scanned, counts.candidates)


def test_events_that_seem_wrapped_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Read as they are they match nothing, in silence; told to unwrap, the step judges them and says nothing."""
    wrapped = Record(SOURCE, None, raw({"message": raw(event()).decode()}), [])
    recorder, unwrapping = Recorder(), Recorder()
    step = MatchStep(_engine(), cast(Effects, recorder), Counts())

    _run(step, Record(SOURCE, None, raw({"message": "exim4"}), []), wrapped, wrapped)
    assert [] == recorder.done
    assert ["events:3:7 seems to hold its event"] == [line.getMessage()[14:48] for line in caplog.records]

    _run(MatchStep(_engine().reading("message"), cast(Effects, unwrapping), Counts()), wrapped)
    assert [("forward", ROUTE)] == unwrapping.done
    assert 1 == len(caplog.records)


def test_match_is_read_as_its_header_says() -> None:
    """Whatever the setting of the worker that judges it."""
    value = raw({"message": raw(event()).decode()})
    headers = match_headers(ROUTE, SOURCE, "message")
    recorder, plain = Recorder(), Recorder()

    _run(_novelty(recorder), Record(SourcePosition("matches", 1, 5, NOW // 10**6), b"mail01", value, [*headers]))
    _run(_novelty(plain, engine=_engine().reading("message")), _match(raw(event())))

    assert [("mail01", "sh")] * 2 == [tuple(one["kibana.alert.new_terms"]) for one in recorder.alerts + plain.alerts]


@pytest.mark.parametrize(
    ("record", "counted"),
    [
        (event(name="exim4", host=ABSENT), 1),
        (event(name="exim4"), 0),
        (event(name="sh", host=ABSENT), 0),  # it matches: its dead letter says what is missing
        (event(name="sh", parent="exim4-like", host=ABSENT), 0),
    ],
)
def test_members_without_a_host_are_counted(record: dict[str, Any], counted: int) -> None:
    """Nothing can be remembered of them; they are neither forwarded nor dead letters."""
    counts = Counts()
    recorder = Recorder()
    _run(MatchStep(_engine(), cast(Effects, recorder), counts), Record(SOURCE, None, raw(record), []))

    assert counted == counts.without_host
    if counted:
        assert [] == recorder.done


def test_process_ends_hard() -> None:
    """No exit handler runs and no cleanup: the code is the error's, the line says where."""
    code = """
import atexit, logging
from app.core.ring import UnreadableError, derived
from app.errors import EffectError
from app.runtime.ending import end_process
logging.basicConfig()
atexit.register(print, "cleaned up")
try:
    end_process(EffectError("not confirmed"), "events:3:7")
finally:
    print("unwound")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (6, "") == (ended.returncode, ended.stdout)
    assert "not confirmed at events:3:7" in ended.stderr
    assert "Traceback" not in ended.stderr

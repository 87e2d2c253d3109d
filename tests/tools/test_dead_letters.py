"""Dead letters as they are read, chosen and shown; and what a retry plans for each."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from app.core.dead_letter import DeadLetter
from app.core.engine import Engine, Route
from app.core.rule import Rule
from app.errors import BrokerError, InputError
from app.runtime.records import SourcePosition, cut_headers, dead_letter_headers, match_headers
from app.runtime.rules import build_engine
from app.tools import topic_reader
from app.tools.cli import cli
from app.tools.dead_letters import (
    FOREIGN,
    Letter,
    as_json,
    chosen,
    described,
    letter_of,
    line,
    newest,
    parse_position,
    summary,
)
from app.tools.dead_letters_command import reader_may_leave
from app.tools.dead_letters_plan import Plan, is_cut_from, plan
from app.tools.dead_letters_retry import Attempt
from app.tools.topic_reader import StoredRecord, TopicReader
from tests.core.rules import rule
from tests.events import ABSENT, event, raw
from tests.tools.test_screen import acts

SOURCE = SourcePosition("events", 3, 42, 1_767_600_000_123)
TIME = 1_767_700_000_000
LARGE = 10_000_000


def _letter(
    letter: DeadLetter, value: bytes = b"exim4", *, source: SourcePosition = SOURCE, offset: int = 7, time: int = TIME
) -> Letter:
    headers: list[tuple[str, bytes | None]] = list(dead_letter_headers(letter, source))
    return letter_of(StoredRecord("w.dead-letters", 1, offset, time, value, headers))


def _engine(*rules: Rule) -> Engine:
    return build_engine(
        rules or (rule(),), max_alert_bytes=1_000_000, max_future_skew="5m", alert_from=None, learn_until=None
    )


def _planned(letter: Letter, engine: Engine | None = None, max_bytes: int = LARGE) -> Plan:
    assert letter.said is not None
    return plan(letter.said, letter.value, engine or _engine(), max_bytes)


def test_line_says_where_when_and_why() -> None:
    """Position, time, reason, rule, source position, size and detail, in this order."""
    shown = line(_letter(DeadLetter("missing_term_field", "host.id has no value", "child"))).plain
    whole = line(_letter(DeadLetter("not_json", "broken"))).plain

    assert [
        *("w.dead-letters:1:7", "2026-01-06T11:46:40.000Z", "missing_term_field", "child", "events:3:42", "5 B"),
        "host.id has no value",
    ] == shown.split("  ")
    assert "not_json  -  events:3:42" in whole


@pytest.mark.parametrize("hostile", ["\x1b]0;owned\x07", "a\nb", "\u202egnp", "[red]x[/]", "\x9b2J"])
def test_nothing_of_a_letter_acts_on_a_terminal(hostile: str) -> None:
    """Detail, header names and values, and the record itself are spelled out."""
    letter = _letter(DeadLetter("not_json", hostile), hostile.encode() + b"\xff")
    foreign = letter_of(StoredRecord("w.dead-letters", 1, 7, None, None, [(hostile, hostile.encode()), ("x", None)]))

    for shown in (letter, foreign):
        assert [] == acts(line(shown).plain)
        assert [] == [text for text in described(shown) if acts(text)]
    assert "\\xff" in list(described(letter))[-1]


def test_json_holds_what_the_line_says_and_no_record() -> None:
    """Fields that do not apply are left out."""
    letter = _letter(DeadLetter("too_large", "é\x1b", None), b"secret")
    cut = letter_of(StoredRecord("t", 0, 1, None, b"abc", [*letter.headers, *cut_headers(9, "ab" * 32)]))

    assert {
        "position": "w.dead-letters:1:7",
        "time": "2026-01-06T11:46:40.000Z",
        "reason": "too_large",
        "detail": "é\x1b",
        "size": 6,
        "source": {"topic": "events", "partition": 3, "offset": 42, "timestamp": 1_767_600_000_123},
    } == json.loads(as_json(letter))
    assert {"size": 9, "sha256": "ab" * 32} == json.loads(as_json(cut))["cut_from"]
    assert "3 B of 9 B" in line(cut).plain


def test_record_of_another_writer_is_told_apart() -> None:
    """What stands in the topic without our headers is listed, with what it lacks."""
    letter = letter_of(StoredRecord("t", 0, 1, TIME, None, []))

    assert (FOREIGN, "the header eximwatch.format is missing", b"") == (letter.reason, letter.detail, letter.value)
    assert "source" not in json.loads(as_json(letter))


@pytest.mark.parametrize(
    ("text", "expected"), [("3:17", (3, 17)), ("w.dead-letters:0:5", (0, 5)), ("0:999999999999999999", (0, 10**18 - 1))]
)
def test_position_is_read(text: str, expected: tuple[int, int]) -> None:
    """Both as partition and offset and as it is listed."""
    assert expected == parse_position(text, "w.dead-letters")


@pytest.mark.parametrize("text", ["", "3", "3:", ":4", "a:b", "3:-1", "1:2:3:4:x", "3:1\n", "٣:١", "other:0:5"])
def test_impossible_position_is_refused(text: str) -> None:
    """With what to write instead."""
    with pytest.raises(InputError, match=r"write PARTITION:OFFSET|EXIMWATCH_TOPIC_PREFIX"):
        parse_position(text, "w.dead-letters")


def test_letters_are_chosen_by_reason_and_age() -> None:
    """A reason takes its own; the newest come in the order of their times, whatever their partition."""
    letters = [
        _letter(DeadLetter("not_json", ""), offset=offset, time=time)
        for offset, time in enumerate((5, 3, 9, 9, 1), TIME)
    ]
    other = _letter(DeadLetter("no_clock", "", "child"))

    assert [other] == list(chosen([*letters, other], "no_clock"))
    assert [*letters, other] == list(chosen([*letters, other], None))
    assert [letters[0], letters[2], letters[3]] == newest(letters, 3)
    assert [] == newest([], 3)


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [([], "0 dead letters"), (["b", "a", "b"], "3 dead letters: 1 a, 2 b")],
)
def test_summary_counts_reasons(reasons: list[str], expected: str) -> None:
    """How many of each."""
    assert expected == summary(Counter(reasons))


HOST = Route("host", b"mail01")


@pytest.mark.parametrize(
    ("letter", "value", "rules", "expected"),
    [
        # A mended rule, and one that takes the event no more.
        (DeadLetter("missing_term_field", "", "child"), raw(event()), (), Plan((HOST,))),
        (DeadLetter("missing_term_field", "", "child"), raw(event("grep")), (), Plan()),
        # The whole record concerns every rule, once each route.
        (DeadLetter("not_json", ""), raw(event()), (rule("a"), rule("b")), Plan((HOST,))),
        (
            DeadLetter("internal_error", ""),
            raw(event(host=["h1", "h2"])),
            (),
            Plan((Route("host", b"h1"), Route("host", b"h2"))),
        ),
        # A route of the second step, that no worker's rules led to.
        (DeadLetter("not_a_match", ""), raw(event()), (), Plan((HOST,))),
        (DeadLetter("not_a_match", ""), b"", (), Plan()),
        (DeadLetter("not_a_match", ""), b"no needle and no JSON", (), Plan()),
    ],
)
def test_what_can_be_judged_is_planned(letter: DeadLetter, value: bytes, rules: Sequence[Rule], expected: Plan) -> None:
    """Routes as the first step has them, of the rule that the letter is about."""
    assert expected == _planned(_letter(letter, value), _engine(*rules))


@pytest.mark.parametrize(
    ("letter", "value", "routes", "left"),
    [
        (DeadLetter("missing_term_field", "", "child"), raw(event(host=ABSENT)), 0, "missing_term_field: the query"),
        (DeadLetter("not_json", ""), b"exim4", 0, "not_json: "),
        (DeadLetter("not_json", ""), b'["exim4"]', 0, "not_an_object: "),
        (DeadLetter("missing_term_field", "", "gone"), raw(event()), 0, "the rule gone is not loaded"),
        (DeadLetter("too_large", "", "child"), raw(event()), 0, "the term of this alert is known by now"),
        (
            DeadLetter("too_many_terms", "", "child"),
            raw(event(host=[f"h{number}" for number in range(101)])),
            100,
            "too_many_terms: 101 terms",
        ),
    ],
)
def test_what_still_cant_be_judged_is_left(letter: DeadLetter, value: bytes, routes: int, left: str) -> None:
    """With the reason that it would have now."""
    planned = _planned(_letter(letter, value))

    assert routes == len(planned.routes)
    assert 1 == len(planned.left)
    assert planned.left[0].startswith(left)


def test_letter_of_one_rule_leaves_the_others_alone() -> None:
    """What another rule lacks has a letter of its own."""
    rules = (rule("a"), rule("b", fields=("user.domain",)))

    assert Plan((HOST,)) == _planned(_letter(DeadLetter("missing_term_field", "", "a"), raw(event())), _engine(*rules))
    both = _planned(_letter(DeadLetter("not_json", ""), raw(event())), _engine(*rules))
    assert ((HOST,), 1) == (both.routes, len(both.left))


def test_clock_is_the_letters_source_time() -> None:
    """An event without a time of its own has that of its source record, as when it was read."""
    timeless = raw(event(time=ABSENT))
    without = SourcePosition("events", 3, 42, None)

    assert Plan((HOST,)) == _planned(_letter(DeadLetter("no_clock", "", "child"), timeless))
    assert (
        _planned(_letter(DeadLetter("no_clock", "", "child"), timeless, source=without)).left[0].startswith("no_clock")
    )


def test_match_that_no_topic_takes_is_left() -> None:
    """The limit that is to be raised is named, and nothing is sent."""
    letter = _letter(DeadLetter("too_large", ""), raw(event(a="x" * 5000)))
    headers = sum(len(name) + len(value) for name, value in match_headers(HOST, SOURCE))

    assert "EXIMWATCH_SOURCE_MAX_BYTES" in _planned(letter, max_bytes=5000).left[0]
    assert () == _planned(letter, max_bytes=5000).routes
    assert Plan((HOST,)) == _planned(letter, max_bytes=len(letter.value) + headers + 1000)


def test_bytes_are_the_cut_record_or_not() -> None:
    """Length and SHA-256 must agree."""
    whole = b"x" * 100
    letter = _letter(DeadLetter("too_large", ""), whole[:10])
    cut = letter_of(
        StoredRecord("t", 0, 0, 0, whole[:10], [*letter.headers, *cut_headers(100, hashlib.sha256(whole).hexdigest())])
    )

    assert cut.said is not None
    assert letter.said is not None
    assert is_cut_from(whole, cut.said)
    assert not is_cut_from(whole[:-1] + b"y", cut.said)
    assert not is_cut_from(whole[:10], letter.said)


@pytest.mark.parametrize(
    ("attempt", "dry_run", "expected"),
    [
        (Attempt(_letter(DeadLetter("not_json", "")), [], 2), False, ("sent", "matches: 2")),
        (Attempt(_letter(DeadLetter("not_json", "")), [], 2), True, ("would be sent", "matches: 2")),
        (Attempt(_letter(DeadLetter("not_json", "")), [], 0, 1), False, ("same", "sent with an earlier letter")),
        (Attempt(_letter(DeadLetter("not_json", "")), []), False, ("nothing", "no rule matches it now")),
        (Attempt(_letter(DeadLetter("not_json", "")), ["why"]), False, ("left", "why")),
        (Attempt(_letter(DeadLetter("not_json", "")), ["why"], 3), False, ("left", "why; matches sent: 3")),
    ],
)
def test_outcome_is_one_word_and_a_sentence(attempt: Attempt, dry_run: bool, expected: tuple[str, str]) -> None:
    """What is left is told first."""
    word, sentence = attempt.outcome(dry_run=dry_run)

    assert expected[0] == word
    assert sentence.startswith(expected[1])


@pytest.mark.parametrize(
    "arguments", [[], ["1:2", "--all"], ["--reason", "not_json", "--all"], ["1:2", "--reason", "not_json"]]
)
def test_retry_wants_one_choice(arguments: list[str]) -> None:
    """Positions, a reason or all; nothing is tried before that is clear."""
    result = CliRunner().invoke(cli, ["dead-letters", "retry", *arguments])

    assert 2 == result.exit_code
    assert "one of the three" in result.output


def test_help_of_retry_says_what_it_can_mend() -> None:
    """Each reason stands there, in lines of its own."""
    text = CliRunner().invoke(cli, ["dead-letters", "retry", "--help"]).output

    assert "missing_term_field   by a rule whose term" in text
    assert "too_large            by raised size limits" in text


def test_kafka_that_does_not_answer_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to look at."""
    monkeypatch.setattr(topic_reader, "_TIMEOUT", 0.5)

    link: dict[str, str | int] = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    with TopicReader(link, "t") as reader, pytest.raises(BrokerError, match="EXIMWATCH_BROKERS"):
        reader.partitions()


def test_reader_that_has_seen_enough_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SIGPIPE would, without a word: `list | head` is no error."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        out.write("a line")
        with pytest.raises(SystemExit) as ended, reader_may_leave():
            out.write("another")

    assert 141 == ended.value.code

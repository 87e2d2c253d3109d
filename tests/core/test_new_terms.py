"""New terms: what makes a term, how it is stored, and when it is new."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.event import decode
from app.core.new_terms import (
    MAX_TERMS,
    MAX_VALUE_BYTES,
    Assessment,
    Policy,
    Sighting,
    Term,
    TermRecord,
    Terms,
    Verdict,
    assess,
    decode_record,
    encode_record,
    encode_term,
    epoch_of,
    host_key,
    is_expired,
    term_key,
    terms_of,
)
from app.core.state_format import FORMAT, KEYS, StateFormatError
from tests.core.rules import rule
from tests.events import ABSENT, event, raw

WINDOW = 1000
POLICY = Policy(history_window=WINDOW, retention=10 * WINDOW)
FOREVER = Policy(history_window=WINDOW, retention=10**18)
FIELDS = ("host.id", "process.name")


def sighting(clock: int, offset: int, taken_at: int = 0, epoch: int = 1) -> Sighting:
    """Build a sighting; taken at once unless told otherwise."""
    return Sighting(clock, epoch, offset, taken_at)


def run(
    sightings: Sequence[Sighting], policy: Policy = FOREVER, record: TermRecord | None = None
) -> tuple[list[Verdict], TermRecord | None]:
    """Judge sightings one after the other; give the verdicts and the record in the end."""
    verdicts = []
    for one in sightings:
        assessment = assess(record, one, policy)
        verdicts.append(assessment.verdict)
        record = assessment.record
    return verdicts, record


def test_unknown_term_is_new() -> None:
    """A term without a last_seen is new; its record begins with this match."""
    assert Assessment(Verdict.NEW, TermRecord(50, 50, 1, 60, 1, 7), None) == assess(None, sighting(50, 7, 60), POLICY)


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (5000, Verdict.KNOWN),
        (5000 + WINDOW, Verdict.KNOWN),
        (5000 + WINDOW + 1, Verdict.NEW),
        (4999, Verdict.KNOWN),
        (0, Verdict.KNOWN),
    ],
)
def test_window_is_strict(clock: int, expected: Verdict) -> None:
    """New iff the clock lies strictly more than the window after last_seen; a late event is known."""
    before = TermRecord(4000, 5000, 3, 0, 1, 0)
    found = assess(before, sighting(clock, 1), POLICY)

    assert expected == found.verdict
    assert before == found.before
    assert TermRecord(min(4000, clock), max(5000, clock), 4, 0, 1, 1) == found.record


def test_every_match_moves_last_seen() -> None:
    """A match that is no news still keeps the term known: the window slides."""
    sightings = [sighting(n * WINDOW, n) for n in range(5)]

    assert [Verdict.NEW] + [Verdict.KNOWN] * 4 == run(sightings)[0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_last_seen_never_moves_back(clocks: list[int]) -> None:
    """Whatever arrives in whatever order, last_seen only grows and first_seen only falls."""
    record: TermRecord | None = None
    for offset, clock in enumerate(clocks):
        after = assess(record, sighting(clock, offset), FOREVER).record
        assert after.first_seen == min(clocks[: offset + 1])
        assert after.last_seen == max(clocks[: offset + 1])
        assert after.count == offset + 1
        record = after


@settings(deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12), st.data())
def test_replay_of_the_matches_changes_nothing(clocks: list[int], data: st.DataObject) -> None:
    """Positions up to the applied one are not judged again: verdict and record are idempotent."""
    sightings = [sighting(clock, offset) for offset, clock in enumerate(clocks)]
    verdicts, record = run(sightings)
    begin = data.draw(st.integers(0, len(sightings)))
    again = sightings[begin:]

    assert ([Verdict.REPLAYED] * len(again), record) == run(again, record=record)
    # After a crash anywhere the rest is judged as it would have been.
    _, half = run(sightings[:begin])
    assert (verdicts[begin:], record) == run(again, record=half)


def test_replayed_position_gives_the_record_back() -> None:
    """Its entry is written again as it is, since its changelog record may be missing."""
    before = TermRecord(1, 2, 3, 4, 5, 6)

    assert Assessment(Verdict.REPLAYED, before, before) == assess(before, Sighting(9, 5, 6, 4), POLICY)
    assert Verdict.REPLAYED == assess(before, Sighting(10**20, 5, 0, 3), POLICY).verdict


def test_offset_that_is_given_again_is_no_replay() -> None:
    """A broker that lost the end of its log gives offsets anew: what came later than the applied match is another."""
    before = TermRecord(1, 2, 3, 4, 5, 6)
    late = POLICY.history_window + 3

    assert Verdict.NEW == assess(before, Sighting(late, 5, 0, 5), POLICY).verdict
    assert Verdict.KNOWN == assess(before, Sighting(3, 5, 6, 5), POLICY).verdict


@settings(deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
def test_replay_of_the_source_counts_again_and_says_nothing_new(clocks: list[int]) -> None:
    """A second match of each event moves neither first_seen nor last_seen; only the count is at least once."""
    record = run([sighting(clock, offset) for offset, clock in enumerate(clocks)])[1]
    second = [sighting(clock, len(clocks) + offset) for offset, clock in enumerate(clocks)]
    verdicts, after = run(second, record=record)

    assert record is not None
    assert after is not None
    assert {Verdict.KNOWN} == set(verdicts)
    assert (record.first_seen, record.last_seen) == (after.first_seen, after.last_seen)
    assert 2 * len(clocks) == after.count


@settings(deadline=None)
@given(st.permutations([0, 10, 999, 5000, 5000, 7001]))
def test_order_does_not_change_what_is_remembered(clocks: list[int]) -> None:
    """first_seen, last_seen and count are the same in every order of arrival."""
    record = run([sighting(clock, offset) for offset, clock in enumerate(clocks)])[1]

    assert TermRecord(0, 7001, 6, 0, 1, 5) == record


@pytest.mark.parametrize("offset", [0, 6, 7])
def test_new_life_of_a_topic_is_judged(offset: int) -> None:
    """A topic that was created anew, or another partition, does not look like one already applied."""
    before = TermRecord(0, 0, 1, 0, epoch=1, offset=6)
    found = assess(before, sighting(1, offset, epoch=2), POLICY)

    assert Verdict.KNOWN == found.verdict
    assert TermRecord(0, 1, 2, 0, 2, offset) == found.record


@pytest.mark.parametrize(("age", "expected"), [(10 * WINDOW, Verdict.KNOWN), (10 * WINDOW + 1, Verdict.NEW)])
def test_entry_past_its_retention_counts_as_absent(age: int, expected: Verdict) -> None:
    """The changelog may have dropped it: a worker with the old table judges like one that was rebuilt."""
    before = TermRecord(0, 0, 5, 100, 1, 0)
    found = assess(before, sighting(1, 1, taken_at=100 + age), POLICY)

    assert expected == found.verdict
    if expected is Verdict.NEW:
        assert assess(None, sighting(1, 1, taken_at=100 + age), POLICY) == found


@pytest.mark.parametrize(
    ("clock", "expected"),
    [(4999, Verdict.LEARNING), (5000, Verdict.NEW), (5001, Verdict.NEW)],
)
def test_matches_before_alert_from_build_history(clock: int, expected: Verdict) -> None:
    """New but before `alert_from`: it is remembered like any other and raises no alert."""
    found = assess(None, sighting(clock, 0), Policy(WINDOW, 10 * WINDOW, alert_from=5000))

    assert expected == found.verdict
    assert TermRecord(clock, clock, 1, 0, 1, 0) == found.record


def test_term_that_was_learnt_is_known() -> None:
    """What was learnt before `alert_from` stays known after it, until the window has passed."""
    policy = Policy(WINDOW, 10**9, alert_from=5000)
    sightings = [sighting(4500, 0), sighting(4600, 1), sighting(5500, 2), sighting(6501, 3)]

    assert [Verdict.LEARNING, Verdict.KNOWN, Verdict.KNOWN, Verdict.NEW] == run(sightings, policy)[0]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, (("mail01", "sh"),)),
        ({"process__name": ["a", "b", "a"]}, (("mail01", "a"), ("mail01", "b"))),
        (
            {"host__id": ["1", "2"], "process__name": ["a", "b"]},
            (("1", "a"), ("1", "b"), ("2", "a"), ("2", "b")),
        ),
        ({"host__id": 17, "process__name": True}, (("17", "true"),)),
        ({"host__id": ["17", 17]}, (("17", "sh"),)),
        ({"process__name": ""}, (("mail01", ""),)),
        ({"host__id": ["", "x"]}, (("x", "sh"),)),
        ({"process__name": [None, {"x": 1}, "a"]}, (("mail01", "a"),)),
    ],
)
def test_terms_are_the_texts_of_the_fields(overrides: dict[str, object], expected: tuple[Term, ...]) -> None:
    """An array gives one term a distinct value; several arrays give every combination."""
    assert Terms(expected, len(expected)) == terms_of(decode(raw(event(**overrides))), FIELDS)


@pytest.mark.parametrize("value", [ABSENT, None, [], [None], {}, {"x": "y"}, [{"x": "y"}]])
@pytest.mark.parametrize("field", FIELDS)
def test_field_without_a_value_makes_no_term(field: str, value: object) -> None:
    """Missing, null, `[]` and objects: no term, and the field is named."""
    assert Terms((), 0, missing=field) == terms_of(decode(raw(event(**{field: value}))), FIELDS)


@pytest.mark.parametrize("value", ["", ["", ""], ["", None]])
def test_empty_host_id_makes_no_term(value: object) -> None:
    """An empty `host.id` names no host."""
    assert Terms((), 0, missing="host.id") == terms_of(decode(raw(event(host=value))), FIELDS)


@pytest.mark.parametrize(("hosts", "names"), [(1, MAX_TERMS), (1, MAX_TERMS + 1), (40, 50), (20_000, 20_000)])
def test_terms_of_a_record_are_limited(hosts: int, names: int) -> None:
    """The first hundred terms are judged, and the whole number is told."""
    overrides = {"host__id": [f"h{n}" for n in range(hosts)], "process__name": [f"p{n}" for n in range(names)]}
    found = terms_of(decode(raw(event(**overrides))), FIELDS)

    assert MAX_TERMS == len(set(found.terms)) == len(found.terms)
    assert hosts * names == found.total
    assert [("h0", f"p{n}") for n in range(min(names, MAX_TERMS))] == list(found.terms)[: min(names, MAX_TERMS)]


_LONG = st.integers(MAX_VALUE_BYTES - 2, MAX_VALUE_BYTES + 2).map(lambda size: "a" * size)
_VALUES = st.text(alphabet="a\x00\x01\x02\x04.,:|é", max_size=5) | st.text(max_size=5) | _LONG
_TERMS = st.lists(_VALUES, min_size=1, max_size=3).map(tuple)


@settings(deadline=None)
@given(_TERMS, _TERMS)
def test_encoding_is_injective(one: Term, other: Term) -> None:
    """Two terms share their bytes only if they are equal, whatever separators their values hold."""
    assert (one == other) == (encode_term(one) == encode_term(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "bc"), ("ab", "c")),
        (("a", ""), ("", "a")),
        (("a\x00\x00\x01b",), ("a", "b")),
        (("a|b", "c"), ("a", "b|c")),
        (("x" * 1025,), ("x" * 1026,)),
        (("x" * 1025,), (hashlib.sha256(b"x" * 1025).hexdigest(),)),
        (("é",), ("e\u0301",)),
        (("a",), ("A",)),
    ],
)
def test_lookalike_terms_differ(one: Term, other: Term) -> None:
    """No printable or other separator, no prefix and no digest makes one term look like another."""
    assert encode_term(one) != encode_term(other)


def test_long_value_is_stored_by_its_digest() -> None:
    """Up to 1 KiB a value stands as it is, beyond by its SHA-256; bytes count, not characters."""
    assert b"x" * MAX_VALUE_BYTES in encode_term(("x" * MAX_VALUE_BYTES,))
    assert encode_term(("x" * (MAX_VALUE_BYTES + 1),)).endswith(hashlib.sha256(b"x" * 1025).digest())
    assert len(encode_term(("é" * 513,))) == len(encode_term(("x" * 10**6,))) < 40


def test_host_key_is_the_id_or_its_digest() -> None:
    """A host's records are keyed by its id; an over-long one by its SHA-256."""
    assert b"mail01" == host_key("mail01")
    assert b"x" * 1024 == host_key("x" * 1024)
    assert b"sha256:" + hashlib.sha256(b"x" * 1025).hexdigest().encode() == host_key("x" * 1025)


def test_key_holds_rule_fields_and_term() -> None:
    """Another rule, other fields, another order of fields or another term is another history."""
    keys = {
        term_key("child", FIELDS, ("a", "b")),
        term_key("descendant", FIELDS, ("a", "b")),
        term_key("child", ("host.id", "process.executable"), ("a", "b")),
        term_key("child", ("process.name", "host.id"), ("a", "b")),
        term_key("child", FIELDS, ("a", "c")),
        term_key("child", FIELDS, ("b", "a")),
    }

    assert 6 == len(keys)
    assert {KEYS} == {key[0] for key in keys}


@settings(deadline=None)
@given(st.tuples(st.text(max_size=3), _TERMS), st.tuples(st.text(max_size=3), _TERMS))
def test_keys_of_rules_never_meet(one: tuple[str, Term], other: tuple[str, Term]) -> None:
    """A rule's id can't run into a term's bytes."""
    assert (one == other) == (term_key(one[0], FIELDS, one[1]) == term_key(other[0], FIELDS, other[1]))


def test_edited_query_keeps_its_history() -> None:
    """The key knows a rule by its id and fields; query, window and text may change."""
    edited = rule(query="process.parent.name:exim4 and not process.name:(grep or sort)", window="5d")
    key = term_key(rule().id, rule().fields, ("a", "b"))

    assert key == term_key(edited.id, edited.fields, ("a", "b"))
    assert rule().digest != edited.digest


_NUMBERS = st.integers(0, 2**62)


@settings(deadline=None)
@given(st.builds(TermRecord, _NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS, st.integers(0, 2**63 - 1), _NUMBERS))
def test_record_survives_the_table(record: TermRecord) -> None:
    """What is written is read again, its format first."""
    value = encode_record(record)

    assert FORMAT == value[0]
    assert record == decode_record(value)


def test_record_of_the_next_format_is_read() -> None:
    """The next format may append fields; this reader leaves them out."""
    value = bytes((FORMAT + 1,)) + msgspec.msgpack.encode([1, 2, 3, 4, 5, 6, "/bin/sh", b"32 bytes", "more"])

    assert TermRecord(1, 2, 3, 4, 5, 6, "/bin/sh", b"32 bytes") == decode_record(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "a record of format none, this version reads 1 to 2: start the version that wrote it"),
        (b"\x00\x90", "a record of format 0,"),
        (b"\x03\x90", "a record of format 3,"),
        (b"\x01", "a broken record"),
        (b"\x01\xff", "a broken record"),
        (b"\x01\x93\x01\x02\x03", "a broken record"),
        (b"\x01" + msgspec.msgpack.encode(["a"] * 6), "delete the data directory, the worker rebuilds it"),
    ],
)
def test_unknown_or_broken_record_says_what_to_do(value: bytes, message: str) -> None:
    """An unknown format or broken bytes are an error of one line for the operator."""
    with pytest.raises(StateFormatError, match=re.escape(message)) as caught:
        decode_record(value)
    assert "\n" not in str(caught.value)
    assert 7 == caught.value.exit_code


def test_epoch_tells_lives_of_partitions_apart() -> None:
    """It comes from the topic's id and the partition, always the same, and fits into 63 bits."""
    epochs = {epoch_of(topic, partition) for topic in ("a", "b", "a1") for partition in (0, 1, 11)}

    assert 9 == len(epochs)
    assert epoch_of("a", 0) == epoch_of("a", 0)
    assert all(0 <= epoch < 2**63 for epoch in epochs)


@pytest.mark.parametrize(
    ("applied_at", "expected"),
    [(0, True), (899, True), (900, False), (1000, False), (5000, False)],
)
def test_record_expires_strictly_after_it_can_be_needed(applied_at: int, expected: bool) -> None:
    """By when it was last applied, whatever its clocks say; one from the future is kept."""
    assert expected == is_expired(applied_at, now=1000, keep=100)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 50), st.integers(0, 100))
def test_expired_record_would_count_as_absent(applied_at: int, taken_at: int, waited: int, retention: int) -> None:
    """A match that was taken within its topic's retention is judged alike, whether the record was purged or not."""
    policy = Policy(history_window=10**9, retention=retention)
    record = TermRecord(0, 0, 1, applied_at, 1, 0)
    if is_expired(record.applied_at, taken_at + waited, retention + 50):
        assert assess(record, sighting(0, 1, taken_at), policy).before is None

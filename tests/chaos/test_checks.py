"""The checks of the chaos suite find what they are for."""

from __future__ import annotations

from dataclasses import replace

from tests.chaos.checks import SeenAlert, SeenLetter, SeenMatch, Sight, check_all, check_so_far
from tests.chaos.story import Fate

NEW, KNOWN, BROKEN, ORDINARY = b"new", b"known", b"broken", b"ordinary"
FATES = {
    NEW: Fate(matches=True, alerts=frozenset({"id-new"})),
    KNOWN: Fate(matches=True),
    BROKEN: Fate(reasons=frozenset({"not_json"})),
}
WHOLE = Sight(
    committed={("source", 0): 4, ("source", 1): 1, ("matches", 2): 2},
    source={(0, 0): ORDINARY, (0, 1): NEW, (0, 2): BROKEN, (0, 3): ORDINARY, (1, 0): KNOWN},
    matches=(SeenMatch((2, 0), NEW, (0, 1)), SeenMatch((2, 1), KNOWN, (1, 0))),
    alerts=(SeenAlert("id-new", (0, 1)),),
    letters=(SeenLetter("not_json", (0, 2)),),
)


def test_nothing_is_found_where_all_is_well() -> None:
    """Every alert and every dead letter is there, and commits are behind finished work."""
    assert [] == check_all(WHOLE, FATES).faults
    assert [] == check_so_far(WHOLE, FATES).faults
    assert (1, 0) == (check_all(WHOLE, FATES).seen, check_all(WHOLE, FATES).duplicates)


def test_lost_alert_is_found_at_the_end() -> None:
    """Also where nothing says that its match was committed; in the midst it may be to come."""
    lost = replace(WHOLE, alerts=(), committed={})
    assert frozenset({"id-new"}) == check_all(lost, FATES).lost
    assert [] == check_so_far(lost, FATES).faults


def test_unknown_id_is_found() -> None:
    """An id that nobody expects, that of another record, and any of a record that is not there or aborted."""
    for stranger in (SeenAlert("id-other", (0, 1)), SeenAlert("id-new", (1, 0)), SeenAlert("id-new", (3, 7))):
        sight = replace(WHOLE, alerts=(*WHOLE.alerts, stranger))
        assert (stranger,) == check_all(sight, FATES).unknown
        assert 1 == len(check_so_far(sight, FATES).faults)


def test_equal_ids_are_duplicates_and_no_fault() -> None:
    """At least once is what is promised."""
    findings = check_all(replace(WHOLE, alerts=WHOLE.alerts * 3), FATES)
    assert (3, 2, []) == (findings.seen, findings.duplicates, findings.faults)


def test_commit_past_a_record_without_match_is_found() -> None:
    """Only where the commit is behind it; a match of an earlier life of the topic counts."""
    sight = replace(WHOLE, matches=WHOLE.matches[1:])
    (found,) = check_so_far(sight, FATES).overtaken
    assert "source 0:1, committed 4: no match" in found
    assert [] == check_so_far(replace(sight, committed={("source", 0): 1}), FATES).faults
    assert [] == check_so_far(replace(sight, earlier=WHOLE.matches[:1]), FATES).faults


def test_match_of_another_record_with_equal_bytes_is_not_enough() -> None:
    """Each record has to be forwarded, though the bytes stand there already."""
    sight = replace(WHOLE, source={**WHOLE.source, (0, 3): NEW})
    (found,) = check_so_far(sight, FATES).overtaken
    assert "source 0:3" in found


def test_commit_past_a_record_without_dead_letter_is_found() -> None:
    """Of every reason that it has."""
    (found,) = check_so_far(replace(WHOLE, letters=()), FATES).overtaken
    assert "source 0:2, committed 4: no dead letter not_json" in found


def test_commit_past_a_match_without_alert_is_found() -> None:
    """Only where the commit of the matches topic is behind it."""
    sight = replace(WHOLE, alerts=())
    (found,) = check_so_far(sight, FATES).overtaken
    assert "matches 2:0, committed 2: no alert id-new" in found
    assert [] == check_so_far(replace(sight, committed={("matches", 2): 0}), FATES).faults


def test_missing_dead_letter_is_found_at_the_end() -> None:
    """Also where nothing is committed."""
    findings = check_all(replace(WHOLE, letters=(), committed={}), FATES)
    assert ("lost: dead letter not_json of record (0, 2)",) == findings.letters


def test_dead_letter_that_nobody_expects_is_found() -> None:
    """Of a record that is fine, and for a reason that it does not have."""
    for stranger in (SeenLetter("not_json", (0, 1)), SeenLetter("internal_error", (0, 2))):
        findings = check_all(replace(WHOLE, letters=(*WHOLE.letters, stranger)), FATES)
        assert (f"unknown: dead letter {stranger.reason} of record {stranger.source}",) == findings.letters


def test_repeated_dead_letter_is_no_fault() -> None:
    """At least once here as well."""
    assert [] == check_all(replace(WHOLE, letters=WHOLE.letters * 2), FATES).faults

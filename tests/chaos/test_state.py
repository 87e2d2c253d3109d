"""The check of the table's state finds what it is for."""

from __future__ import annotations

from app.core.baseline import BaselineRecord, encode_baseline, host_baseline_key
from app.core.new_terms import TermRecord, encode_record
from tests.broker.history import history
from tests.chaos.state import Entry, expected_state, folded, process_of, term_of, wrong_state
from tests.chaos.story import default_engine, fates
from tests.runtime.databases import processes

DUE = TermRecord(10, 20, 2, 0, 0, 0)


def _wrong(*records: TermRecord, whole: bool = True) -> list[str]:
    return wrong_state(
        {b"k": DUE}, folded((Entry(0, b"k", encode_record(one)) for one in records), term_of), whole=whole
    )


def test_only_the_newest_value_counts() -> None:
    """And more matches than were sent are fine."""
    assert [] == _wrong(TermRecord(10, 15, 1, 0, 0, 0), TermRecord(10, 20, 3, 0, 0, 0))


def test_each_difference_is_found() -> None:
    """A later first or an earlier last sighting, and matches that were not counted."""
    for bad in (TermRecord(11, 20, 2, 0, 0, 0), TermRecord(10, 19, 2, 0, 0, 0), TermRecord(10, 20, 1, 0, 0, 0)):
        assert 1 == len(_wrong(bad))


def test_missing_and_unknown_terms_are_found() -> None:
    """One that was deleted is missing; where the changelog was emptied, it may be."""
    gone = folded([Entry(0, b"k", encode_record(DUE)), Entry(0, b"k", None)], term_of)
    assert 1 == len(wrong_state({b"k": DUE}, gone, whole=True))
    assert [] == wrong_state({b"k": DUE}, gone, whole=False)
    assert 1 == len(wrong_state({}, {(0, b"k"): DUE}, whole=False))


def test_each_difference_of_a_baseline_is_found() -> None:
    """It counts every term once, whatever was replayed."""
    key = host_baseline_key("a-rule", ("host.id",), "mail01")
    due = BaselineRecord(10, 3, 20, 1, 5, 0)
    others = (due, BaselineRecord(10, 3, 99, 2, 0, 1), BaselineRecord(10, 4, 20, 1, 5, 0))
    wrong = [
        len(wrong_state({key: due}, folded([Entry(0, key, encode_baseline(one))], term_of), whole=True))
        for one in (*others, BaselineRecord(9, 3, 20, 1, 5, 0))
    ]
    assert [0, 0, 1, 1] == wrong


def test_processes_are_compared_by_what_is_known_of_them() -> None:
    """Not by their slots: a replay gives the next ones. What a ring turned over is missing."""
    due = folded((Entry(0, *one) for one in processes("mail01", range(3), 3, 10)), process_of)
    expected = {key: process for (_, key), process in due.items()}
    assert 3 == len(expected)
    once = processes("mail01", [0, 0, 1, 2, 0], 3, 10)
    assert [] == wrong_state(expected, folded((Entry(0, *one) for one in once), process_of), whole=True)
    turned = processes("mail01", [0, 1, 2, 3], 3, 10)
    assert 2 == len(wrong_state(expected, folded((Entry(0, *one) for one in turned), process_of), whole=True))


def test_state_has_every_term_that_alerts() -> None:
    """Each alert needs a term, and a term comes at least once; every host has a baseline by each rule that matched."""
    sent = history(4, 200, noise=100, hosts=20)
    found = expected_state(default_engine(), [record.value for record in sent])
    state = [one for one in found.values() if isinstance(one, TermRecord)]
    counted = sum(one.terms for one in found.values() if isinstance(one, BaselineRecord))
    assert len(state) == counted
    assert len(state) <= len(frozenset().union(*(fate.alerts for fate in fates(sent).values())))
    assert 10 < len(state)

"""A history in memory, filled from changelogs: what was deleted there is not there."""

from __future__ import annotations

from app.core.baseline import BaselineRecord, encode_baseline, host_baseline_key
from app.core.new_terms import TermRecord, encode_record, term_key
from app.core.process import Image, Process
from app.core.ring import Entry, Ring, belongs_to
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import PACKAGED_RULES
from app.tools.history import History

FIELDS = ("host.id", "process.name")
RECORD = TermRecord(1, 2, 3, 4, 5, 6)
BASELINE = BaselineRecord(1, 2, 3, 4, 5, 0)


def empty() -> History:
    """A history that knows nothing."""
    rules = load_rules([PACKAGED_RULES])
    return History(
        build_engine(rules, max_alert_bytes=1 << 20, max_future_skew="5m", alert_from=None, learn_until=None)
    )


def test_terms_and_baselines_are_taken_from_their_changelog() -> None:
    """The last record of a key counts; a tombstone removes it."""
    history = empty()
    term, baseline = term_key("child", FIELDS, ("h1", "sh")), host_baseline_key("child", FIELDS, "h1")
    history.enter(term, encode_record(TermRecord(0, 0, 1, 0, 0, 0)))
    history.enter(term, encode_record(RECORD))
    history.enter(baseline, encode_baseline(BASELINE))
    assert ({term: RECORD}, {baseline: BASELINE}) == (history.terms, history.baselines)

    history.enter(term, None)
    history.enter(baseline, None)
    assert ({}, {}) == (history.terms, history.baselines)


def test_processes_are_taken_from_their_changelog_host_by_host() -> None:
    """What a ring wrote is found again, and what it evicted is not; a key tells whose it is."""
    history = empty()
    written: dict[str, list[Entry]] = {}
    for host in ("h1", "h11", "h" * 2000):
        written[host] = []
        for entity in ("e1", "e2", "e3"):
            ring = Ring(history.processes.get, host, 2, 0)
            ring.remember(Process(entity, (Image(0, entity),)), None)
            written[host] += ring.changes
            for change in ring.changes:
                history.remember(*change)
    for host, changes in written.items():
        ring = Ring(history.processes.get, host, 2, 0)
        assert [None, "e2", "e3"] == [found and found.image.name for found in map(ring.find, ("e1", "e2", "e3"))]
        assert all(belongs_to(key, host) for key, _ in changes)
        assert not any(belongs_to(key, other) for key, _ in changes for other in written if other != host)

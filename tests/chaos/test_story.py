"""What the chaos suite sends, and what it expects of it."""

from __future__ import annotations

from random import Random

import pytest

from tests.broker.history import history, replayed
from tests.chaos.faults import FAULTS, MIXED, drawn
from tests.chaos.options import OptionError, Options
from tests.chaos.story import fates, plain, poisoned, tell, with_aborted, with_large


def test_story_is_the_same_for_the_same_seed() -> None:
    """All of it, and another one for another seed."""
    tellings = [plain, poisoned, with_aborted]
    one, again, other = (tell(Random(seed), tellings) for seed in (1, 1, 2))
    assert one == again
    assert one.fates == again.fates
    assert one.chunks != other.chunks


def test_fates_have_the_alerts_of_replay() -> None:
    """Each id with the record that raises it, over all chunks as one history."""
    sent = history(4, 200, noise=100, hosts=20)
    found = fates(sent)
    assert {alert.id for alert in replayed(sent)} == frozenset().union(*(fate.alerts for fate in found.values()))
    assert all(fate.matches for fate in found.values() if fate.alerts)
    # Of the family and excluded by the rules, or known: forwarded, and no alert.
    assert 0 < sum(fate.matches and not fate.alerts for fate in found.values())


def test_every_chunk_has_new_terms() -> None:
    """So that a fault at any time finds alerts to lose."""
    story = tell(Random(3), [plain] * 9)
    for chunk in story.chunks:
        assert 10 < sum(bool(story.fates[r.value].alerts) for r in chunk.records if r.value in story.fates)


def test_poison_is_a_tenth_and_each_a_dead_letter() -> None:
    """Broken candidates, about one in ten, of which none matches."""
    (chunk,) = tell(Random(5), [poisoned]).chunks
    story = tell(Random(5), [poisoned])
    broken = [story.fates[r.value] for r in chunk.records if r.value in story.fates and story.fates[r.value].reasons]
    candidates = sum(r.value in story.fates for r in chunk.records)
    assert 0.07 < len(broken) / candidates < 0.13
    assert not any(fate.matches or fate.alerts for fate in broken)


def test_large_records_match() -> None:
    """Each near a megabyte, and some of them new."""
    story = tell(Random(6), [with_large])
    large = [r.value for chunk in story.chunks for r in chunk.records if len(r.value) > 1_000_000]
    assert 3 == len(large)
    assert all(story.fates[value].matches for value in large)


def test_aborted_records_are_not_expected() -> None:
    """They match, and have no fate."""
    story = tell(Random(7), [with_aborted])
    (chunk,) = story.chunks
    assert chunk.aborted
    assert not any(record.value in story.fates for record in chunk.aborted)


def test_every_kind_can_be_drawn() -> None:
    """Mixed draws only what may come among others."""
    assert all(fault.mixes for fault in drawn(MIXED, 200, Random(1)))
    for fault in FAULTS:
        assert [fault, fault] == drawn(fault.name, 2, Random(1))


def test_faults_are_shared_out_among_all_kinds() -> None:
    """To the last one, in runs of at most eight."""
    options = Options.from_environment({"SEED": "1", "FAULTS": "331"})
    runs = options.runs()
    assert 331 == sum(count for _, _, count in runs)
    assert set(options.kinds) == {kind for kind, _, _ in runs}
    assert all(0 < count <= 8 for _, _, count in runs)
    assert len(runs) == len({(kind, seed) for kind, seed, _ in runs})


def test_impossible_options_are_refused() -> None:
    """With the name of the variable."""
    with pytest.raises(OptionError, match="KINDS=kill: kill is none of kill -9, "):
        Options.from_environment({"KINDS": "kill"})
    with pytest.raises(OptionError, match="FAULTS=none"):
        Options.from_environment({"FAULTS": "none"})

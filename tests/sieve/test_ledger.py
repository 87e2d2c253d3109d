"""The ledger against a model that keeps everything: what may be committed, whatever happens in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.sieve import Ledger

PARTITIONS: Final = st.sampled_from([("events", 0), ("events", 1), ("matches", 0)])


@dataclass(slots=True)
class Model:
    """A partition: the scanned position, every record that was handed on, and those of them that are done."""

    position: int
    handed_on: list[int] = field(default_factory=list)
    done: set[int] = field(default_factory=set)

    @property
    def undone(self) -> list[int]:
        """What was handed on and is not done."""
        return [offset for offset in self.handed_on if offset not in self.done]


class LedgerMachine(RuleBasedStateMachine):
    """Fetches, confirmations in any order, late ones of an earlier life, and seeks."""

    def __init__(self) -> None:
        """Begin with no partition."""
        super().__init__()
        self.ledger: Ledger[tuple[str, int]] = Ledger()
        self.models: dict[tuple[str, int], Model] = {}

    @rule(partition=PARTITIONS, gaps=st.lists(st.integers(1, 4), max_size=5), ahead=st.integers(0, 3))
    def register(self, partition: tuple[str, int], gaps: list[int], ahead: int) -> None:
        """A fetch brings some records and a position behind them."""
        model = self.models.setdefault(partition, Model(0))
        offset, offsets = model.position - 1, []
        for gap in gaps:
            offset += gap
            offsets.append(offset)
        position = offset + 1 + ahead
        self.ledger.register(partition, iter(offsets), position)
        model.handed_on += offsets
        model.position = position

    @rule(partition=PARTITIONS, data=st.data())
    def confirm(self, partition: tuple[str, int], data: st.DataObject) -> None:
        """Any record that is not done yet."""
        model = self.models.get(partition)
        if model is not None and model.undone:
            offset = data.draw(st.sampled_from(model.undone))
            self.ledger.done(partition, offset)
            model.done.add(offset)

    @rule(partition=PARTITIONS, offset=st.integers(0, 60))
    def confirm_what_is_not_pending(self, partition: tuple[str, int], offset: int) -> None:
        """A record of an earlier life, or one that is done; it must not count for one that comes later."""
        model = self.models.get(partition)
        if model is None or offset not in model.undone:
            self.ledger.done(partition, offset)

    @rule(partition=PARTITIONS, back=st.integers(0, 20))
    def seek(self, partition: tuple[str, int], back: int) -> None:
        """The partition is forgotten, and read again from an earlier position."""
        model = self.models.pop(partition, None)
        self.ledger.clear(partition)
        if model is not None and back:
            position = max(model.position - back, 0)
            self.ledger.register(partition, (), position)
            self.models[partition] = Model(position)

    @invariant()
    def nothing_is_committed_over(self) -> None:
        """The committable offset is the smallest undone record, else the position."""
        assert set(self.models) == set(self.ledger)
        for partition, model in self.models.items():
            assert min(model.undone, default=model.position) == self.ledger.committable(partition)
            assert model.position == self.ledger.position(partition)

    @invariant()
    def the_pending_are_counted(self) -> None:
        """Those behind an undone record count too, done or not."""
        for partition, model in self.models.items():
            behind = [offset for offset in model.handed_on if offset >= min(model.undone, default=1 << 40)]
            assert len(behind) == self.ledger.pending(partition)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_an_unknown_partition_has_nothing_to_commit() -> None:
    """Neither before it is registered nor after it is cleared."""
    ledger: Ledger[str] = Ledger()
    ledger.register("a", (), 5)
    ledger.clear("a")
    ledger.clear("b")
    ledger.done("a", 3)

    assert (None, None, 0) == (ledger.committable("a"), ledger.position("a"), ledger.pending("a"))
    assert [] == list(ledger)


def test_a_stretch_without_matches_is_committed_to_its_end() -> None:
    """The position alone moves on."""
    ledger: Ledger[str] = Ledger()
    for position in (10, 500, 500, 1_000_000):
        ledger.register("a", (), position)
        assert position == ledger.committable("a")


@pytest.mark.parametrize("order", [(3, 5, 9), (9, 5, 3), (5, 3, 9), (5, 9, 3)])
def test_records_may_be_done_in_any_order(order: tuple[int, ...]) -> None:
    """The first undone one holds the commit back; with the last, the position is committed."""
    ledger: Ledger[str] = Ledger()
    ledger.register("a", (3, 5, 9), 20)
    left = {3, 5, 9}
    for offset in order:
        assert min(left) == ledger.committable("a")
        ledger.done("a", offset)
        left.discard(offset)

    assert (20, 0) == (ledger.committable("a"), ledger.pending("a"))


def test_a_late_confirmation_does_not_count_for_a_later_record() -> None:
    """It is of a life before a seek; the record with this offset that comes now is not done by it."""
    ledger: Ledger[str] = Ledger()
    ledger.register("a", (10, 30), 40)
    ledger.clear("a")
    ledger.register("a", (10,), 20)
    ledger.done("a", 30)
    ledger.register("a", (30,), 40)
    ledger.done("a", 10)

    assert (30, 1) == (ledger.committable("a"), ledger.pending("a"))


def test_partitions_can_be_cleared_while_they_are_gone_through() -> None:
    """As a revocation does."""
    ledger: Ledger[int] = Ledger()
    for partition in range(3):
        ledger.register(partition, (), partition)
    for partition in ledger:
        ledger.clear(partition)

    assert [] == list(ledger)


def test_position_that_went_back_begins_a_new_account() -> None:
    """A broker lost the end of its log: what is read again from there is committed, not held up for ever."""
    ledger: Ledger[str] = Ledger()
    ledger.register("p", [100, 101], 102)
    ledger.register("p", [0, 1], 2)
    steps = [ledger.committable("p")]
    for offset in (0, 1):
        ledger.done("p", offset)
        steps.append(ledger.committable("p"))

    assert [0, 1, 2] == steps

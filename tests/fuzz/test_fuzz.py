"""The short form of `make fuzz`, and that it would find something."""

from __future__ import annotations

import pytest

from app.core import engine
from app.core.dead_letter import REASONS
from app.core.event import ProcessEvent
from app.core.source_format import SourceFormat, read_event
from tests.fuzz.run import run, table, try_records
from tests.fuzz.trial import record_of

RECORDS = 20_000
SEED = 1


def test_mutated_records_are_judged_or_dead_letters() -> None:
    """Nothing escapes, nothing takes long, and a good share of the records still matches."""
    tally, finding, seconds = run(SEED, 0, RECORDS)

    assert finding is None, finding
    assert RECORDS == tally.records
    assert tally.candidates == tally.unmatched + tally.matched + sum(
        tally.dead_letters[reason] for reason in ("not_json", "not_an_object", "not_wrapped", "too_deep")
    )
    assert tally.matched > RECORDS / 5
    assert tally.alerts > RECORDS / 5
    # What only sending can meet is left out.
    assert set(REASONS) - {"too_large", "not_a_match", "internal_error"} == set(tally.dead_letters)
    assert "internal_error" not in table(tally, SEED, seconds)


def test_record_depends_on_seed_and_number_alone() -> None:
    """A finding can be tried again without those that came before it."""
    assert record_of(7, 123) == record_of(7, 123)
    assert 90 < len({record_of(7, number) for number in range(100)})


def test_what_escapes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own code that fails on some records is told with the first of them, in full."""

    def failing(raw: bytes, source_format: SourceFormat) -> ProcessEvent:
        if b"perl" in raw:
            raise LookupError("made to fail")
        return read_event(raw, source_format)

    monkeypatch.setattr(engine, "read_event", failing)
    _, finding = try_records(SEED, 0, 1_000)

    assert finding is not None
    assert "internal_error: LookupError: made to fail" in finding.trace
    assert b"perl" in finding.raw
    assert record_of(SEED, finding.number) == finding.raw
    assert finding.raw.hex() in str(finding)

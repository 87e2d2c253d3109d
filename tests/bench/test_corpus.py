"""What the topics hold is what the benchmarks say of it."""

from __future__ import annotations

from tests.bench.corpus import RECORDED_MATCHES, RECORDING
from tests.chaos.story import default_engine


def test_count_of_forwarded_records_is_that_of_the_shipped_rules() -> None:
    """A benchmark checks it after each run: it must follow the rules."""
    engine = default_engine()

    assert RECORDED_MATCHES == sum(len(engine.examine(line, None).routes()) for line in RECORDING)

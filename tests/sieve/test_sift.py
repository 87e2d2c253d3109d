"""The sieve against the stock parser: what matters, its offsets and the position are the same."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.sieve import Inflater, Sieve
from app.sieve.sift import Search
from tests.sieve.logs import Log, random_fetch, random_log, random_needle
from tests.sieve.searches import ESCAPES, everything, plain
from tests.sieve.stock import Fetch, parse

LIMIT: Final = 1 << 20
FETCHES_PER_LOG: Final = 2
NORMAL: Final = 8_000
SLOW: Final = 400_000
PARTS: Final = 10

# One for all cases, as in a worker: nothing may remain in its buffer from one record set to the next.
INFLATER: Final = Inflater(LIMIT)


def check(log: Log, fetch: Fetch, search: Search) -> list[Any]:
    """Hold the sieved record set against the whole one, and return the records that matter."""
    sifted = Sieve(search, INFLATER).sift(fetch.data)
    whole, rest = parse(fetch), parse(fetch, sifted.data)
    passed_from = log.passed_from(fetch.offset)
    matters = {offset for offset, data in log.records.items() if search(memoryview(data), 0, len(data)) >= 0}
    expected = [one for one in whole.records if one.offset in matters or one.offset >= passed_from]

    assert expected == rest.records
    assert whole.position == rest.position
    assert whole.readable == rest.readable
    assert bool(fetch.data) == bool(sifted.data)
    assert not sifted.dead
    if passed_from == log.end:
        assert (whole.position if whole.readable else -1) == sifted.next_offset
    assert sifted.dropped <= sifted.batches
    return rest.records


def contents(record: Any) -> list[bytes]:
    """All bytes of a record that a producer chose."""
    headers = [part for name, value in record.headers for part in (name.encode(), value)]
    return [part for part in (record.key, record.value, *headers) if part is not None]


def check_plain(random: Random) -> None:
    """A random fetch, and a needle that must stand there as it is."""
    log = random_log(random)
    for _ in range(FETCHES_PER_LOG):
        needle = random_needle(random, log)
        fetch = random_fetch(random, log)
        kept = check(log, fetch, plain(needle))
        holders = [one for one in parse(fetch).records if any(needle in part for part in contents(one))]
        assert holders == [one for one in kept if any(needle in part for part in contents(one))]


def check_escapes(random: Random) -> None:
    """A random fetch, and the product's needles, which may be spelled with escapes."""
    log = random_log(random)
    for _ in range(FETCHES_PER_LOG):
        fetch = random_fetch(random, log)
        kept = check(log, fetch, ESCAPES.first_hit)
        candidates = [one for one in parse(fetch).records if any(map(ESCAPES.is_candidate, contents(one)))]
        assert candidates == [one for one in kept if any(map(ESCAPES.is_candidate, contents(one)))]


CHECKS: Final = pytest.mark.parametrize("check_case", [check_plain, check_escapes], ids=["plain", "escapes"])


@CHECKS
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_a_fetch_parses_to_what_matters_of_it(check_case: Any, random: Random) -> None:
    """Records with the needle and the final position equal the stock parser's; small cases, which shrink."""
    check_case(random)


@CHECKS
def test_many_fetches_parse_to_what_matters_of_them(check_case: Any) -> None:
    """The same for many larger logs, each named by its seed."""
    run_seeds(check_case, range(NORMAL // 2 // FETCHES_PER_LOG))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@CHECKS
def test_very_many_fetches_parse_to_what_matters_of_them(check_case: Any, part: int) -> None:
    """The same for a hundred thousand fetches."""
    count = SLOW // 2 // PARTS // FETCHES_PER_LOG
    run_seeds(check_case, range((part + 1) * 1_000_000, (part + 1) * 1_000_000 + count))


def run_seeds(check_case: Any, seeds: range) -> None:
    """Check one log for each seed; a failure names it."""
    for seed in seeds:
        try:
            check_case(Random(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_everything_is_left_as_it_is_when_all_matters() -> None:
    """A sieve that is switched off hands back the very bytes it got."""
    for seed in range(100):
        log = random_log(Random(seed))
        fetch = random_fetch(Random(seed), log)
        sifted = Sieve(everything, INFLATER).sift(fetch.data)
        assert parse(fetch) == parse(fetch, sifted.data)


def test_a_sieved_set_of_uncompressed_batches_is_never_larger() -> None:
    """A batch shrinks or stays, and the marker at the end takes the place of a batch."""
    for seed in range(300):
        log = random_log(Random(seed), compressed=0)
        fetch = random_fetch(Random(seed), log)
        assert len(Sieve(plain(), INFLATER).sift(fetch.data).data) <= len(fetch.data)

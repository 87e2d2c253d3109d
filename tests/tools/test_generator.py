"""Made-up events: as large as asked for, the same each time, and never a match."""

from __future__ import annotations

import statistics
from random import Random

import cramjam
import msgspec
import orjson
import pytest

from app.core.needles import Needles
from app.runtime.rules import load_rules
from app.runtime.settings import PACKAGED_RULES
from app.tools.generator import Host, ordinary_document, ordinary_event

_TIME = 1_767_600_000 * 10**9


def _events(seed: int, count: int, *, small: bool = False) -> list[bytes]:
    random = Random(seed)
    return [ordinary_event(random, Host(random.randrange(500)), _TIME + n * 10**6, small=small) for n in range(count)]


@pytest.mark.parametrize(("small", "mean", "least", "most"), [(False, 4900, 4600, 5200), (True, 2400, 2150, 2650)])
def test_events_have_the_size_that_is_promised(small: bool, mean: int, least: int, most: int) -> None:
    """On the mean within 2 %, and none far from it."""
    sizes = [len(event) for event in _events(1, 2000, small=small)]

    assert abs(statistics.mean(sizes) - mean) < mean * 0.02
    assert least < min(sizes)
    assert max(sizes) < most


@pytest.mark.parametrize("small", [False, True])
def test_the_same_random_source_gives_the_same_bytes(small: bool) -> None:
    """And another one gives others."""
    assert _events(7, 50, small=small) == _events(7, 50, small=small)
    assert _events(7, 50, small=small) != _events(8, 50, small=small)


@pytest.mark.parametrize("small", [False, True])
def test_no_event_has_a_needle(small: bool) -> None:
    """Noise must be what the sieve drops, else a measurement of it means nothing."""
    needles = Needles.of((rule.id, rule.query) for rule in load_rules((PACKAGED_RULES,)))

    assert needles.literals
    assert not any(needles.is_candidate(event) for event in _events(3, 2000, small=small))


@pytest.mark.parametrize("small", [False, True])
def test_events_differ_as_real_ones_do(small: bool) -> None:
    """Ids and processes are each event's own; users, programs and hosts come back."""
    documents = [orjson.loads(event) for event in _events(4, 500, small=small)]

    assert 500 == len({document["event"]["id"] for document in documents})
    assert 500 == len({document["process"]["entity_id"] for document in documents})
    assert 5 < len({document["user"]["name"] for document in documents}) < 50
    assert 20 < len({document["process"]["name"] for document in documents}) < 100


def test_a_caller_can_make_an_event_a_match() -> None:
    """Changing the parent of a document changes that one place and no other."""
    document = ordinary_document(Random(5), Host(1), _TIME)
    document["process"]["parent"]["name"] = "exim4"

    assert 1 == msgspec.json.encode(document).count(b"exim4")


@pytest.mark.bench
@pytest.mark.parametrize("small", [False, True])
def test_ratio_of_compression(small: bool) -> None:
    """Prints by how much batches of 64 events shrink."""
    events = _events(6, 6400, small=small)
    batches = [b"".join(events[start : start + 64]) for start in range(0, len(events), 64)]
    plain = sum(map(len, batches))
    for name, codec in (("lz4", cramjam.lz4), ("zstd", cramjam.zstd)):
        packed = sum(len(bytes(codec.compress(batch))) for batch in batches)
        print(f"{'small' if small else 'large'} events, 64 a batch, {name}: {plain / packed:.1f}")

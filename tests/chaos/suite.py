"""All runs on one broker."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Final

from tests.broker.kafka import Kafka
from tests.broker.proxy import DelayProxy
from tests.chaos.faults import BY_NAME, MIXED
from tests.chaos.outcome import FOLDER, Outcome
from tests.chaos.run import run

Planned = tuple[str, str, int]
"""Kind, seed and number of faults."""

_BROKER: Final = {
    # Compaction at once instead of every 15 s; only the topics of one kind of run allow it.
    "log.cleaner.backoff.ms": "300",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
}


@contextmanager
def broker() -> Iterator[tuple[Kafka, DelayProxy]]:
    """The Kafka of a suite, and the proxy before its second listener."""
    with Kafka(_BROKER, heap="1g", proxied=True) as kafka, DelayProxy(kafka.front, kafka.behind) as proxy:
        yield kafka, proxy


def run_all(planned: Iterable[Planned], beside: int, tell: Callable[[Outcome], None]) -> list[Outcome]:
    """Make the runs, some side by side but for those that harm the broker.

    Args:
        planned: What to run.
        beside: How many at a time.
        tell: Called with each outcome as it is there.
    """
    outcomes: list[Outcome] = []
    shutil.rmtree(FOLDER / "runs", ignore_errors=True)
    alone = [one for one in planned if _alone(one[0])]
    shared = [one for one in planned if not _alone(one[0])]
    with broker() as (kafka, proxy):

        def made(one: Planned) -> Outcome:
            kind, seed, count = one
            return run(kind, seed, count, kafka, proxy, FOLDER / "runs" / f"{kind.replace(' ', '-')}-{seed}")

        for several, group in ((beside, shared), (1, alone)):
            with ThreadPoolExecutor(several) as pool:
                for future in as_completed([pool.submit(made, one) for one in group]):
                    outcomes.append(future.result())
                    tell(outcomes[-1])
                    kafka.ensure_running()
    return outcomes


def _alone(kind: str) -> bool:
    return kind == MIXED or BY_NAME[kind].alone or BY_NAME[kind].proxied

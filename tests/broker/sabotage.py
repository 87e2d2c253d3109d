"""A worker with one part of it broken, run as `python -m tests.broker.sabotage KIND worker`; for tests of what sees it.

Each kind breaks something that no broker can be made to break on demand, from the moment that the file exists which is
called as the data directory with `.break` at its end.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiokafka.cluster import ClusterMetadata

from app.runtime.consumer_thread import SieveConsumerThread
from app.runtime.driver import SieveConsumer
from app.runtime.in_flight import InFlight
from app.sieve import Ledger
from app.tools.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

_BREAK: Final = Path(f"{os.environ['EXIMWATCH_DATA_DIR']}.break") if "EXIMWATCH_DATA_DIR" in os.environ else None


def _broken() -> bool:
    return _BREAK is not None and _BREAK.exists()


def _no_fetch() -> None:
    stock = SieveConsumer._getmany

    async def getmany(self: SieveConsumer, *arguments: Any, **named: Any) -> Any:
        if _broken():
            await asyncio.sleep(3600)
        return await stock(self, *arguments, **named)

    SieveConsumer._getmany = getmany  # type: ignore[method-assign]


def _never_done() -> None:
    stock = Ledger.done

    def done(self: Ledger[Any], partition: Any, offset: int) -> None:
        if not _broken():
            stock(self, partition, offset)

    Ledger.done = done  # type: ignore[method-assign]


def _no_commit() -> None:
    stock = SieveConsumerThread.commit

    async def commit(self: SieveConsumerThread, offsets: Any) -> bool:
        if _broken():
            await asyncio.sleep(3600)
        return await stock(self, offsets)

    SieveConsumerThread.commit = commit  # type: ignore[method-assign]


def _blocked_loop() -> None:
    stock = InFlight.begin

    def begin(self: InFlight, *arguments: Any, **named: Any) -> Any:
        if _broken():
            time.sleep(3600)
        return stock(self, *arguments, **named)

    InFlight.begin = begin  # type: ignore[method-assign]


def _unknown_topic() -> None:
    stock = ClusterMetadata.update_metadata

    def update_metadata(self: ClusterMetadata, metadata: Any) -> None:
        if _broken():
            metadata.topics = [topic for topic in metadata.topics if not topic[1].endswith(".matches")]
        stock(self, metadata)

    ClusterMetadata.update_metadata = update_metadata


KINDS: Final[dict[str, Callable[[], None]]] = {
    "no_fetch": _no_fetch,
    "never_done": _never_done,
    "no_commit": _no_commit,
    "blocked_loop": _blocked_loop,
    "unknown_topic": _unknown_topic,
}
"""What is broken; the last one before the worker joins, as a broker does that has just come back."""

if __name__ == "__main__":
    KINDS[sys.argv.pop(1)]()
    main()

"""Contenders, one module each, run as `python -m tests.bench.peers.NAME BROKERS TOPIC GROUP EVENTS FOLDER`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Self

NEEDLE: Final = b"exim4"


@dataclass(frozen=True, slots=True)
class Task:
    """What a contender is to read.

    Attributes:
        brokers: Kafka's address.
        topic: Read from its beginning.
        group: A consumer group that nobody has used.
        events: How many records there are; all must be looked at.
        folder: Its own, for whatever it writes.
    """

    brokers: str
    topic: str
    group: str
    events: int
    folder: str

    @classmethod
    def from_arguments(cls) -> Self:
        """Read the command line."""
        brokers, topic, group, events, folder = sys.argv[1:]
        return cls(brokers, topic, group, int(events), folder)

    @property
    def arguments(self) -> list[str]:
        """The command line."""
        return [self.brokers, self.topic, self.group, str(self.events), self.folder]

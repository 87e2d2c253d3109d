"""Where a fault finds everything that it may harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import AdminClient

from tests.broker.waiting import wait_until
from tests.chaos.checks import check_so_far
from tests.chaos.story import Chunk, Story, Telling, plain

if TYPE_CHECKING:
    from tests.broker.installation import Installation
    from tests.broker.kafka import Kafka
    from tests.broker.proxy import DelayProxy
    from tests.chaos.player import Player
    from tests.chaos.supervisor import Post, Supervisor
    from tests.chaos.watch import Watch

SESSION_S: Final = 4
"""The workers' session timeout: a dead one's partitions are given to others after so many seconds."""

_DEADLINE_S: Final = 150.0


class NotInjectedError(Exception):
    """A fault found nothing to harm; the run goes on, and it does not count."""


@dataclass
class Scene:
    """One run in progress.

    Attributes:
        chunk: What the present fault has to play.
        remarks: What the run must tell although nothing was lost, such as an unusual exit code.
        found: What the checks between the faults found.
    """

    kafka: Kafka
    proxy: DelayProxy
    installation: Installation
    supervisor: Supervisor
    player: Player
    watch: Watch
    story: Story
    chunk: Chunk = field(default=Chunk(()))
    remarks: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    @cached_property
    def admin(self) -> AdminClient:
        """A client for administration. Kept: what was asked of one that is gone is never answered."""
        return AdminClient({"bootstrap.servers": self.kafka.brokers, "log_level": 0})

    def play(self) -> None:
        """Begin to send the fault's chunk, in the background."""
        self.player.play(self.chunk)

    def pass_time(self, seconds: float) -> None:
        """Let time go by, while the dead are started again."""
        end = monotonic() + seconds
        wait_until(lambda: self._tended() and monotonic() >= end, seconds + _DEADLINE_S, "time to pass", pause=0.05)

    def catch_up(self, deadline: float = _DEADLINE_S) -> None:
        """Wait until everything that was played is sent, judged and committed."""
        self.supervisor.wait(self.player.idle, deadline, "the player")
        self.supervisor.wait(lambda: self.installation.lag() == 0, deadline, "the workers to catch up")

    def running_post(self, random: Random) -> Post:
        """One of the workers that run.

        Raises:
            NotInjectedError: None does.
        """
        running = [post for post in self.supervisor.posts if post.worker.running]
        if not running:
            raise NotInjectedError("no worker was running")
        return random.choice(running)

    def any_post(self, random: Random) -> Post:
        """One of the workers."""
        return random.choice(self.supervisor.posts)

    @contextmanager
    def held(self, *posts: Post) -> Iterator[None]:
        """Nobody starts these workers meanwhile."""
        for post in posts:
            post.held = True
        try:
            yield
        finally:
            for post in posts:
                post.held = False

    def check(self) -> None:
        """Look at what is there now: nothing unasked, and nothing committed that is not finished."""
        found = check_so_far(self.watch.look(), self.story.fates).faults
        self.found += [one for one in found if one not in self.found]

    def _tended(self) -> bool:
        self.supervisor.tend()
        return True


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: For the table and for KINDS.
        inject: Plays the scene's chunk and does the harm, at times that `random` decides; returns when the harm is
            over. What it broke is healed by the supervisor, by itself, or by the worker.
        telling: What the chunk is made of.
        workers: How many there must be.
        alone: It hits the broker, and so all runs on it.
        proxied: The workers talk to the broker through the proxy.
        mixes: It may come among others in one run.
        transactional: The run's records are sent in transactions.
        exits: Exit codes that workers may have because of it, besides 0 and those of signals.
        thins: The changelog need not have every term after it.
    """

    name: str
    inject: Callable[[Scene, Random], None]
    telling: Telling = plain
    workers: int = 1
    alone: bool = False
    proxied: bool = False
    mixes: bool = True
    transactional: bool = False
    exits: frozenset[int] = frozenset()
    thins: bool = False

"""Starts workers again when they have ended, as an init system would, and keeps account of their ends."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.broker.worker import Worker

_STOP_S: Final = 60.0
_ENDS_S: Final = 11.0
"""A ready worker ends in order, or hard after 9 s, in 10 s at most; one more is for a machine that is busy."""
_SIGTERM: Final = -15
_ALWAYS: Final = frozenset({0, -9})


@dataclass(frozen=True, slots=True)
class End:
    """How a worker ended.

    Attributes:
        code: Its exit code, minus the signal's number for a signal.
        log: Where it wrote.
        ready: It had been ready since its start.
        stopped: It was sent SIGTERM while it ran.
        seconds: From SIGTERM to the end; 0 without one.
    """

    code: int
    log: str
    ready: bool
    stopped: bool = False
    seconds: float = 0.0


def wrong_ends(ends: Iterable[End], allowed: frozenset[int]) -> list[str]:
    """Ends that must not be, one sentence each; `allowed` are the exit codes that the run's faults may lead to."""
    found = []
    for end in ends:
        # Before it takes the signal for an order, in its start-up, SIGTERM ends it as it does any process.
        early = end.code == _SIGTERM and not end.ready
        if end.code not in _ALWAYS | allowed and not early:
            found.append(f"a worker ended with {end.code}, which its faults do not allow: {end.log}")
        elif end.stopped and end.ready and end.code not in {0, *allowed}:
            found.append(f"SIGTERM ended a ready worker with {end.code}: {end.log}")
        if end.stopped and end.ready and end.seconds > _ENDS_S:
            found.append(f"a ready worker took {end.seconds:.1f} s to end after SIGTERM: {end.log}")
    return found


@dataclass(eq=False)
class Post:
    """A place for a worker.

    Attributes:
        worker: Who is there, running or not.
        data: Its data directory.
        held: It is not started when it has ended.
        once: What its next start, and only that, finds in its environment.
    """

    worker: Worker
    data: Path
    held: bool = False
    once: Mapping[str, str] = field(default_factory=dict)
    noted: bool = False


class Supervisor:
    """The workers of one run. Nothing happens in the background: whoever waits calls `tend` meanwhile.

    Attributes:
        posts: In the order in which they were opened.
        exits: How often each exit code was seen; minus the signal's number for a signal.
        ends: All ends, in their order.
    """

    def __init__(self, folder: Path, open_worker: Callable[[Path, Path], Worker]) -> None:
        """Begin with no worker.

        Args:
            folder: For logs and data directories.
            open_worker: Starts a worker with a data directory and a log.
        """
        self._folder = folder
        self._open = open_worker
        self._opened = 0
        self.posts: list[Post] = []
        self.exits: Counter[int] = Counter()
        self.ends: list[End] = []

    def open(self) -> Post:
        """A worker more, with a new data directory."""
        self._opened += 1
        data = self._folder / f"data-{self._opened}"
        post = Post(self._open(data, self._folder / f"worker-{self._opened}.log"), data)
        self.posts.append(post)
        return post

    def tend(self) -> None:
        """Note who has ended, and start again who is not held."""
        for post in self.posts:
            self._note(post)
            if not post.worker.running and not post.held:
                self._start(post)

    def kill(self, post: Post) -> None:
        """SIGKILL. It is started again unless it is held."""
        self._note(post)
        post.worker.kill()
        self._note(post)

    def stop(self, post: Post) -> int:
        """SIGTERM; returns the exit code. It is started again unless it is held.

        Raises:
            TimeoutError: It did not end.
        """
        if not post.worker.running:
            self._note(post)
            return post.worker.exit_code or 0
        began = time.monotonic()
        ready = _ready(post)
        code = post.worker.stop(_STOP_S)
        self._note(post, ready=ready, stopped=True, seconds=time.monotonic() - began)
        return code

    def close(self, post: Post, *, kill: bool) -> None:
        """A worker less; its directory goes with it."""
        post.held = True
        if kill:
            self.kill(post)
        else:
            self.stop(post)
        self.posts.remove(post)
        shutil.rmtree(post.data, ignore_errors=True)

    def wait(self, condition: Callable[[], bool], deadline: float, what: str) -> None:
        """Wait while tending.

        Raises:
            TimeoutError: It never held; the message has the ends of the workers' logs.
        """

        def tended() -> bool:
            self.tend()
            return condition()

        try:
            wait_until(tended, deadline, what, pause=0.1)
        except TimeoutError as error:
            ends = "\n".join(f"{post.worker.log}:\n{post.worker.tail()}" for post in self.posts)
            raise TimeoutError(f"{error}; exits so far {dict(self.exits)}; the logs end:\n{ends}") from None

    def ready(self) -> bool:
        """Whether every worker runs and has said since its start that it is ready."""
        return all(post.worker.running and _ready(post) for post in self.posts)

    def _start(self, post: Post) -> None:
        once, post.once = post.once, {}
        post.noted = False
        post.worker.start(once)

    def _note(self, post: Post, *, ready: bool | None = None, stopped: bool = False, seconds: float = 0.0) -> None:
        code = post.worker.exit_code
        if code is not None and not post.noted:
            post.noted = True
            self.exits[code] += 1
            was_ready = _ready(post) if ready is None else ready
            self.ends.append(End(code, str(post.worker.log), was_ready, stopped, seconds))


def _ready(post: Post) -> bool:
    return "worker ready" in post.worker.output()

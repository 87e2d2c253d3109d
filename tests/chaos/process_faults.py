"""Faults of worker processes."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Final

from app.runtime.fail_points import POINTS, VARIABLE
from tests.broker.installation import PARTITIONS, assigned
from tests.chaos.scene import SESSION_S, Fault, NotInjectedError, Scene

if TYPE_CHECKING:
    from random import Random

    from tests.chaos.supervisor import Post

_HIGHEST: Final = {
    "before_forward": 30,
    "after_forward_ack": 30,
    "after_lineage_write": 30,
    "after_lineage_ack": 30,
    "before_alert": 12,
    "after_alert_ack": 12,
    "after_table_write": 20,
    "after_changelog_ack": 20,
    "before_commit": 1,
}
"""The passing of each fail point at which the worker is to die, at most; a chunk gives some more."""
_AT_ONCE_S: Final = 1.2
_HALF: Final = 0.5
_FIRES_S: Final = 45.0
_READY_S: Final = 120.0
_KILLED: Final = -9


def kill(scene: Scene, random: Random) -> None:
    """SIGKILL in mid-stream."""
    scene.play()
    scene.pass_time(random.uniform(0, _AT_ONCE_S))
    scene.supervisor.kill(scene.running_post(random))


def terminate(scene: Scene, random: Random) -> None:
    """SIGTERM in mid-stream."""
    scene.play()
    scene.pass_time(random.uniform(0, _AT_ONCE_S))
    scene.supervisor.stop(scene.running_post(random))


def die_at(point: str, scene: Scene, random: Random) -> None:
    """The worker kills itself at the n-th passing of a point between two effects, after a start."""
    post = scene.any_post(random)
    post.once = {VARIABLE: f"{point}:{random.randint(1, _HIGHEST[point])}"}
    scene.supervisor.kill(post)
    before = scene.supervisor.exits[_KILLED]
    scene.play()
    try:
        scene.supervisor.wait(lambda: scene.supervisor.exits[_KILLED] > before, _FIRES_S, f"the end at {point}")
    except TimeoutError:
        scene.supervisor.kill(post)  # so that it does not die later, in another fault
        raise NotInjectedError(f"{post.worker.log}: {point} was not passed often enough") from None


def join_and_leave(more: int, scene: Scene, random: Random) -> None:
    """Workers come, take partitions over while records come, and leave again, in order or not."""
    for _ in range(more):
        scene.supervisor.open()
    if random.random() < _HALF:
        scene.pass_time(random.uniform(2, 5))
        scene.play()
        scene.supervisor.wait(scene.supervisor.ready, _READY_S, "the workers that joined")
    else:
        scene.supervisor.wait(scene.supervisor.ready, _READY_S, "the workers that joined")
        scene.play()
        scene.pass_time(random.uniform(0, _AT_ONCE_S))
    # Who stays need not be who was first.
    leaving = random.sample(scene.supervisor.posts, more)
    for post in leaving:
        scene.supervisor.close(post, kill=random.random() < _HALF)


def freeze(scene: Scene, random: Random) -> None:
    """One of two workers is stopped in mid-work for longer than its session, and thawed when the other has it all.

    Half of the times the other is then rebuilt from the changelog: stale entries would show in what it judges.
    """
    scene.supervisor.wait(scene.supervisor.ready, _READY_S, "the workers to freeze")
    scene.play()
    scene.pass_time(random.uniform(0, _AT_ONCE_S))
    post = scene.any_post(random)
    if not post.worker.running:
        raise NotInjectedError("the worker to freeze had ended")
    post.worker.pause()
    try:
        scene.pass_time(SESSION_S + random.uniform(0.5, 4))
        if len(scene.supervisor.posts) > 1:
            scene.supervisor.wait(lambda: _others_have_all(scene, post), _READY_S, "the others to take all over")
    finally:
        before = len(scene.supervisor.ends)
        post.worker.resume()
    scene.pass_time(random.uniform(0, 1))
    ends = [end.code for end in scene.supervisor.ends[before:] if end.log == str(post.worker.log)]
    scene.remarks.append(f"the frozen worker ended with {ends}" if ends else "the frozen worker went on after a thaw")
    if random.random() < _HALF:
        for other in scene.supervisor.posts:
            if other is not post:
                with scene.held(other):
                    scene.supervisor.kill(other)
                    shutil.rmtree(other.data, ignore_errors=True)


def _others_have_all(scene: Scene, frozen: Post) -> bool:
    topics = (scene.installation.source(), scene.installation.names["matches"])
    wanted = {(topic, number) for topic in topics for number in range(PARTITIONS)}
    others = [post.worker for post in scene.supervisor.posts if post is not frozen and post.worker.running]
    return wanted <= set().union(*(assigned(worker) for worker in others))


FAULTS: Final = (
    Fault("kill -9", kill),
    *(Fault(point, partial(die_at, point)) for point in POINTS),
    Fault("SIGTERM", terminate),
    Fault("second worker", partial(join_and_leave, 1)),
    Fault("third worker", partial(join_and_leave, 2)),
    Fault("worker frozen", freeze, workers=2, exits=frozenset({10})),
)

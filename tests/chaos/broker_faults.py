"""Faults of the broker, of its answers and of our topics on it."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Final

from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, OffsetSpec, ResourceType

from tests.broker.installation import PARTITIONS
from tests.broker.records import read_topic
from tests.chaos.scene import Fault, Scene
from tests.chaos.story import poisoned, with_aborted, with_large

if TYPE_CHECKING:
    from random import Random

_AT_ONCE_S: Final = 1.2
_TIMEOUT_S: Final = 30.0
_COMPACTS_S: Final = 60.0
_HALF: Final = 0.5
_SLOW: Final = frozenset({6, 10})
_GONE: Final = frozenset({5, 6, 10})
_CHANGELOGS: Final = ("changelog", "lineage-changelog")
_COMPACTED_AT_ONCE: Final = {"segment.ms": "200", "min.cleanable.dirty.ratio": "0", "delete.retention.ms": "0"}


def kill(scene: Scene, random: Random) -> None:
    """SIGKILL to Kafka, which is started again after a while."""
    scene.play()
    scene.pass_time(random.uniform(0, _AT_ONCE_S))
    scene.kafka.kill()
    scene.pass_time(random.uniform(0, 3))
    scene.kafka.restart()


def freeze(scene: Scene, random: Random) -> None:
    """SIGSTOP to Kafka, shorter or longer than a session; connections stay and nobody answers."""
    scene.play()
    scene.pass_time(random.uniform(0, _AT_ONCE_S))
    scene.kafka.pause()
    try:
        scene.pass_time(random.uniform(1, 9))
    finally:
        scene.kafka.resume()


def delay(milliseconds: int, scene: Scene, random: Random) -> None:
    """Every answer of the broker is late; half of the times the worker is killed meanwhile, with much unconfirmed."""
    scene.proxy.delay = milliseconds / 1000
    try:
        scene.play()
        scene.pass_time(random.uniform(0, 2 * _AT_ONCE_S))
        if random.random() < _HALF:
            scene.supervisor.kill(scene.any_post(random))
        scene.catch_up()
    finally:
        scene.proxy.delay = 0.0


def compact(scene: Scene, random: Random) -> None:
    """The changelogs are compacted down to the newest entry of each key, and then have to rebuild a worker."""
    changelog = scene.installation.names["changelog"]
    for name in _CHANGELOGS:
        _configure(scene, scene.installation.names[name], _COMPACTED_AT_ONCE)
    scene.play()
    scene.catch_up()

    def compacted() -> bool:
        return len(read_topic(scene.kafka.brokers, changelog)) < _written(scene, changelog)

    scene.supervisor.wait(compacted, _COMPACTS_S, f"{changelog} to be compacted")
    post = scene.any_post(random)
    with scene.held(post):
        scene.supervisor.kill(post)
        shutil.rmtree(post.data, ignore_errors=True)


def empty(scene: Scene, random: Random) -> None:
    """Retention takes everything from the changelogs; the worker, which keeps its directory, is killed."""
    changelogs = [scene.installation.names[name] for name in _CHANGELOGS]
    ends = [TopicPartition(name, number, OFFSET_END) for name in changelogs for number in range(PARTITIONS)]
    if random.random() < _HALF:
        scene.catch_up()
    for future in scene.admin.delete_records(ends, request_timeout=_TIMEOUT_S).values():
        future.result(_TIMEOUT_S)
    scene.play()
    scene.pass_time(random.uniform(0, _AT_ONCE_S))
    scene.supervisor.kill(scene.any_post(random))


def make_matches_anew(scene: Scene, random: Random) -> None:
    """The matches topic is deleted and created between two stops, when all of it was judged."""
    del random
    matches = scene.installation.names["matches"]
    scene.catch_up()
    posts = list(scene.supervisor.posts)
    with scene.held(*posts):
        for post in posts:
            scene.supervisor.stop(post)
        scene.check()
        scene.admin.delete_topics([matches], operation_timeout=_TIMEOUT_S)[matches].result(_TIMEOUT_S)
        scene.supervisor.wait(lambda: not _exists(scene, matches), _TIMEOUT_S, f"{matches} to be gone")
        done = scene.installation.run("topics", "create")
        if done.returncode:
            raise RuntimeError(f"{matches} could not be created anew: {done.stderr}")
        scene.watch.matches_begin_anew()
    scene.play()


def hit_on_arrival(scene: Scene, random: Random) -> None:
    """What comes is the fault; half of the times the worker is killed over it."""
    scene.play()
    scene.pass_time(random.uniform(0, 2 * _AT_ONCE_S))
    if random.random() < _HALF:
        scene.supervisor.kill(scene.any_post(random))


def _exists(scene: Scene, topic: str) -> bool:
    return topic in scene.admin.list_topics(timeout=_TIMEOUT_S).topics


def _written(scene: Scene, topic: str) -> int:
    """How many records a topic ever took."""
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # its stub gives no types
    asked = {TopicPartition(topic, number): latest for number in range(PARTITIONS)}
    futures = scene.admin.list_offsets(asked, request_timeout=_TIMEOUT_S)
    return sum(future.result(_TIMEOUT_S).offset for future in futures.values())


def _configure(scene: Scene, topic: str, values: dict[str, str]) -> None:
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in values.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    scene.admin.incremental_alter_configs([resource])[resource].result(_TIMEOUT_S)


FAULTS: Final = (
    Fault("broker killed", kill, alone=True, exits=_GONE),
    Fault("broker frozen", freeze, alone=True, exits=_GONE),
    Fault("changelog compacted", compact, thins=True),
    # Another worker would have to rebuild from what is gone: a limit, see the README.
    Fault("changelog emptied", empty, mixes=False, thins=True),
    Fault("answers 5 ms late", partial(delay, 5), proxied=True, mixes=False, exits=_SLOW),
    Fault("answers 200 ms late", partial(delay, 200), proxied=True, mixes=False, exits=_SLOW),
    Fault("poison flood", hit_on_arrival, poisoned),
    Fault("records of 1 MB", hit_on_arrival, with_large),
    Fault("aborted transactions", hit_on_arrival, with_aborted, mixes=False, transactional=True),
    Fault("matches topic made anew", make_matches_anew, mixes=False),
)

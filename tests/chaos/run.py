"""One run: a story is played, faults come, and at the end everything must have become what it must."""

from __future__ import annotations

import shutil
import time
import uuid
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import AdminClient

from tests.broker.installation import PARTITIONS, Installation
from tests.broker.records import read_topic
from tests.chaos.checks import Findings, check_all
from tests.chaos.faults import drawn
from tests.chaos.outcome import Outcome
from tests.chaos.player import Player
from tests.chaos.scene import SESSION_S, Fault, NotInjectedError, Scene
from tests.chaos.state import Entry, State, expected_state, folded, process_of, term_of, wrong_state
from tests.chaos.story import default_engine, plain, tell
from tests.chaos.supervisor import Supervisor, wrong_ends
from tests.chaos.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.broker.kafka import Kafka
    from tests.broker.proxy import DelayProxy

_READY_S: Final = 150.0
_SETTLES: Final = 0.75
"""How often a fault waits until the one before it is mended; else it comes while that is under way."""
_SETTINGS: Final = {
    "SESSION_TIMEOUT": f"{SESSION_S}s",
    # So that a worker that is stuck, or whose effects nobody acknowledges, ends and is started again in the run.
    "EFFECT_TIMEOUT": "12s",
    "WATCHDOG_TIMEOUT": "30s",
}


def run(kind: str, seed: str, count: int, kafka: Kafka, proxy: DelayProxy, folder: Path) -> Outcome:
    """Make one run; whatever goes wrong stands in its outcome.

    Args:
        kind: Of its faults.
        seed: Decides over the story, the faults and their times; not over how fast the machine is.
        count: How many faults.
        kafka: The broker.
        proxy: Before its second listener.
        folder: For logs and data; made, and removed where nothing went wrong.
    """
    outcome = Outcome(kind, seed, count)
    began = time.monotonic()
    folder.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            _run(stack, outcome, kafka, proxy, folder)
    except Exception as error:  # noqa: BLE001 — the suite goes on, and tells
        outcome.error = f"{type(error).__name__}: {error}"
    outcome.seconds = time.monotonic() - began
    if not outcome.failed:
        shutil.rmtree(folder)
    return outcome


def _run(stack: ExitStack, outcome: Outcome, kafka: Kafka, proxy: DelayProxy, folder: Path) -> None:
    random = Random(f"{outcome.kind}:{outcome.seed}:{outcome.asked}")
    faults = drawn(outcome.kind, outcome.asked, random)
    # A chunk before the first fault and one after the last.
    story = tell(random, [plain, *(fault.telling for fault in faults), plain])
    outcome.events, outcome.expected = story.events, len(story.expected)
    prefix = f"chaos-{uuid.uuid4().hex[:12]}"
    proxied = any(fault.proxied for fault in faults)
    settings = {**_SETTINGS, **({"BROKERS": kafka.front} if proxied else {})}
    installation = Installation(kafka.brokers, prefix, settings=settings)
    stack.callback(_delete, kafka.brokers, [installation.source(), *installation.names.values()])
    stack.enter_context(installation).create()
    supervisor = Supervisor(folder, lambda data, log: installation.worker(log=log, data_dir=str(data)))
    player = Player(
        kafka.brokers,
        installation.source(),
        Random(random.getrandbits(32)),
        transactional=any(fault.transactional for fault in faults),
    )
    stack.enter_context(player)
    watch = stack.enter_context(closing(Watch(kafka.brokers, installation, PARTITIONS)))
    scene = Scene(kafka, proxy, installation, supervisor, player, watch, story)
    try:
        for _ in range(max(fault.workers for fault in faults)):
            supervisor.open()
        supervisor.wait(supervisor.ready, _READY_S, "the first start")
        scene.chunk = story.chunks[0]
        scene.play()
        _inject(scene, faults, random, outcome)
        scene.chunk = story.chunks[-1]
        scene.play()
        scene.catch_up()
        for post in supervisor.posts:
            post.held = True
            supervisor.stop(post)
        _conclude(check_all(watch.look(), story.fates), scene, outcome)
        outcome.wrong = _check_state(scene, whole=not any(fault.thins for fault in faults))
    finally:
        outcome.exits = {str(code): times for code, times in sorted(supervisor.exits.items())}
        outcome.remarks = scene.remarks
        outcome.wrong += wrong_ends(supervisor.ends, frozenset().union(*(fault.exits for fault in faults)))
        if scene.found and not outcome.overtaken:
            outcome.overtaken = scene.found


def _inject(scene: Scene, faults: Sequence[Fault], random: Random, outcome: Outcome) -> None:
    for number, fault in enumerate(faults):
        scene.chunk = scene.story.chunks[number + 1]
        began = time.monotonic()
        # Of its own, so that what one fault draws does not change the next ones.
        own = Random(random.getrandbits(64))
        try:
            fault.inject(scene, own)
            outcome.injected += 1
        except NotInjectedError as reason:
            scene.remarks.append(f"{fault.name} not injected: {reason}")
        if random.random() < _SETTLES:
            scene.catch_up()
            outcome.catch_up_s.append(round(time.monotonic() - began, 2))
        scene.check()


def _conclude(findings: Findings, scene: Scene, outcome: Outcome) -> None:
    faults = list(dict.fromkeys([*scene.found, *findings.faults]))
    outcome.seen, outcome.duplicates = findings.seen, findings.duplicates
    outcome.lost = [one for one in faults if one.startswith("lost")]
    outcome.unknown = [one for one in faults if one.startswith("unknown")]
    outcome.overtaken = [one for one in faults if not one.startswith(("lost", "unknown"))]


def _check_state(scene: Scene, *, whole: bool) -> list[str]:
    found: dict[tuple[int, bytes], State] = {}
    for name, read in (("changelog", term_of), ("lineage-changelog", process_of)):
        records = read_topic(scene.kafka.brokers, scene.installation.names[name])
        found |= folded((Entry(record.partition, record.key or b"", record.value) for record in records), read)
    values = [record.value for chunk in scene.story.chunks for record in chunk.records]
    return wrong_state(expected_state(default_engine(), values), found, whole=whole)


def _delete(brokers: str, topics: list[str]) -> None:
    """Make room on the broker; what it can't do is of no matter."""
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    for future in admin.delete_topics(topics).values():
        future.exception(30)

"""Our topics: one declaration, by which they are created and checked. Nothing here changes or deletes a topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from app.core import ring
from app.core.duration import SECOND
from app.errors import TopicsError
from app.runtime import topic_answers as answers
from app.runtime.contact import FORBIDDEN, RIGHTS_ADVICE, Admin, reach
from app.runtime.link import client_config
from app.runtime.replication import Copies
from app.runtime.settings import Settings

MILLISECOND: Final = SECOND // 1000
MIN_RETENTION: Final = 7 * 24 * 3600 * SECOND
"""Matches, alerts and dead letters are kept this long at least, in nanoseconds."""

BATCH_BYTES: Final = 256 * 1024
"""What our producer gathers for a partition while its last request is under way; it goes out as one batch."""

CHANGELOG_MAX_BYTES: Final = 2 * BATCH_BYTES
"""`max.message.bytes` of the changelogs: a batch of entries, of which the largest is some KiB, with room to spare."""

# Nearly every process of a busy host is deleted again, within minutes. Kafka keeps a deletion for a day, so that there
# would be twenty times as many of them as processes; who misses one keeps a process for longer, until its age ends it.
# And it compacts closed segments only, which by default are of a gigabyte.
_TURNED_SOON = {"delete.retention.ms": "3600000", "segment.bytes": str(64 * 1024 * 1024)}
_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic of ours as it must be.

    Attributes:
        name: Its name.
        partitions: Its number of partitions.
        configs: The configuration it is created with.
        exact: Keys of `configs` that must stay as they are; of the others a larger number is fine too.
        purpose: What it carries, for people.
        suggested: More configuration that it is created with, and that is its owner's from then on.
    """

    name: str
    partitions: int
    purpose: str
    configs: dict[str, str] = field(default_factory=dict)
    exact: frozenset[str] = frozenset({"cleanup.policy", "message.timestamp.type"})
    suggested: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """What was found on the broker.

    Attributes:
        problems: What differs from the declaration and what mends it; empty when all is well.
        missing: Topics of ours that do not exist.
        topic_ids: The id of every topic of ours that exists.
        cluster_id: The cluster's id.
        copies: How every topic that exists is kept, source topics too.
    """

    problems: tuple[str, ...]
    missing: tuple[str, ...]
    topic_ids: dict[str, str]
    cluster_id: str
    copies: tuple[Copies, ...] = ()


def changelog_retention(longest_window: int) -> int:
    """How long the changelog keeps an entry: twice the longest history window, in nanoseconds."""
    return 2 * longest_window


def declare(settings: Settings, longest_window: int) -> tuple[TopicSpec, ...]:
    """The topics that a worker with these settings and rules needs, source topics aside.

    Args:
        settings: Names, partitions and sizes.
        longest_window: The rules' longest history window, in nanoseconds.
    """
    sizes = {"max.message.bytes": str(settings.topic_max_bytes)}
    kept = {"retention.ms": str(MIN_RETENTION // MILLISECOND), "cleanup.policy": "delete"}
    # Compaction keeps a changelog small, deletion forgets what nobody will ask for any more, be it a term that no
    # window reaches or a process. The time of an entry is the broker's, so that nobody's clock decides over its life.
    changelog = {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(changelog_retention(longest_window) // MILLISECOND),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(CHANGELOG_MAX_BYTES),
    }
    lineage = {**changelog, "retention.ms": str(ring.RETENTION // MILLISECOND)}
    return (
        TopicSpec(
            settings.matches_topic,
            settings.partitions,
            "source records that a rule's query matched, keyed by host.id",
            {**kept, **sizes, "message.timestamp.type": "LogAppendTime"},
        ),
        TopicSpec(settings.alerts_topic, settings.partitions, "alerts, keyed by host.id", {**kept, **sizes}),
        TopicSpec(
            settings.dead_letters_topic,
            settings.partitions,
            "records that could not be judged",
            {**kept, **sizes},
        ),
        TopicSpec(
            settings.changelog_topic,
            settings.partitions,
            "the new-terms table's changes",
            changelog,
            frozenset({"message.timestamp.type"}),
        ),
        TopicSpec(
            settings.lineage_changelog_topic,
            settings.partitions,
            "the lineage table's changes",
            lineage,
            frozenset({"message.timestamp.type"}),
            _TURNED_SOON,
        ),
    )


def source_spec(name: str, settings: Settings) -> TopicSpec:
    """A source topic as it may be made for trying things; those of an installation are their owner's."""
    return TopicSpec(name, settings.partitions, "process events")


def admin_client(settings: Settings) -> Admin:
    """A client for administration; connects when it is first used.

    Raises:
        SettingsError: The link's settings can't be used.
    """
    return Admin(client_config(settings))


def create(admin: Admin, specs: Sequence[TopicSpec], replication_factor: int) -> list[str]:
    """Create what is missing; what exists is left as it is, whatever it looks like.

    Returns:
        The names that were created.

    Raises:
        TopicsError: The broker refused one.
        BrokerError: It can't be reached.
    """
    existing = answers.partitions(reach(admin, admin.failures))
    wanted = [
        NewTopic(spec.name, spec.partitions, replication_factor, config={**spec.configs, **spec.suggested})
        for spec in specs
        if spec.name not in existing
    ]
    if not wanted:
        return []
    created: list[str] = []
    for name, future in admin.create_topics(wanted, operation_timeout=_TIMEOUT).items():
        try:
            future.result()
        except KafkaException as error:
            refusal = error.args[0]
            if refusal.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue  # hidden from a user who may create it, but not describe it; or made a moment ago
            advice = f"replication factor {replication_factor}; set EXIMWATCH_REPLICATION_FACTOR to change it"
            if refusal.code() in FORBIDDEN:
                advice = RIGHTS_ADVICE
            raise TopicsError(f"topic {name} can't be created: {refusal.str()} ({advice})") from None
        created.append(name)
    return created


def inspect(admin: Admin, specs: Sequence[TopicSpec], settings: Settings) -> Layout:
    """Compare the broker's topics with their declaration.

    Raises:
        BrokerError: The broker can't be reached or does not answer.
    """
    metadata = reach(admin, admin.failures)
    existing = answers.partitions(metadata)
    hidden = answers.hidden(admin, [*settings.source_topics, *(spec.name for spec in specs)], existing)
    missing = tuple(spec.name for spec in specs if spec.name not in existing and spec.name not in hidden)
    problems = [f"topic {name} is not shown to this user: {RIGHTS_ADVICE}" for name in hidden]
    problems += [
        f"source topic {name} does not exist: create it, or correct EXIMWATCH_SOURCE_TOPICS"
        for name in settings.source_topics
        if name not in existing and name not in hidden
    ]
    present = [spec for spec in specs if spec.name in existing]
    problems += _partition_problems(settings, existing)
    sources = [name for name in settings.source_topics if name in existing]
    configs = answers.configs(admin, [*(spec.name for spec in present), *sources])
    for spec in present:
        for key, value in spec.configs.items():
            found = configs[spec.name].get(key)
            if not _holds(found, value, exact=key in spec.exact):
                problems.append(
                    f"topic {spec.name} has {key}={found}, not {value}: kafka-configs.sh --alter --entity-type topics "
                    f"--entity-name {spec.name} --add-config '{key}=[{value}]'"
                )
    for name in sources:
        size = configs[name].get("max.message.bytes") or "0"
        if int(size) > settings.source_max_bytes:
            problems.append(f"source topic {name} has max.message.bytes={size}: set EXIMWATCH_SOURCE_MAX_BYTES={size}")
    ours = [spec.name for spec in present]
    copies = tuple(
        Copies(
            name, answers.replicas(metadata, name), int(configs[name].get("min.insync.replicas") or "1"), name in ours
        )
        for name in (*sources, *ours)
    )
    return Layout(tuple(problems), missing, answers.topic_ids(admin, ours), str(metadata.cluster_id), copies)


def _partition_problems(settings: Settings, existing: dict[str, int]) -> list[str]:
    """Matches topic and changelogs must have the same count of partitions, and the setting must say it."""
    names = (settings.matches_topic, settings.changelog_topic, settings.lineage_changelog_topic)
    counts = {name: existing[name] for name in names if name in existing}
    matches = counts.get(settings.matches_topic)
    differing = [
        f"topic {name} has {count} partitions, {settings.matches_topic} has {matches}: no setting mends that; begin "
        "anew under another EXIMWATCH_TOPIC_PREFIX"
        for name, count in counts.items()
        if matches is not None and count != matches
    ]
    return differing or [
        f"topic {name} has {count} partitions, not {settings.partitions}: its count is final, set "
        f"EXIMWATCH_PARTITIONS={count}"
        for name, count in counts.items()
        if count != settings.partitions
    ]


def require(layout: Layout) -> None:
    """Refuse to work on topics that are missing or differ.

    Raises:
        TopicsError: Says what differs and which command mends it.
    """
    if layout.missing:
        raise TopicsError(f"missing topics: {', '.join(layout.missing)}; run `eximwatch topics create`")
    if layout.problems:
        raise TopicsError(f"{layout.problems[0]} (`eximwatch topics check` lists all that differs)")


def _holds(found: str | None, wanted: str, *, exact: bool) -> bool:
    if found is None:
        return False
    if wanted.isdigit() and not exact:
        return int(found) >= int(wanted) or int(found) == -1
    return set(found.split(",")) == set(wanted.split(","))

"""Topics of a broker and what groups have committed in them."""

from __future__ import annotations

from concurrent.futures import wait
from typing import TYPE_CHECKING, Final, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from confluent_kafka.cimpl import NewTopic

from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DEADLINE_S: Final = 30.0
_SCRAM_ITERATIONS: Final = 4096
_COORDINATOR_TO_COME: Final = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}


class Topic(NamedTuple):
    """A topic to create; `config` as in Kafka, such as `message.timestamp.type: LogAppendTime`."""

    name: str
    partitions: int = 1
    config: Mapping[str, str] = {}


def create_topics(brokers: str, *topics: Topic, deadline: float = _DEADLINE_S) -> None:
    """Create topics and wait until each partition has a leader.

    Raises:
        KafkaException: The broker refused one, for example because it exists.
        TimeoutError: No leaders within the deadline.
    """
    admin = AdminClient({"bootstrap.servers": brokers})
    new = [NewTopic(t.name, t.partitions, 1, config=dict(t.config)) for t in topics]
    futures = admin.create_topics(new, request_timeout=deadline)
    wait(futures.values(), timeout=deadline)
    for future in futures.values():
        future.result(timeout=0)

    def led() -> bool:
        known = admin.list_topics(timeout=deadline).topics
        return all(
            t.name in known
            and t.partitions == len(known[t.name].partitions)
            and all(p.leader >= 0 for p in known[t.name].partitions.values())
            for t in topics
        )

    wait_until(led, deadline, f"leaders of {', '.join(t.name for t in topics)}")


def give_scram_passwords(admin: AdminClient, users: Mapping[str, str]) -> None:
    """Let users log in by both of the SCRAM mechanisms."""
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512) if users else ():
        given: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(name, ScramCredentialInfo(mechanism, _SCRAM_ITERATIONS), password.encode())
            for name, password in users.items()
        ]
        for future in admin.alter_user_scram_credentials(given).values():
            future.result(_DEADLINE_S)


def committed_offsets(
    brokers: str,
    group: str,
    partitions: Iterable[tuple[str, int]] | None = None,
    *,
    deadline: float = _DEADLINE_S,
) -> dict[tuple[str, int], int]:
    """Offsets a group has committed, by (topic, partition); a partition without a commit is left out.

    The embedded broker answers only for partitions that are named.
    """
    admin = AdminClient({"bootstrap.servers": brokers})
    named = None if partitions is None else [TopicPartition(topic, number) for topic, number in partitions]
    request = ConsumerGroupTopicPartitions(group, named)

    def coordinated() -> bool:
        # Asked for offsets before the group has a coordinator, librdkafka 2.16 crashes in a client for administration.
        error = admin.describe_consumer_groups([group], request_timeout=deadline)[group].exception(deadline)
        return not isinstance(error, KafkaException) or error.args[0].code() not in _COORDINATOR_TO_COME

    def answer() -> ConsumerGroupTopicPartitions | None:
        future = admin.list_consumer_group_offsets([request], request_timeout=deadline)[group]
        try:
            result: ConsumerGroupTopicPartitions = future.result(timeout=deadline)
        except KafkaException as error:
            # The first request for any group of a new broker makes it create and load the offsets topic.
            if error.args[0].code() in _COORDINATOR_TO_COME:
                return None
            raise
        return result

    wait_until(coordinated, deadline, f"the coordinator of group {group}")
    found = wait_until(answer, deadline, f"the coordinator of group {group}")
    return {(p.topic, p.partition): p.offset for p in found.topic_partitions or () if p.offset >= 0}

"""What Kafka answers about topics, as plain values; every refusal is one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import ClusterMetadata, ConfigResource, ResourceType

from app.errors import BrokerError
from app.runtime.contact import FORBIDDEN, RIGHTS_ADVICE, Admin, no_answer

_T = TypeVar("_T")
_TIMEOUT = 20.0


def partitions(metadata: ClusterMetadata) -> dict[str, int]:
    """How many partitions each topic has that this user may see."""
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def hidden(admin: Admin, names: Sequence[str], existing: dict[str, int]) -> list[str]:
    """Those that this user may not see: asked for by name, Kafka does not say that they are missing."""
    asked = [name for name in names if name not in existing]
    if not asked:
        return []
    futures = _asked(admin, lambda: admin.describe_topics(TopicCollection(asked), request_timeout=_TIMEOUT))
    return [name for name, future in futures.items() if _code(future.exception(_TIMEOUT)) in FORBIDDEN]


def _code(error: BaseException | None) -> int | None:
    return error.args[0].code() if isinstance(error, KafkaException) else None


def replicas(metadata: ClusterMetadata, topic: str) -> int:
    """Copies of the topic's partition that has the fewest."""
    return min(len(partition.replicas) for partition in metadata.topics[topic].partitions.values())


def configs(admin: Admin, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The configuration of topics that exist.

    Raises:
        BrokerError: Kafka does not answer, or this user may not ask.
    """
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    futures = _asked(admin, lambda: admin.describe_configs(resources, request_timeout=_TIMEOUT))
    return {
        resource.name: {key: entry.value for key, entry in _asked(admin, future.result, resource.name).items()}
        for resource, future in futures.items()
    }


def topic_ids(admin: Admin, names: Sequence[str]) -> dict[str, str]:
    """The ids of topics that exist.

    Raises:
        BrokerError: Kafka does not answer, or this user may not ask.
    """
    if not names:
        return {}
    futures = _asked(admin, lambda: admin.describe_topics(TopicCollection(list(names)), request_timeout=_TIMEOUT))
    return {name: str(_asked(admin, future.result, name).topic_id) for name, future in futures.items()}


def _asked(admin: Admin, request: Callable[[], _T], topic: str = "") -> _T:
    try:
        return request()
    except KafkaException as error:
        if error.args[0].code() in FORBIDDEN:
            raise BrokerError(f"topic {topic} can't be described: {error.args[0].str()}; {RIGHTS_ADVICE}") from None
        admin.poll(0)
        raise no_answer(error, admin.failures) from None

"""Where a new consumer group begins in the source topics."""

from __future__ import annotations

import time

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from app.core.clock import parse_iso_time
from app.errors import BrokerError
from app.runtime.contact import FORBIDDEN, RIGHTS_ADVICE, Admin
from app.runtime.link import client_config
from app.runtime.log import logger
from app.runtime.rights import COORDINATOR_TO_COME
from app.runtime.settings import Settings

_TIMEOUT = 20.0
_COORDINATOR_DEADLINE = 30.0
_PAUSE = 0.2
_GROUP_IN_USE = {KafkaError.NON_EMPTY_GROUP, KafkaError.UNKNOWN_MEMBER_ID}
_MILLISECOND = 1_000_000


def start_group(admin: Admin, settings: Settings) -> bool:
    """Give all source partitions of a new group the offset that `start_from` names.

    A group is new while it has committed nothing in any of them. In a known group a partition without an offset is
    one that held nothing yet, or was added since: it begins at its earliest record, so that nothing is skipped. The
    same goes for `earliest`, which needs nothing.

    Returns:
        Whether the group is new.

    Raises:
        BrokerError: Kafka did not answer.
    """
    try:
        begin = _begin_of_new_group(admin, settings)
        if begin and settings.start_from != "earliest":
            request = ConsumerGroupTopicPartitions(settings.topic_prefix, begin)
            admin.alter_consumer_group_offsets([request])[settings.topic_prefix].result(_TIMEOUT)
            for place in begin:
                logger.info(
                    "group begins at {topic}:{partition}:{offset}",
                    topic=place.topic,
                    partition=place.partition,
                    offset=place.offset,
                )
    except KafkaException as error:
        advice = "start again once Kafka answers"
        if error.args[0].code() in _GROUP_IN_USE:
            advice = "stop the group's other workers and start again"
        elif error.args[0].code() in FORBIDDEN:
            advice = RIGHTS_ADVICE
        raise BrokerError(
            f"the offsets of group {settings.topic_prefix} can't be read or set (start_from={settings.start_from}): "
            f"{error.args[0].str()}; {advice}"
        ) from None
    return bool(begin)


def _committed(client: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """What the group has committed, waiting for its coordinator: a broker that is new has yet to make one."""
    deadline = time.monotonic() + _COORDINATOR_DEADLINE
    while True:
        try:
            return client.committed(partitions, timeout=_TIMEOUT)
        except KafkaException as error:
            if error.args[0].code() not in COORDINATOR_TO_COME or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def _begin_of_new_group(admin: Admin, settings: Settings) -> list[TopicPartition]:
    metadata = admin.list_topics(timeout=_TIMEOUT)
    partitions = [
        TopicPartition(topic, partition)
        for topic in settings.source_topics
        for partition in metadata.topics[topic].partitions
    ]
    client = Consumer({**client_config(settings), "group.id": settings.topic_prefix, "enable.auto.commit": False})
    try:
        committed = _committed(client, partitions)
        if any(place.offset >= 0 for place in committed):
            return []
        fresh = [TopicPartition(p.topic, p.partition) for p in committed]
        ends = {(p.topic, p.partition): client.get_watermark_offsets(p, timeout=_TIMEOUT)[1] for p in fresh}
        if settings.start_from in ("latest", "earliest"):
            return [TopicPartition(p.topic, p.partition, ends[p.topic, p.partition]) for p in fresh]
        milliseconds = (parse_iso_time(settings.start_from) or 0) // _MILLISECOND
        asked = [TopicPartition(p.topic, p.partition, milliseconds) for p in fresh]
        found = client.offsets_for_times(asked, timeout=_TIMEOUT)
        return [
            TopicPartition(p.topic, p.partition, p.offset if p.offset >= 0 else ends[p.topic, p.partition])
            for p in found
        ]
    finally:
        client.close()

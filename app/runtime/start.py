"""Where a new consumer group begins in the source topics."""

from __future__ import annotations

import logging

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from app.core.clock import parse_iso_time
from app.errors import BrokerError
from app.runtime.settings import Settings

logger = logging.getLogger("eximwatch")

_TIMEOUT = 20.0
_MILLISECOND = 1_000_000


def set_start(admin: AdminClient, settings: Settings) -> None:
    """Give source partitions that the group never committed the offset that `start_from` names.

    Earliest needs nothing: a group without offsets begins there. A group that is already running was started
    before, by a worker that did this for all partitions.

    Raises:
        BrokerError: Kafka did not answer.
    """
    if settings.start_from == "earliest":
        return
    try:
        begin = _begin_of_uncommitted(admin, settings)
        if begin:
            request = ConsumerGroupTopicPartitions(settings.topic_prefix, begin)
            admin.alter_consumer_group_offsets([request])[settings.topic_prefix].result(_TIMEOUT)
    except KafkaException as error:
        raise BrokerError(
            f"start_from={settings.start_from} can't be set for group {settings.topic_prefix}: "
            f"{error.args[0].str()}; stop the group's other workers and start again"
        ) from None
    for place in begin:
        logger.info("group begins at %s:%d:%d", place.topic, place.partition, place.offset)


def _begin_of_uncommitted(admin: AdminClient, settings: Settings) -> list[TopicPartition]:
    metadata = admin.list_topics(timeout=_TIMEOUT)
    partitions = [
        TopicPartition(topic, partition)
        for topic in settings.source_topics
        for partition in metadata.topics[topic].partitions
    ]
    client = Consumer(
        {
            "bootstrap.servers": ",".join(settings.brokers),
            "group.id": settings.topic_prefix,
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        committed = client.committed(partitions, timeout=_TIMEOUT)
        fresh = [TopicPartition(p.topic, p.partition) for p in committed if p.offset < 0]
        ends = {(p.topic, p.partition): client.get_watermark_offsets(p, timeout=_TIMEOUT)[1] for p in fresh}
        if settings.start_from == "latest" or not fresh:
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

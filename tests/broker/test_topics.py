"""`topics create`, `topics check` and the worker on topics that are missing or not as they must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewPartitions

from tests.broker.installation import Installation
from tests.broker.topics import Topic, create_topics

if TYPE_CHECKING:
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = pytest.mark.broker

_TIMEOUT_S = 20
_REFUSED = 4


class Difference(NamedTuple):
    """A topic with a key and value that it must not have, and what the message must name to mend it."""

    topic: str
    key: str
    value: str
    mended_by: str


DIFFERENCES = [
    Difference("matches", "partitions", "5", "no setting mends that"),
    Difference("changelog", "partitions", "6", "no setting mends that"),
    Difference("lineage-changelog", "partitions", "7", "no setting mends that"),
    Difference("changelog", "cleanup.policy", "compact", "--add-config 'cleanup.policy=[compact,delete]'"),
    Difference("matches", "retention.ms", "3600000", "--add-config 'retention.ms=[604800000]'"),
    Difference("lineage-changelog", "retention.ms", "86400000", "--add-config 'retention.ms=[604800000]'"),
    Difference("changelog", "max.message.bytes", "65536", "--add-config 'max.message.bytes=[524288]'"),
    Difference(
        "matches", "message.timestamp.type", "CreateTime", "--add-config 'message.timestamp.type=[LogAppendTime]'"
    ),
]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: f"{one.topic}-{one.key}")
def test_differing_topic_is_refused(kafka: Kafka | GivenKafka, topic_prefix: str, difference: Difference) -> None:
    """Check and worker end with 4; both name the topic and what mends it, and the worker never joins its group."""
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        assert 0 == installation.run("topics", "check").returncode
        name = installation.names[difference.topic]
        _change(kafka.brokers, name, difference.key, difference.value)
        check = installation.run("topics", "check")
        worker = installation.run("worker")

        assert (_REFUSED, _REFUSED) == (check.returncode, worker.returncode)
        assert f"{name} has " in check.stdout
        assert difference.mended_by in check.stdout
        refusal = worker.stderr.splitlines()[-1]
        assert refusal.startswith("eximwatch: topic ")
        assert f"{name} has " in refusal
        assert difference.mended_by in refusal
        assert "`eximwatch topics check`" in refusal
        assert {} == installation.committed()


def test_copies_are_noted_and_no_reason_to_refuse(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """A single copy, as a test broker makes, is told by the check, beside the number that was asked for."""
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        check = installation.run("topics", "check", replication_factor="3")

        assert 0 == check.returncode
        assert "note: fewer than 3 replicas" in check.stdout
        assert f"{installation.source()} (1)" in check.stdout
        for name in installation.names.values():
            assert f"note: topic {name} has 1 replicas, not 3 (EXIMWATCH_REPLICATION_FACTOR)" in check.stdout


def test_missing_topics_are_refused(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Without its topics a worker ends with 4 and names the command that makes them."""
    with Installation(kafka.brokers, topic_prefix) as installation:
        installation.create_sources()
        check = installation.run("topics", "check")
        worker = installation.run("worker")

    assert (_REFUSED, _REFUSED) == (check.returncode, worker.returncode)
    for name in installation.names.values():
        assert f"missing: {name}: run `eximwatch topics create`" in check.stdout
        assert name in worker.stderr.splitlines()[-1]
    assert worker.stderr.endswith("; run `eximwatch topics create`\n")


def test_missing_source_topic_is_refused(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """A source topic is the user's to create: its absence is said with the setting that names it."""
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        settings = {"SOURCE_TOPICS": f"{installation.source()},{topic_prefix}.absent"}
        check = installation.run("topics", "check", **settings)
        worker = installation.run("worker", **settings)

    assert (_REFUSED, _REFUSED) == (check.returncode, worker.returncode)
    for text in (check.stdout, worker.stderr.splitlines()[-1]):
        assert f"source topic {topic_prefix}.absent does not exist" in text
        assert "EXIMWATCH_SOURCE_TOPICS" in text


def test_create_leaves_what_exists_as_it_is(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Only what is missing is created; a topic that differs keeps its partitions and configuration."""
    with Installation(kafka.brokers, topic_prefix) as installation:
        names = installation.names
        own = {"cleanup.policy": "compact", "retention.ms": "12345678"}
        create_topics(kafka.brokers, Topic(names["alerts"], 2, own))
        done = installation.run("topics", "create")
        again = installation.run("topics", "create")

        assert (0, 0) == (done.returncode, again.returncode), done.stderr + again.stderr
        assert f"{names['alerts']}: exists, left as it is" in done.stdout
        assert 4 == done.stdout.count(": created (")
        assert 5 == again.stdout.count(": exists, left as it is")
        known = AdminClient({"bootstrap.servers": kafka.brokers}).list_topics(timeout=_TIMEOUT_S).topics
        assert {2, 4} == {len(known[name].partitions) for name in names.values()}
        assert 2 == len(known[names["alerts"]].partitions)
        assert own == {key: _config(kafka.brokers, names["alerts"])[key] for key in own}
        # Else deletions of processes, which are kept for a day, would be most of the changelog.
        assert "3600000" == _config(kafka.brokers, names["lineage-changelog"])["delete.retention.ms"]
        # The source topic is none of ours.
        assert installation.source() not in known


def _change(brokers: str, topic: str, key: str, value: str) -> None:
    """Give an existing topic more partitions or another configuration."""
    admin = AdminClient({"bootstrap.servers": brokers})
    if key == "partitions":
        admin.create_partitions([NewPartitions(topic, int(value))])[topic].result(_TIMEOUT_S)
        return
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(_TIMEOUT_S)


def _config(brokers: str, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": brokers})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    found = admin.describe_configs([resource])[resource].result(_TIMEOUT_S)
    return {key: str(entry.value) for key, entry in found.items()}

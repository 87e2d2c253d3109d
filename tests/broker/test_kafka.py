"""The tests' own Kafka: it answers as told, comes back after a kill, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.broker.jars import REPOSITORY
from tests.broker.kafka import Kafka
from tests.broker.records import Outgoing, produce, read_topic
from tests.broker.topics import Topic, committed_offsets, create_topics
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from tests.broker.fixtures import GivenKafka

pytestmark = pytest.mark.broker

_START_FOR_EVER = """
import sys
from tests.broker.kafka import Kafka
kafka = Kafka()
kafka.start()
print(kafka.pid, kafka.log.parent, flush=True)
sys.stdin.read()
"""


def test_topic_is_read_back_whole(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Records come back raw, by partition and offset, null and empty told apart, headers in order."""
    topic = f"{topic_prefix}-events"
    create_topics(kafka.brokers, Topic(topic, 3))
    sent = [
        Outgoing(b"a", b"\xff\x00", (("one", b"1"), ("one", None), ("two", b"")), 0, 1_700_000_000_000),
        Outgoing(b"b", None, (), 2, 1_700_000_000_001),
        Outgoing(None, b"", (), 2, 1_700_000_000_002),
    ]

    assert [(0, 0), (2, 0), (2, 1)] == produce(kafka.brokers, topic, sent)
    read = read_topic(kafka.brokers, topic)

    assert sent == [Outgoing(r.key, r.value, r.headers, r.partition, r.timestamp) for r in read]
    assert [False, False, False] == [record.log_append_time for record in read]


def test_topic_settings_reach_kafka(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """With LogAppendTime the broker's clock stamps a record, whatever its producer said."""
    topic = f"{topic_prefix}-matches"
    create_topics(kafka.brokers, Topic(topic, 1, {"message.timestamp.type": "LogAppendTime"}))
    before = int(time.time() * 1000)
    produce(kafka.brokers, topic, [Outgoing(b"k", b"v", timestamp=1_000)])
    [record] = read_topic(kafka.brokers, topic)

    assert record.log_append_time
    assert before - 1_000 <= record.timestamp <= int(time.time() * 1000) + 1_000


def test_reading_a_topic_that_is_not_there_is_an_error(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """A misspelt name is an error rather than an empty topic, and creates none."""
    with pytest.raises(KafkaException, match=r"(?i)unknown topic"):
        read_topic(kafka.brokers, f"{topic_prefix}-misspelt")


def test_committed_offsets_of_a_group(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Only partitions with a commit are listed; an unknown group has none."""
    topic = f"{topic_prefix}-events"
    create_topics(kafka.brokers, Topic(topic, 2))
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": topic_prefix})
    consumer.commit(offsets=[TopicPartition(topic, 1, 7)], asynchronous=False)
    consumer.close()

    assert {(topic, 1): 7} == committed_offsets(kafka.brokers, topic_prefix)
    assert {} == committed_offsets(kafka.brokers, f"{topic_prefix}-other")


def test_paused_kafka_is_silent_until_resumed(kafka: Kafka | GivenKafka) -> None:
    """A frozen Kafka answers nothing, and answers again when it is thawed."""
    admin = AdminClient({"bootstrap.servers": kafka.brokers, "log_level": 0})
    admin.list_topics(timeout=10)
    kafka.pause()
    with pytest.raises(KafkaException, match=r"(?i)timed out|transport failure"):
        admin.list_topics(timeout=0.5)
    kafka.resume()

    assert admin.list_topics(timeout=10).brokers


def test_killed_kafka_comes_back_with_its_records(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """After SIGKILL a restart has the same address and every acknowledged record."""
    create_topics(kafka.brokers, Topic(topic_prefix))
    produce(kafka.brokers, topic_prefix, [Outgoing(b"%d" % n, b"v") for n in range(100)])
    before = kafka.brokers
    kafka.kill()
    kafka.restart()

    assert before == kafka.brokers
    assert [b"%d" % n for n in range(100)] == [r.key for r in read_topic(kafka.brokers, topic_prefix)]


def test_overrides_win_and_close_leaves_nothing() -> None:
    """A setting given wins over ours; process, log and directory are gone after the block."""
    with Kafka({"auto.create.topics.enable": "true", "num.partitions": "5"}) as own:
        pid, folder = own.pid, own.log.parent
        admin = AdminClient({"bootstrap.servers": own.brokers, "allow.auto.create.topics": True})
        wait_until(lambda: len(admin.list_topics("made", timeout=5).topics["made"].partitions), 10, "the topic")

        assert 5 == len(admin.list_topics("made", timeout=5).topics["made"].partitions)
        assert folder.is_dir()
        own.stop()
    assert not folder.exists()
    assert pid is not None
    assert not _alive(pid)


def test_killed_test_run_leaves_nothing() -> None:
    """When the process that started Kafka is killed outright, the JVM and its directory go all the same."""
    command = [sys.executable, "-c", _START_FOR_EVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True) as run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        assert _alive(int(pid))
        run.send_signal(signal.SIGKILL)

    wait_until(lambda: not _alive(int(pid)) and not Path(folder).exists(), 10, "the JVM's end")


def test_command_runs_beside_a_kafka() -> None:
    """`python -m tests.broker.kafka -- …` gives the command an address, and its exit code back."""
    script = (
        "import os, sys; from confluent_kafka.admin import AdminClient;"
        "admin = AdminClient({'bootstrap.servers': os.environ['EXIMWATCH_BROKERS']});"
        "sys.exit(40 + len(admin.list_topics(timeout=10).brokers))"
    )
    command = [sys.executable, "-m", "tests.broker.kafka", "--", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)

    assert 41 == done.returncode, done.stderr
    assert "Kafka answers at 127.0.0.1:" in done.stderr


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Where nothing reaps orphans, an ended process keeps its id.
    status = Path(f"/proc/{pid}/stat")
    try:
        return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False

"""`eximwatch alerts`: read the topic of alerts and show them to a person."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, TopicPartition
from rich.console import Console
from rich.text import Text

from app.core.event import JsonObject
from app.errors import BrokerError, TopicsError
from app.runtime.contact import FORBIDDEN, RIGHTS_ADVICE, Failures, reach
from app.tools.screen import json_line, plain

_POLL = 0.2

SEVERITY_STYLE = {"low": "green", "medium": "yellow", "high": "red", "critical": "bold red"}


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert as it was read: its bytes, its content, and when it was read (seconds since 1970)."""

    value: bytes
    document: JsonObject
    read_at: float

    def text(self, field: str) -> str:
        """A field of ours as text, "" where it is missing."""
        return str(self.document.get(field, ""))

    @property
    def assessment(self) -> tuple[str, str]:
        """Level and score of the execution, "" where they are missing."""
        detector = self.document.get("detector")
        found = detector.get("assessment") if isinstance(detector, dict) else None
        if not isinstance(found, dict):
            return "", ""
        return str(found.get("level", "")), str(found.get("score", ""))


def read_alerts(
    link: Mapping[str, str | int], topic: str, start: Literal["earliest", "latest"], idle: float | None = None
) -> Iterator[SeenAlert | None]:
    """Alerts as they arrive; None whenever there was none for a moment.

    Args:
        link: How to reach Kafka, for confluent-kafka.
        topic: The topic of alerts.
        start: Whether to begin with the first or with the next alert.
        idle: End after this many seconds without an alert; None never ends.

    Raises:
        TopicsError: The topic does not exist.
        BrokerError: Kafka can't be reached.
    """
    failures = Failures()
    consumer = Consumer(
        {
            **link,
            "error_cb": failures,
            "group.id": "eximwatch-alerts-tail",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        }
    )
    try:
        partitions = _partitions(consumer, failures, topic)
        offset = OFFSET_BEGINNING if start == "earliest" else OFFSET_END
        consumer.assign([TopicPartition(topic, partition, offset) for partition in partitions])
        last = time.monotonic()
        while idle is None or time.monotonic() - last < idle:
            message = consumer.poll(_POLL)
            if message is None:
                yield None
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # the library looks for the coordinator of a group that is never joined
            if error is not None:
                raise _unreadable(topic, error)
            value = message.value() or b""
            last = time.monotonic()
            yield SeenAlert(value, _document(value), time.time())
    finally:
        consumer.close()


def tail(
    link: Mapping[str, str | int], topic: str, start: Literal["earliest", "latest"], *, as_json: bool, count: int | None
) -> int:
    """Show alerts until interrupted, or until `count` were shown (None: no end). Returns how many were shown."""
    console = Console()
    shown = 0
    for alert in read_alerts(link, topic, start):
        if alert is None:
            continue
        if as_json:
            sys.stdout.buffer.write(json_line(alert.value, sys.stdout.buffer))
            sys.stdout.buffer.flush()
        else:
            console.print(summary_line(alert), soft_wrap=True)
        shown += 1
        if shown == count:
            break
    return shown


def summary_line(alert: SeenAlert) -> Text:
    """An alert in one line: when, level and score of its execution, which rule, why.

    The rule's own severity is not shown: beside a score it reads as if it were that score's level.
    """
    level, score = alert.assessment
    return Text(" ").join(
        (
            plain(alert.text("kibana.alert.original_time"), "dim"),
            plain(f"{level or '-':8} {score or '-':>3}", SEVERITY_STYLE.get(level, "")),
            plain(alert.text("kibana.alert.rule.rule_id"), "cyan"),
            plain(alert.text("kibana.alert.reason")),
        )
    )


def _partitions(consumer: Consumer, failures: Failures, topic: str) -> list[int]:
    metadata = reach(consumer, failures, topic).topics[topic]
    if metadata.error is not None and metadata.error.code() in FORBIDDEN:
        raise _unreadable(topic, metadata.error)
    if metadata.error is not None or not metadata.partitions:
        raise TopicsError(f"topic {topic} does not exist; run `eximwatch topics create`")
    return sorted(metadata.partitions)


def _unreadable(topic: str, error: KafkaError) -> BrokerError:
    advice = f"; {RIGHTS_ADVICE}" if error.code() in FORBIDDEN else ""
    return BrokerError(f"topic {topic} can't be read: {error.str()}{advice}")


def _document(value: bytes) -> JsonObject:
    """The alert's content; of a record that is none of ours, nothing."""
    try:
        document = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return {}
    return document if isinstance(document, dict) else {}

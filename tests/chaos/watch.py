"""What stands on the broker, read on from where the last look ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.broker.waiting import wait_until
from tests.chaos.checks import Place, SeenAlert, SeenLetter, SeenMatch, Sight

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tests.broker.installation import Installation

_DEADLINE_S: Final = 120.0
_POLL_S: Final = 0.1


class Tail:
    """One topic's records as far as they were read; of aborted transactions none is."""

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        """Begin at the first record."""
        self.topic = topic
        self._next = dict.fromkeys(range(partitions), 0)
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "chaos-tail",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 10,
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )

    def read(self) -> list[Message]:
        """The records that came since the last call, up to the end as it is now.

        Raises:
            KafkaException: The topic can't be read.
            TimeoutError: The end was not reached.
        """
        # Assigned anew, since the end of a partition is told only once for each.
        self._consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in self._next.items()])
        found: list[Message] = []
        unfinished = set(self._next)

        def at_end() -> bool:
            message = self._consumer.poll(_POLL_S)
            if message is None:
                return False
            error = message.error()
            partition, offset = message.partition() or 0, message.offset() or 0
            if error is None:
                found.append(message)
                self._next[partition] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(partition)
            elif error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise KafkaException(error)
            return not unfinished

        wait_until(at_end, _DEADLINE_S, f"the end of {self.topic}", pause=0)
        self._consumer.unassign()
        return found

    def close(self) -> None:
        """End it."""
        self._consumer.close()


class Watch:
    """Reads an installation's topics into sights."""

    def __init__(self, brokers: str, installation: Installation, partitions: int) -> None:
        """Begin with nothing read."""
        self._installation = installation
        self._brokers = brokers
        self._partitions = partitions
        names = installation.names
        self._topic_names = {installation.source(): "source", names["matches"]: "matches"}
        self._source = Tail(brokers, installation.source(), partitions)
        self._matches = Tail(brokers, names["matches"], partitions)
        self._alerts = Tail(brokers, names["alerts"], partitions)
        self._letters = Tail(brokers, names["dead-letters"], partitions)
        self._seen_source: dict[Place, bytes] = {}
        self._seen_matches: list[SeenMatch] = []
        self._seen_earlier: list[SeenMatch] = []
        self._seen_alerts: list[SeenAlert] = []
        self._seen_letters: list[SeenLetter] = []

    def look(self) -> Sight:
        """The commits as they are, and then what stands in the topics."""
        committed = {
            (self._topic_names[topic], partition): offset
            for (topic, partition), offset in self._installation.committed().items()
        }
        self._seen_letters += map(_letter, self._letters.read())
        self._seen_alerts += map(_alert, self._alerts.read())
        self._seen_matches += map(_match, self._matches.read())
        # The last: what the others come from is in it then.
        self._seen_source |= {_place(message): message.value() or b"" for message in self._source.read()}
        return Sight(
            committed,
            self._seen_source,
            tuple(self._seen_matches),
            tuple(self._seen_earlier),
            tuple(self._seen_alerts),
            tuple(self._seen_letters),
        )

    def matches_begin_anew(self) -> None:
        """The matches topic was deleted and created; it was looked at before, when nothing wrote to it any more."""
        self._matches.close()
        self._matches = Tail(self._brokers, self._matches.topic, self._partitions)
        self._seen_earlier += self._seen_matches
        self._seen_matches = []

    def close(self) -> None:
        """End it."""
        for tail in (self._source, self._matches, self._alerts, self._letters):
            tail.close()


def _place(message: Message) -> Place:
    return message.partition() or 0, message.offset() or 0


def _headers(message: Message) -> dict[str, bytes]:
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return {name: value if isinstance(value, bytes) else str(value or "").encode() for name, value in pairs}


def _source(headers: dict[str, bytes]) -> Place:
    return int(headers["eximwatch.source.partition"]), int(headers["eximwatch.source.offset"])


def _match(message: Message) -> SeenMatch:
    return SeenMatch(_place(message), message.value() or b"", _source(_headers(message)))


def _letter(message: Message) -> SeenLetter:
    headers = _headers(message)
    return SeenLetter(headers["eximwatch.reason"].decode(), _source(headers))


def _alert(message: Message) -> SeenAlert:
    alert = _ALERT.decode(message.value() or b"")
    return SeenAlert(alert.id, (alert.detector.source.partition, alert.detector.source.offset))


class _Position(msgspec.Struct):
    partition: int
    offset: int


class _Detector(msgspec.Struct):
    source: _Position


class _Alert(msgspec.Struct):
    detector: _Detector
    id: str = msgspec.field(name="kibana.alert.uuid")


_ALERT: Final = msgspec.json.Decoder(_Alert)

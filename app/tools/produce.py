"""`eximwatch produce`: put the lines of a file onto a topic, for trying things by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.core.event import UndecodableError
from app.core.needles import Needles
from app.core.new_terms import host_key
from app.core.source_format import SourceFormat, read_event
from app.errors import BrokerError
from app.runtime.contact import ADVICE, FORBIDDEN, RIGHTS_ADVICE, Failures, reach
from app.tools.lines import Progress, candidate_lines, open_lines

_FLUSH_TIMEOUT = 60.0


def produce_file(
    link: Mapping[str, str | int], name: str, topic: str, key_field: str | None, source_format: SourceFormat = "ecs"
) -> tuple[int, int]:
    """Send every line that is not empty, as it is, and wait until all are confirmed.

    Args:
        link: How to reach Kafka, for confluent-kafka.
        name: A file of lines, as for `replay`.
        topic: Where to send them.
        key_field: The field whose first value becomes the record's key; None sends without keys. Lines that
            are no events, or lack the field, have no key.
        source_format: How a line carries its event.

    Returns:
        How many records were sent, and how many of them without a key although one was wanted.

    Raises:
        InputError: The file can't be read.
        BrokerError: A record was not confirmed.
    """
    failures: list[str] = []

    def confirmed(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(_told(error))

    broken = Failures()
    # Java's partitioner, so that keyed records go where every other Kafka client would put them.
    producer = Producer(
        {
            **link,
            "partitioner": "murmur2_random",
            "acks": "all",
            "message.max.bytes": 100_000_000,
            "linger.ms": 5,
            "error_cb": broken,
        }
    )
    reach(producer, broken)
    sent = keyless = 0
    with open_lines(name) as source:
        for _, line in candidate_lines(source, Needles.all("every line is sent"), Progress()):
            if not line:
                continue
            key = _key(line, key_field, source_format) if key_field else None
            keyless += key is None and key_field is not None
            _send(producer, topic, key, line, confirmed)
            sent += 1
    unconfirmed = producer.flush(_FLUSH_TIMEOUT)
    if failures or unconfirmed:
        reason = failures[0] if failures else f"no answer; {ADVICE}"
        raise BrokerError(f"{len(failures) + unconfirmed} of {sent} records for {topic} were not confirmed: {reason}")
    return sent, keyless


def _send(
    producer: Producer,
    topic: str,
    key: bytes | None,
    line: bytes,
    confirmed: Callable[[KafkaError | None, Message], None],
) -> None:
    while True:
        try:
            producer.produce(topic, line, key, on_delivery=confirmed)
        except BufferError:
            producer.poll(1.0)
        except KafkaException as error:
            raise BrokerError(f"a record for {topic} can't be sent: {_told(error.args[0])}") from None
        else:
            producer.poll(0)
            return


def _told(error: KafkaError) -> str:
    return f"{error.str()}; {RIGHTS_ADVICE}" if error.code() in FORBIDDEN else error.str()


def _key(line: bytes, field: str, source_format: SourceFormat) -> bytes | None:
    try:
        value = read_event(line, source_format).first(field)
    except UndecodableError:
        return None
    return host_key(value) if value else None

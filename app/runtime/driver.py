"""Faust's Kafka driver with what its settings do not reach. Private names of Faust are used here only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import aiokafka
import faust
from faust.transport.drivers.aiokafka import (
    AIOKafkaConsumerThread,
    Consumer,
    Producer,
    Transport,
)
from faust.types import FutureMessage


class ReadCommittedConsumerThread(AIOKafkaConsumerThread):
    """Reads committed records only, and waits in a fetch as long as the settings say."""

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        # Faust hard-wires a wait of 1.5 s, for which an idle partition holds up the busy ones of its broker, and
        # shows records of aborted transactions. The consumer reads both values when it starts, later than this.
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = cast(KafkaTransport, transport).fetch_max_wait
        consumer._isolation_level = "read_committed"
        return consumer


class ReadCommittedConsumer(Consumer):
    """Faust's consumer on the thread above."""

    def _new_consumer_thread(self) -> ReadCommittedConsumerThread:
        return ReadCommittedConsumerThread(self, loop=self.loop, beacon=self.beacon)


class IdempotentProducer(Producer):
    """Faust's producer, whose retries neither double nor reorder records."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class KafkaTransport(Transport):
    """The driver that the worker uses.

    Attributes:
        fetch_max_wait: Milliseconds that a fetch may wait for something new.
    """

    Consumer: ClassVar[type[Consumer]] = ReadCommittedConsumer
    Producer: ClassVar[type[Producer]] = IdempotentProducer

    fetch_max_wait: int = 500


class NewTermsTable(faust.Table[bytes, bytes]):
    """A table whose writes can be awaited: Faust sends the changelog record in the background and forgets it."""

    _sent: FutureMessage | None = None

    def send_changelog(self, *args: Any, **kwargs: Any) -> FutureMessage:  # noqa: ANN401 — handed on as they are
        """Send a change, and keep its future for `write`."""
        self._sent = super().send_changelog(*args, **kwargs)
        return self._sent

    async def write(self, key: bytes, value: bytes) -> None:
        """Write an entry; returns when its changelog record is acknowledged, raises what its sending raised.

        Must run while an event is processed, whose partition becomes the entry's. Where the record could not even
        be queued the future never ends: wait for this with a deadline.
        """
        self[key] = value
        sent, self._sent = self._sent, None
        if sent is None:
            raise RuntimeError("the table sent no changelog record")
        await sent

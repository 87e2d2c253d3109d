"""Plays chunks of a story in the background, at an uneven pace."""

from __future__ import annotations

import queue
import threading
import uuid
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from confluent_kafka import Message

    from tests.broker.history import Sent
    from tests.chaos.story import Chunk

_GROUP: Final = 10
_LONGEST_PAUSE_S: Final = 0.08
_TIMEOUT_S: Final = 180.0
_TRANSACTIONS: Final = 4
_OPEN_S: Final = 0.3


class PlayError(Exception):
    """A record could not be sent, so that the run says nothing; the broker or the harness is at fault."""


class Player:
    """One producer for one source topic, which neither loses nor doubles nor reorders. `with` ends it."""

    def __init__(self, brokers: str, topic: str, random: Random, *, transactional: bool = False) -> None:
        """Prepare only.

        Args:
            brokers: Address of the Kafka.
            topic: Where to send to; the host is the key.
            random: Decides over the pace.
            transactional: All goes out in transactions.
        """
        self._topic = topic
        self._random = random
        self._chunks: queue.Queue[Chunk | None] = queue.Queue()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._transactional = transactional
        config: dict[str, Any] = {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": 100_000_000,
            "partitioner": "murmur2_random",
            "message.timeout.ms": int(_TIMEOUT_S * 1000),
            "log_level": 0,
        }
        if transactional:
            config |= {
                "transactional.id": f"player-{uuid.uuid4().hex}",
                "transaction.timeout.ms": int(_TIMEOUT_S * 1000),
            }
        self._producer = Producer(config)
        self._thread = threading.Thread(target=self._work, name="player", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        if self._transactional:
            self._producer.init_transactions(_TIMEOUT_S)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End at once."""
        self._ended.set()
        self._chunks.put(None)
        self._thread.join(_TIMEOUT_S)

    def play(self, chunk: Chunk) -> None:
        """Send a chunk after those before it; does not wait."""
        self._chunks.put(chunk)

    def idle(self) -> bool:
        """Whether all was sent and acknowledged.

        Raises:
            PlayError: Something was not.
        """
        if self._error is not None:
            raise PlayError(f"a chunk was not sent: {self._error!r}") from self._error
        # Not the producer's length, in which the news of a lost broker counts too, until somebody polls.
        return not self._chunks.unfinished_tasks

    def _work(self) -> None:
        while (chunk := self._chunks.get()) is not None and not self._ended.is_set():
            try:
                if self._transactional:
                    self._play_in_transactions(chunk)
                else:
                    self._send(chunk.records, _delivered)
                    self._flush()
            except BaseException as error:  # noqa: BLE001 — told by `idle`, in the thread of the run
                self._error = error
                return
            self._chunks.task_done()

    def _play_in_transactions(self, chunk: Chunk) -> None:
        """Parts of what counts and of what is aborted, in turn; each is open for a moment."""
        size = max(1, len(chunk.records) // _TRANSACTIONS)
        for number, part in enumerate(_grouped(chunk.records, size)):
            self._producer.begin_transaction()
            self._send(chunk.aborted[number::_TRANSACTIONS], _whatever)
            self._flush()
            self._ended.wait(self._random.uniform(0, _OPEN_S))
            _until_done(lambda: self._producer.abort_transaction(_TIMEOUT_S))
            self._producer.begin_transaction()
            self._send(part, _delivered)
            self._flush()
            _until_done(lambda: self._producer.commit_transaction(_TIMEOUT_S))

    def _send(self, records: Iterable[Sent], delivered: Callable[[KafkaError | None, Message], None]) -> None:
        for group in _grouped(records, _GROUP):
            for record in group:
                self._producer.produce(self._topic, record.value, record.host.encode(), on_delivery=delivered)
            self._producer.poll(0)
            self._ended.wait(self._random.uniform(0, _LONGEST_PAUSE_S))

    def _flush(self) -> None:
        wait_until(lambda: self._ended.is_set() or not self._producer.flush(0.1), _TIMEOUT_S, "the player's records")


def _delivered(error: KafkaError | None, message: Message) -> None:
    del message
    if error is not None:
        raise KafkaException(error)


def _whatever(error: KafkaError | None, message: Message) -> None:
    """Of what is aborted nothing needs to arrive."""


def _until_done(step: Callable[[], None]) -> None:
    """A step of a transaction, again while the broker says that it may be."""

    def done() -> bool:
        try:
            step()
        except KafkaException as error:
            if not error.args[0].retriable():
                raise
            return False
        return True

    wait_until(done, _TIMEOUT_S, "a step of a transaction")


def _grouped(records: Iterable[Sent], size: int) -> Iterator[list[Sent]]:
    rest = iter(records)
    while group := list(islice(rest, size)):
        yield group

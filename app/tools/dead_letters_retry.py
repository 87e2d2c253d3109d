"""`eximwatch dead-letters retry`: the effects. Matches go to their topic; source and dead letters are never written."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.core.engine import Engine, Route
from app.core.source_format import SourceFormat
from app.errors import BrokerError, TopicsError
from app.runtime.contact import ADVICE, FORBIDDEN, RIGHTS_ADVICE
from app.runtime.link import client_config
from app.runtime.records import DeadLetterHeaders, SourcePosition, match_headers
from app.runtime.settings import Settings
from app.tools.dead_letters import Letter, shown_source
from app.tools.dead_letters_plan import Plan, is_cut_from, plan
from app.tools.topic_reader import NoRecordError, TopicReader

_TIMEOUT: Final = 60.0
_AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 32 * 1024 * 1024
_BATCH_BYTES: Final = 65_536  # far below what any topic of ours takes, so that none is refused for its neighbours

Tell = Callable[[Letter, str, str], None]
"""Takes a letter, what became of it in one word, and why or how; not escaped."""


@dataclass(slots=True)
class Attempt:
    """A letter under way: how many matches of it were handed over, and why some of it is left."""

    letter: Letter
    left: list[str]
    matches: int = 0
    again: int = 0

    def outcome(self, *, dry_run: bool) -> tuple[str, str]:
        """What became of it, in one word and in a sentence."""
        if self.left:
            sent = f"; matches sent: {self.matches}" if self.matches else ""
            return "left", "; ".join(self.left) + sent
        if self.matches:
            return ("would be sent" if dry_run else "sent"), f"matches: {self.matches}"
        if self.again:
            return "same", "sent with an earlier letter of the same record"
        return "nothing", "no rule matches it now, so there is nothing to judge"


class MatchSender:
    """Sends matches as the worker does: same key, same headers, same partition; acknowledged by all replicas."""

    def __init__(self, link: Mapping[str, str | int], topic: str, max_bytes: int, source_format: SourceFormat) -> None:
        """Prepare; connects with the first match."""
        self._topic = topic
        self._source_format = source_format
        # The partitioner of Java and of the worker's client: a term's state is where its matches are.
        self._producer = Producer(
            {
                **link,
                "partitioner": "murmur2_random",
                "acks": "all",
                "enable.idempotence": True,
                "message.max.bytes": max_bytes,
                "message.timeout.ms": int(_TIMEOUT * 1000),
                "batch.size": _BATCH_BYTES,
                "linger.ms": 5,
            }
        )
        self._failures: list[str] = []

    def send(self, attempt: Attempt, route: Route, source: SourcePosition, raw: bytes) -> None:
        """Queue a match; refused for its size it is noted as left.

        Raises:
            BrokerError: It can't be sent.
        """

        def confirmed(error: KafkaError | None, _: Message) -> None:
            if error is None:
                return
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                self._refuse(attempt, len(raw))
            else:
                advice = f"; {RIGHTS_ADVICE}" if error.code() in FORBIDDEN else ""
                self._failures.append(f"{error.str()}{advice}")

        attempt.matches += 1
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    raw,
                    route.key,
                    headers=list(match_headers(route, source, self._source_format)),
                    on_delivery=confirmed,
                )
            except BufferError:
                self._producer.poll(1.0)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise BrokerError(f"a match can't be sent to {self._topic}: {error.args[0].str()}") from None
                self._refuse(attempt, len(raw))
                return
            else:
                self._producer.poll(0)
                return

    def settle(self) -> None:
        """Wait until all that was queued is confirmed.

        Raises:
            BrokerError: Something was not.
        """
        unconfirmed = self._producer.flush(_TIMEOUT + 5)
        if self._failures or unconfirmed:
            reason = self._failures[0] if self._failures else f"no answer; {ADVICE}"
            raise BrokerError(
                f"{len(self._failures) + unconfirmed} matches for {self._topic} were not confirmed: {reason}; "
                "repeat the command, what is sent twice has the same alert ids"
            )

    def _refuse(self, attempt: Attempt, size: int) -> None:
        attempt.matches -= 1
        advice = "`eximwatch topics check` says how to raise its max.message.bytes"
        attempt.left.append(f"too_large: topic {self._topic} refused a match of {size} bytes; {advice}")


@dataclass(slots=True)
class Retry:
    """One run over letters. The words of all outcomes are counted in `outcomes`."""

    engine: Engine
    settings: Settings
    tell: Tell
    dry_run: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    _sent: set[bytes] = field(default_factory=set)
    _waiting: list[Attempt] = field(default_factory=list)
    _bytes: int = 0

    def run(self, letters: Iterable[Letter]) -> None:
        """Try letters again in their order; each is told once all its matches are confirmed.

        Raises:
            BrokerError: Kafka can't be reached, or did not confirm a match.
        """
        link = client_config(self.settings)
        topic, max_bytes = self.settings.matches_topic, self.settings.topic_max_bytes
        sender = MatchSender(link, topic, max_bytes, self.engine.source_format)
        for letter in letters:
            self._try(letter, link, sender)
            if len(self._waiting) >= _AT_ONCE or self._bytes >= _BYTES_AT_ONCE:
                self._settle(sender)
        self._settle(sender)

    def _try(self, letter: Letter, link: Mapping[str, str | int], sender: MatchSender) -> None:
        attempt = Attempt(letter, [])
        self._waiting.append(attempt)
        said = letter.said
        if said is None:
            attempt.left.append(f"it is no dead letter of a worker: {letter.foreign}")
            return
        raw = letter.value
        if said.cut_from is not None:
            try:
                raw = fetch_whole(link, said)
            except NoRecordError as error:
                attempt.left.append(f"only the beginning of its record was kept, and {error}")
                return
        planned = plan(said, raw, self.engine, self.settings.topic_max_bytes)
        attempt.left += planned.left
        self._send(attempt, planned, said.source, raw, sender)

    def _send(self, attempt: Attempt, planned: Plan, source: SourcePosition, raw: bytes, sender: MatchSender) -> None:
        record = hashlib.sha256(f"{shown_source(source)} ".encode() + raw).digest()
        for route in planned.routes:
            match = hashlib.sha256(record + route.scope.encode() + b" " + route.key).digest()
            if match in self._sent:
                attempt.again += 1
                continue
            self._sent.add(match)
            if self.dry_run:
                attempt.matches += 1
            else:
                sender.send(attempt, route, source, raw)
                self._bytes += len(raw)

    def _settle(self, sender: MatchSender) -> None:
        if not self.dry_run:
            sender.settle()
        for attempt in self._waiting:
            word, sentence = attempt.outcome(dry_run=self.dry_run)
            self.outcomes[word] += 1
            self.tell(attempt.letter, word, sentence)
        self._waiting.clear()
        self._bytes = 0


def fetch_whole(link: Mapping[str, str | int], said: DeadLetterHeaders) -> bytes:
    """The source record of which a letter kept the beginning.

    Raises:
        NoRecordError: It is gone, or another record stands there now.
        BrokerError: Kafka can't be reached or refuses.
    """
    source = said.source
    try:
        with TopicReader(link, source.topic) as reader:
            raw = reader.at(source.partition, source.offset).value or b""
    except (NoRecordError, TopicsError) as error:
        raise NoRecordError(f"it is not at {shown_source(source)} any more ({error})") from None
    if not is_cut_from(raw, said):
        raise NoRecordError(f"another record stands at {shown_source(source)} now (its SHA-256 differs)")
    return raw

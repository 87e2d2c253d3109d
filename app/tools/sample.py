"""`eximwatch sample`: a made-up fleet with mail servers, one of them attacked now and then, until interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final

from confluent_kafka import KafkaError, Message, Producer

from app.core.duration import DAY, SECOND
from app.errors import BrokerError
from app.runtime.contact import ADVICE, FORBIDDEN, RIGHTS_ADVICE, Failures, reach
from app.tools.generator import Host, ordinary_event
from app.tools.story import Cue, MailHost, Recording, load_recording, tell

_HOSTS: Final = 40
STEADY: Final = tuple(MailHost(f"mail{number:02d}.example.test", attacked=False) for number in (1, 2, 3))
_LEARNED_BEFORE: Final = 5 * DAY
"""How long ago an attacked host did its ordinary work: before an installation of less age learns, within its window."""
_UNCONFIRMED_S: Final = 60.0


def run_sample(
    link: Mapping[str, str | int], topic: str, rate: int, attack_every: float, say: Callable[[str], None]
) -> None:
    """Send events at their times, and say of every attack which host it is on; ends by an exception only.

    Args:
        link: How to reach Kafka, for confluent-kafka.
        topic: Where to send them; must exist.
        rate: Events a second of other programs.
        attack_every: Seconds from the beginning of one attack to the next.
        say: Tells people.

    Raises:
        BrokerError: A record was not confirmed.
    """
    failures: list[str] = []

    def confirmed(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(f"{error.str()}; {RIGHTS_ADVICE}" if error.code() in FORBIDDEN else error.str())

    broken = Failures()
    producer = Producer({**link, "partitioner": "murmur2_random", "acks": "all", "error_cb": broken})
    reach(producer, broken)
    recording, random = load_recording(), Random()
    try:
        while True:
            begun, begin = time.monotonic(), time.time_ns()
            host = MailHost(f"mail-{random.getrandbits(32):08x}.example.test", attacked=True)
            say(f"an attack on {host.name}, and ordinary work on {len(STEADY)} mail servers and {_HOSTS} hosts")
            for cue in turn(recording, host, begin, random, rate, attack_every):
                time.sleep(max(0.0, begun + cue.at - time.monotonic()))
                _send(producer, topic, cue, confirmed)
                if failures:
                    raise BrokerError(f"a record for {topic} was not confirmed: {failures[0]}")
    finally:
        producer.flush(1.0)


def turn(recording: Recording, host: MailHost, begin: int, random: Random, rate: int, seconds: float) -> Iterator[Cue]:
    """What is sent from one attack to the next, in the order of its times.

    The attacked host has to be a new one each time, and its ordinary work of some days ago: on a host that it knows
    a rule of new terms is silent. It takes as long as the attack at the least.

    Args:
        recording: What the mail servers do.
        host: Who is attacked.
        begin: When it is played from, nanoseconds since 1970.
        random: For the events of other programs.
        rate: Their number a second.
        seconds: How long it takes.
    """
    story = tell(recording, begin, random, (host, *STEADY), noise=rate, ordinary_before=_LEARNED_BEFORE)
    yield from story.cues
    first = int(story.cues[-1].at * rate) + 1 if story.cues else 0
    for place in range(first, int(seconds * rate)):
        other = Host(random.randrange(_HOSTS))
        at = place / rate
        yield Cue(at, other.id.encode(), ordinary_event(random, other, begin + round(at * SECOND)))


def _send(producer: Producer, topic: str, cue: Cue, confirmed: Callable[[KafkaError | None, Message], None]) -> None:
    end = time.monotonic() + _UNCONFIRMED_S
    while True:
        try:
            producer.produce(topic, cue.value, cue.key, on_delivery=confirmed)
        except BufferError:
            if time.monotonic() > end:
                raise BrokerError(f"records for {topic} are not confirmed; {ADVICE}") from None
            producer.poll(1.0)
        else:
            producer.poll(0)
            return

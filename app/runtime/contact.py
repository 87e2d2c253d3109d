"""First contact with Kafka: an answer, or one line that says why there is none.

librdkafka goes on trying whatever happens, and says in the end no more than that there was no answer. Why is told
beside that, to an `error_cb`, while the client is polled.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from app.errors import BrokerError

ADVICE: Final = (
    "check EXIMWATCH_BROKERS, and with TLS whether EXIMWATCH_TLS_CA fits the server's certificate and name, and "
    "whether the server asks for EXIMWATCH_TLS_CERT; or whether it wants a login (EXIMWATCH_SASL_MECHANISM)"
)
"""What to look at when Kafka does not answer."""

RIGHTS_ADVICE: Final = "`eximwatch topics acls` prints the rights that are needed"
"""What to look at when Kafka answers that this user may not."""

FORBIDDEN: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
"""Codes with which Kafka says that this user may not."""

_DEADLINE = 20.0
_FIRST_WAIT = 0.5
# Another broker may still take us when one has refused.
_REFUSED_AFTER = 1.0
_REFUSALS = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
_FAILURES = frozenset({KafkaError._TRANSPORT, KafkaError._RESOLVE})
_LOGIN_ADVICE = (
    "check EXIMWATCH_SASL_USERNAME and its password, and whether that user has a password for EXIMWATCH_SASL_MECHANISM"
)
_CERTIFICATE_ADVICE = "check whether EXIMWATCH_TLS_CA fits the server's certificate and name"
# "ssl://host:port/bootstrap: what happened (after 3ms in state CONNECT)"
_WHERE = re.compile(r"^(?:\w+://)?(?P<address>[^/\s]+?)/\w+: (?P<what>.*?)(?: \(after [^)]*\))*$", re.DOTALL)
# What a server says that asks for a certificate and got none, or not a right one; librdkafka takes it for a lost link.
_ALERT = re.compile("tls alert", re.IGNORECASE)
_CERTIFICATE = re.compile("certificate verify failed|hostname mismatch|IP address mismatch", re.IGNORECASE)


class Failures:
    """Why connections failed: give it to a client as its `error_cb`.

    Attributes:
        refusal: The last time that a broker did not take us, or we did not take it; more trying does not help.
        failure: The last connection that failed for another reason.
    """

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.refusal: KafkaError | None = None
        self.failure: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Keep what is the cause of something; that all brokers are gone is none."""
        if error.code() in _REFUSALS or _ALERT.search(error.str()):
            self.refusal = error
        elif error.code() in _FAILURES:
            self.failure = error


class Client(Protocol):
    """What all clients of confluent-kafka can do."""

    def list_topics(self, topic: str = ..., timeout: float = ...) -> ClusterMetadata:
        """Ask a broker for topics and brokers."""

    def poll(self, timeout: float) -> object:
        """Serve the callbacks."""


class Admin(AdminClient):
    """A client for administration that remembers why its connections failed; connects when it is first used."""

    def __init__(self, config: Mapping[str, str | int]) -> None:
        """Make the client.

        Args:
            config: As `client_config` gives it.
        """
        self.failures = Failures()
        told: dict[str, Any] = {**config, "error_cb": self.failures}
        super().__init__(told)


def reach(client: Client, failures: Failures, topic: str | None = None) -> ClusterMetadata:
    """Ask for all topics, or for one, until a broker answers.

    Args:
        client: Whose `error_cb` is `failures`. What it polls is lost, so it must not consume yet.
        failures: See there.
        topic: The topic to ask for.

    Raises:
        BrokerError: No broker did in time, or one refused us; says why and what to do.
    """
    begin = time.monotonic()
    wait = _FIRST_WAIT
    while True:
        try:
            return client.list_topics(timeout=wait) if topic is None else client.list_topics(topic, timeout=wait)
        except KafkaException as error:
            client.poll(0)
            spent = time.monotonic() - begin
            if spent >= _DEADLINE or (failures.refusal is not None and spent >= _REFUSED_AFTER):
                raise no_answer(error, failures) from None
        # Ever longer, since a broker under load is not heard before the wait is over.
        wait = min(2 * wait, max(_FIRST_WAIT, _DEADLINE - spent))


def no_answer(error: KafkaException, failures: Failures | None = None) -> BrokerError:
    """What to say when a request to Kafka came to nothing: the cause if it is known, in one line, and what to do."""
    cause: KafkaError = error.args[0]
    if failures is not None and cause.code() not in FORBIDDEN:
        cause = failures.refusal or failures.failure or cause
    return BrokerError(explain(cause.code(), cause.str()))


def explain(code: int, text: str) -> str:
    """Say in one line what happened and what to look at.

    Args:
        code: What librdkafka calls it.
        text: What librdkafka says of it.
    """
    what = " ".join(text.split())
    found = _WHERE.match(what)
    if found is not None:
        what = f"{found['address']}: {found['what']}"
    if code in FORBIDDEN:
        return f"Kafka refuses: {what}; {RIGHTS_ADVICE}"
    if code == KafkaError._AUTHENTICATION:
        return f"Kafka refuses: authentication failed: {what}; {_LOGIN_ADVICE}"
    distrust = _CERTIFICATE.search(what)
    if code == KafkaError._SSL and distrust is not None:
        # What follows is advice in librdkafka's own words.
        return f"Kafka is not trusted: certificate verify failed: {what[: distrust.end()]}; {_CERTIFICATE_ADVICE}"
    if code == KafkaError._SSL or _ALERT.search(what):
        return f"Kafka does not answer: the TLS handshake failed: {what}; {ADVICE}"
    return f"Kafka does not answer: {what}; {ADVICE}"

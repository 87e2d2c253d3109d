"""What an operator is told when Kafka does not answer or refuses: one line with the cause and what to look at."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.runtime.contact import ADVICE, RIGHTS_ADVICE, Failures, explain, no_answer

_LOGIN = (
    "sasl_ssl://k1:9093/bootstrap: SASL authentication error: Authentication failed (after 312ms in state AUTH_REQ)"
)
_TRUST = "ssl://k1:9093/bootstrap: SSL handshake failed:\nerror:0A:SSL routines::certificate verify failed (after 2ms)"
_ASKED = "ssl://k1:9093/bootstrap: Receive failed: ssl/tls alert bad certificate (after 3ms in state APIVERSION_QUERY)"
_DOWN = "k1:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)"


@pytest.mark.parametrize(
    ("code", "text", "said", "advice"),
    [
        (
            KafkaError._AUTHENTICATION,
            _LOGIN,
            "Kafka refuses: authentication failed: k1:9093: SASL authentication error: Authentication failed; ",
            "check EXIMWATCH_SASL_USERNAME and its password",
        ),
        (
            KafkaError._SSL,
            _TRUST,
            "Kafka is not trusted: certificate verify failed: k1:9093: SSL handshake failed: error:0A",
            "check whether EXIMWATCH_TLS_CA fits the server's certificate and name",
        ),
        (KafkaError._SSL, "wrong version", "Kafka does not answer: the TLS handshake failed: wrong version; ", ADVICE),
        (
            KafkaError._TRANSPORT,
            _DOWN,
            "Kafka does not answer: k1:9092: Connect to ipv4#10.0.0.1:9092 failed: ",
            ADVICE,
        ),
        (
            KafkaError._TRANSPORT,
            _ASKED,
            "Kafka does not answer: the TLS handshake failed: k1:9093: Receive failed: ssl/tls alert bad certificate; ",
            "whether the server asks for EXIMWATCH_TLS_CERT",
        ),
        (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            "Broker: Topic authorization failed",
            "Kafka refuses: Broker: Topic authorization failed; ",
            RIGHTS_ADVICE,
        ),
    ],
)
def test_cause_and_advice_are_one_line(code: int, text: str, said: str, advice: str) -> None:
    """Whatever librdkafka calls it; how long it took is not said."""
    line = explain(code, text)

    assert line.startswith(said)
    assert advice in line
    assert "\n" not in line
    assert "(after" not in line


def test_what_was_refused_counts_more_than_what_failed() -> None:
    """A broker that is away beside one that refuses us is not the cause; that nobody answers is only its effect."""
    failures = Failures()
    effect = KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata"))
    assert "Failed to get metadata" in str(no_answer(effect, failures))
    failures(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
    assert "Connection refused" in str(no_answer(effect, failures))
    failures(KafkaError(KafkaError._TRANSPORT, "ssl/tls alert bad certificate"))
    assert "ssl/tls alert bad certificate" in str(no_answer(effect, failures))
    failures(KafkaError(KafkaError._AUTHENTICATION, "no such user"))
    failures(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
    failures(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))

    assert "authentication failed: no such user" in str(no_answer(effect, failures))


def test_right_that_is_missing_is_the_cause_whatever_was_heard_before() -> None:
    """A broker that says so does answer."""
    failures = Failures()
    failures(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
    refusal = KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "Group authorization failed"))

    assert f"Kafka refuses: Group authorization failed; {RIGHTS_ADVICE}" == str(no_answer(refusal, failures))

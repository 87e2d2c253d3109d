"""A worker whose link to Kafka is TLS."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from app.runtime.link import ssl_context
from app.runtime.settings import Settings
from tests.broker.certificates import Certificate, make_certificate
from tests.broker.history import history, replayed
from tests.broker.installation import Installation
from tests.broker.kafka import Kafka

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of the Kafka here."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def tls_kafka(certificate: Certificate) -> Iterator[Kafka]:
    """A Kafka with a listener for TLS."""
    with Kafka(keystore=certificate.keystore) as kafka:
        yield kafka


def _settings(kafka: Kafka, certificate: Certificate) -> dict[str, str]:
    return {"BROKERS": kafka.tls_brokers, "TLS": "true", "TLS_CA": str(certificate.authority)}


@pytest.mark.parametrize("buffered", ["true", "false"])
def test_alerts_over_tls_are_those_of_replay(
    tls_kafka: Kafka, certificate: Certificate, topic_prefix: str, buffered: str
) -> None:
    """Everything goes over TLS, by either way of receiving; nothing is lost and nothing comes twice."""
    sent = history(5, 60, noise=3000)
    settings = {**_settings(tls_kafka, certificate), "BUFFERED_RECEIVE": buffered}
    with Installation(tls_kafka.brokers, topic_prefix, settings=settings).create() as installation:
        installation.play(record.keyed for record in sent)
        worker = installation.worker()
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()

        assert sorted({alert.id for alert in replayed(sent)}) == sorted(alert.id for alert in installation.alerts())


def test_server_that_is_not_trusted_is_refused(tls_kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    """A certificate of another authority ends the worker's start with one line that names the settings to look at."""
    other = make_certificate(tmp_path)
    with Installation(tls_kafka.brokers, topic_prefix, settings=_settings(tls_kafka, other)) as installation:
        done = installation.run("worker", log_level="error")

    assert (5, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "whether EXIMWATCH_TLS_CA fits" in done.stderr


def test_server_with_the_name_of_another_is_refused(topic_prefix: str, tmp_path: Path) -> None:
    """The certificate is trusted, but made for another address: host names are always checked, by both libraries."""
    misnamed = make_certificate(tmp_path, "127.0.0.2")
    with (
        Kafka(keystore=misnamed.keystore) as kafka,
        Installation(kafka.brokers, topic_prefix, settings=_settings(kafka, misnamed)) as installation,
    ):
        done = installation.run("topics", "check")
        context = ssl_context(Settings.model_construct(tls=True, tls_ca=misnamed.authority))
        assert context is not None
        host, _, port = kafka.tls_brokers.rpartition(":")
        with (
            socket.create_connection((host, int(port))) as connection,
            pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"),
        ):
            context.wrap_socket(connection, server_hostname=host)

    assert (5, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "fits the server's certificate and name" in done.stderr


def test_server_that_asks_for_a_certificate_gets_it(
    certificate: Certificate, topic_prefix: str, tmp_path: Path
) -> None:
    """The worker and the tools show theirs; without it there is no answer, and one line that says what to look at."""
    ours = make_certificate(tmp_path)
    asking = {
        "ssl.client.auth": "required",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ours.authority),
    }
    sent = history(6, 20)
    with Kafka(asking, keystore=certificate.keystore) as kafka:
        link = _settings(kafka, certificate)
        shown = {**link, "TLS_CERT": str(ours.authority), "TLS_KEY": str(ours.key)}
        with Installation(kafka.brokers, topic_prefix, settings=shown).create() as installation:
            installation.play(record.keyed for record in sent)
            worker = installation.worker()
            installation.wait_caught_up(worker)
            assert 0 == worker.stop()
            assert sorted({alert.id for alert in replayed(sent)}) == sorted(alert.id for alert in installation.alerts())
        with Installation(kafka.brokers, topic_prefix, settings=link) as installation:
            done = installation.run("topics", "check")

    assert (5, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "asks for EXIMWATCH_TLS_CERT" in done.stderr


def test_demo_takes_the_link_from_a_file_of_settings(
    tls_kafka: Kafka, certificate: Certificate, topic_prefix: str, tmp_path: Path
) -> None:
    """Its worker too, which has none of the other settings of that file."""
    config = tmp_path / "eximwatch.toml"
    config.write_text(f'brokers = "{tls_kafka.tls_brokers}"\ntls = true\ntls_ca = "{certificate.authority}"\n')
    with Installation(tls_kafka.brokers, topic_prefix) as installation:
        done = installation.run("demo", "--external", config=str(config), brokers="")

    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"TLS": "true", "TLS_CA": "/no/such.pem"}, "setting tls_ca (EXIMWATCH_TLS_CA): /no/such.pem can't be read"),
        ({"TLS_CA": "some.pem"}, "tls_ca, tls_cert and tls_key do nothing without tls"),
        ({"TLS": "true", "TLS_CERT": "some.pem"}, "tls_cert and tls_key belong together"),
    ],
)
def test_settings_of_tls_that_can_not_work_refuse_the_start(settings: dict[str, str], expected: str) -> None:
    """One line, before anything connects."""
    with Installation("127.0.0.1:1", "none", settings=settings) as installation:
        done = installation.run("worker")

    assert 2 == done.returncode
    assert expected in done.stderr

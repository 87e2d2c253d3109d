"""The link to Kafka: what each of the two client libraries is told of addresses and TLS.

Certificates and host names are always checked; no setting turns that off.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from confluent_kafka import KafkaException

from app.errors import BrokerError, SettingsError
from app.runtime.settings import Settings


def client_config(settings: Settings) -> dict[str, str | int]:
    """The beginning of a configuration for confluent-kafka."""
    config: dict[str, str | int] = {"bootstrap.servers": ",".join(settings.brokers), "log_level": 0}
    if not settings.tls:
        return config
    ssl_context(settings)  # says which file is no good, which librdkafka does not
    files = {
        "ssl.ca.location": settings.tls_ca,
        "ssl.certificate.location": settings.tls_cert,
        "ssl.key.location": settings.tls_key,
    }
    named = {name: str(path) for name, path in files.items() if path is not None}
    return {**config, "security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "https", **named}


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The context for connections of Faust; None where the link is in the clear.

    Raises:
        SettingsError: A file can't be used; says which and whose setting it is.
    """
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=settings.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("tls_ca", settings.tls_ca, error) from None
    if settings.tls_cert is not None and settings.tls_key is not None:
        try:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("tls_cert and tls_key", settings.tls_cert, error) from None
    return context


def no_answer(error: KafkaException) -> BrokerError:
    """What to say when a request to Kafka came to nothing."""
    advice = "check EXIMWATCH_BROKERS, and with TLS whether EXIMWATCH_TLS_CA fits the server's certificate and name"
    return BrokerError(f"Kafka does not answer: {error.args[0].str()}; {advice}")


def _unusable(setting: str, file: Path | None, error: Exception) -> SettingsError:
    return SettingsError(f"setting {setting}: {file} can't be used ({error}): it must be a readable PEM file")

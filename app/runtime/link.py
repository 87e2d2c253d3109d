"""The link to Kafka: what each of the two client libraries is told of addresses and TLS.

Certificates and host names are always checked; no setting turns that off.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, NoReturn

from confluent_kafka import KafkaException

from app.errors import BrokerError, SettingsError
from app.runtime.settings import ENV_PREFIX, Settings

ADVICE: Final = (
    "check EXIMWATCH_BROKERS, and with TLS whether EXIMWATCH_TLS_CA fits the server's certificate and name, and "
    "whether the server asks for EXIMWATCH_TLS_CERT"
)
"""What to look at when Kafka does not answer."""


def client_config(settings: Settings) -> dict[str, str | int]:
    """The beginning of a configuration for confluent-kafka.

    Raises:
        SettingsError: A file can't be used; says which and whose setting it is.
    """
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
    # OpenSSL's errors do not say which of several files they are about.
    for name in ("tls_ca", "tls_cert", "tls_key"):
        _require_readable(name, getattr(settings, name))
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=settings.tls_ca)
    except ssl.SSLError as error:
        message = f"{settings.tls_ca} can't be used ({error}): it must be a PEM file of certificates"
        raise SettingsError(f"{_named('tls_ca')}: {message}") from None
    if settings.tls_cert is not None and settings.tls_key is not None:
        try:
            context.load_cert_chain(settings.tls_cert, settings.tls_key, password=_refuse_encrypted)
        except (ValueError, OSError) as error:  # ssl.SSLError is an OSError
            message = f"{settings.tls_cert} and {settings.tls_key} can't be used ({error})"
            advice = "they must be PEM files of a certificate and of its own key, which is not encrypted"
            raise SettingsError(f"{_named('tls_cert')} and {_named('tls_key')}: {message}: {advice}") from None
    return context


def no_answer(error: KafkaException) -> BrokerError:
    """What to say when a request to Kafka came to nothing."""
    return BrokerError(f"Kafka does not answer: {error.args[0].str()}; {ADVICE}")


def _require_readable(name: str, file: Path | None) -> None:
    if file is None:
        return
    try:
        file.read_bytes()
    except OSError as error:
        message = f"{file} can't be read ({error.strerror}): correct the path or its rights"
        raise SettingsError(f"{_named(name)}: {message}") from None


def _refuse_encrypted() -> NoReturn:
    """Without it OpenSSL asks the terminal for the passphrase, and a service waits for ever."""
    raise ValueError("the key is encrypted")


def _named(name: str) -> str:
    return f"setting {name} ({ENV_PREFIX}{name.upper()})"

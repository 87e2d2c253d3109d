"""The link to Kafka: what each of the two client libraries is told of addresses, TLS and login.

Certificates and host names are always checked; no setting turns that off. A login in the clear must be allowed.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from app.errors import SettingsError
from app.runtime.settings import ENV_PREFIX, Settings


@dataclass(frozen=True, slots=True)
class Sasl:
    """A login.

    Attributes:
        mechanism: How it is done.
        username: Who logs in.
        password: Never part of the text of this.
    """

    mechanism: str
    username: str
    password: str = field(repr=False)


def check_link(settings: Settings) -> None:
    """Refuse settings of the link that do not go together.

    It is not done when settings are read: a command that talks to nobody does not mind.

    Raises:
        SettingsError: Names the settings and what would be right.
    """
    problem = _tls_problem(settings) or _sasl_problem(settings)
    if problem is not None:
        raise SettingsError(f"settings {problem}")


def client_config(settings: Settings) -> dict[str, str | int]:
    """The beginning of a configuration for confluent-kafka.

    Raises:
        SettingsError: Settings do not go together, or a file can't be used; says which.
    """
    login = sasl(settings)
    config: dict[str, str | int] = {"bootstrap.servers": ",".join(settings.brokers), "log_level": 0}
    if login is not None:
        config |= {
            "security.protocol": "sasl_ssl" if settings.tls else "sasl_plaintext",
            "sasl.mechanism": login.mechanism,
            "sasl.username": login.username,
            "sasl.password": login.password,
        }
    if not settings.tls:
        return config
    ssl_context(settings)  # says which file is no good, which librdkafka does not
    files = {
        "ssl.ca.location": settings.tls_ca,
        "ssl.certificate.location": settings.tls_cert,
        "ssl.key.location": settings.tls_key,
    }
    named = {name: str(path) for name, path in files.items() if path is not None}
    return {"security.protocol": "ssl", **config, "ssl.endpoint.identification.algorithm": "https", **named}


def sasl(settings: Settings) -> Sasl | None:
    """The login for connections of Faust; None where there is none.

    Raises:
        SettingsError: Settings do not go together, or the password's file can't be used.
    """
    check_link(settings)
    if settings.sasl_mechanism is None:
        return None
    return Sasl(settings.sasl_mechanism, settings.sasl_username or "", _password(settings))


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The context for connections of Faust; None where the link is in the clear.

    Raises:
        SettingsError: Settings do not go together, or a file can't be used; says which and whose setting it is.
    """
    check_link(settings)
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


def _tls_problem(settings: Settings) -> str | None:
    if not settings.tls and (settings.tls_ca or settings.tls_cert or settings.tls_key):
        return "tls_ca, tls_cert and tls_key do nothing without tls: set EXIMWATCH_TLS=true"
    if (settings.tls_cert is None) != (settings.tls_key is None):
        return "tls_cert and tls_key belong together: set both or none"
    return None


def _sasl_problem(settings: Settings) -> str | None:
    passwords = (settings.sasl_password is not None) + (settings.sasl_password_file is not None)
    if settings.sasl_mechanism is None:
        if settings.sasl_username is None and not passwords:
            return None
        return (
            "sasl_username, sasl_password and sasl_password_file do nothing without sasl_mechanism: set "
            "EXIMWATCH_SASL_MECHANISM"
        )
    if settings.sasl_username is None:
        return "sasl_mechanism and sasl_username belong together: set EXIMWATCH_SASL_USERNAME"
    if passwords != 1:
        return (
            "sasl_password_file and sasl_password: exactly one of them is needed; set EXIMWATCH_SASL_PASSWORD_FILE, "
            "and EXIMWATCH_SASL_PASSWORD only to try things"
        )
    if not settings.tls and not settings.allow_sasl_without_tls:
        return (
            "sasl_mechanism without tls would log in in the clear: set EXIMWATCH_TLS=true, or where the network can "
            "be trusted EXIMWATCH_ALLOW_SASL_WITHOUT_TLS=true"
        )
    return None


def _password(settings: Settings) -> str:
    if settings.sasl_password is not None:
        return settings.sasl_password.get_secret_value()
    file = settings.sasl_password_file
    assert file is not None
    _require_readable("sasl_password_file", file)
    try:
        password = file.read_bytes().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:  # its text would quote the password
        password = ""
    if not password or set(password) & set("\n\0"):
        raise SettingsError(f"{_named('sasl_password_file')}: {file} must hold the password alone: one line of UTF-8")
    return password


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

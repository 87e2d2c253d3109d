"""What the two client libraries are told of Kafka, and the files that refuse the start, each in one line."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.errors import SettingsError
from app.runtime.link import Sasl, check_link, client_config, sasl, ssl_context
from app.runtime.settings import Settings
from tests.broker.certificates import Certificate, make_certificate


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate and its key."""
    return make_certificate(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Another one."""
    return make_certificate(tmp_path_factory.mktemp("other"))


def _settings(
    ca: Path | None = None, cert: Path | None = None, key: Path | None = None, *, tls: bool = True
) -> Settings:
    return Settings.model_construct(brokers=("a:1", "b:2"), tls=tls, tls_ca=ca, tls_cert=cert, tls_key=key)


def _refusal(settings: Settings) -> str:
    """Both libraries are refused alike, TLS and all; gives the message."""
    messages = set()
    for told in (ssl_context, client_config):
        with pytest.raises(SettingsError) as caught:
            told(settings)
        messages.add(str(caught.value))
    [message] = messages
    assert "\n" not in message
    return message


def test_link_in_the_clear_is_told_addresses_only() -> None:
    """Without `tls` nothing of it is set."""
    settings = _settings(tls=False)

    assert {"bootstrap.servers": "a:1,b:2", "log_level": 0} == client_config(settings)
    assert ssl_context(settings) is None


def test_certificates_and_names_are_checked(ours: Certificate) -> None:
    """In both libraries, with the authority that was named."""
    settings = _settings(ours.authority)
    context = ssl_context(settings)

    assert context is not None
    assert (True, ssl.CERT_REQUIRED) == (context.check_hostname, context.verify_mode)
    assert 1 == context.cert_store_stats()["x509_ca"]
    assert {
        "bootstrap.servers": "a:1,b:2",
        "log_level": 0,
        "security.protocol": "ssl",
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.ca.location": str(ours.authority),
    } == client_config(settings)


def test_default_authorities_are_those_of_the_system() -> None:
    """No file is named then: either library finds the system's."""
    settings = _settings()

    assert ssl_context(settings) is not None
    assert "ssl.ca.location" not in client_config(settings)


def test_certificate_of_the_client_is_handed_on(ours: Certificate, other: Certificate) -> None:
    """Certificate and key, both by their paths."""
    config = client_config(_settings(ours.authority, other.authority, other.key))

    assert str(other.authority) == config["ssl.certificate.location"]
    assert str(other.key) == config["ssl.key.location"]


@pytest.mark.parametrize("name", ["tls_ca", "tls_cert", "tls_key"])
@pytest.mark.parametrize("what", ["missing.pem", "."])
def test_file_that_can_not_be_read_is_named(name: str, what: str, ours: Certificate, tmp_path: Path) -> None:
    """That very file and its setting, though the others are well."""
    files = {"tls_ca": ours.authority, "tls_cert": ours.authority, "tls_key": ours.key, name: tmp_path / what}
    message = _refusal(_settings(files["tls_ca"], files["tls_cert"], files["tls_key"]))

    assert message.startswith(f"setting {name} (EXIMWATCH_{name.upper()}): {tmp_path / what} can't be read (")
    assert message.endswith("): correct the path or its rights")


def test_authority_that_is_no_certificate_is_refused(ours: Certificate) -> None:
    """A key instead of certificates."""
    message = _refusal(_settings(ours.key))

    assert message.startswith(f"setting tls_ca (EXIMWATCH_TLS_CA): {ours.key} can't be used (")
    assert message.endswith("it must be a PEM file of certificates")


def test_key_of_another_certificate_is_refused(ours: Certificate, other: Certificate) -> None:
    """Both files are named, since either may be the wrong one."""
    message = _refusal(_settings(ours.authority, ours.authority, other.key))

    assert "setting tls_cert (EXIMWATCH_TLS_CERT) and setting tls_key (EXIMWATCH_TLS_KEY)" in message
    assert f"{ours.authority} and {other.key} can't be used" in message
    assert message.endswith("they must be PEM files of a certificate and of its own key, which is not encrypted")


def test_encrypted_key_is_refused_without_asking_for_its_passphrase(ours: Certificate, tmp_path: Path) -> None:
    """Nobody sits at a worker's terminal."""
    encrypted = tmp_path / "encrypted.pem"
    command = f"openssl ec -in {ours.key} -aes256 -passout pass:secret -out {encrypted}"
    subprocess.run(command.split(), check=True, capture_output=True)

    assert "the key is encrypted" in _refusal(_settings(ours.authority, ours.authority, encrypted))


def _login(**given: object) -> Settings:
    """Settings of a login that works, but for what is given; over TLS without files."""
    password = {} if {"sasl_password", "sasl_password_file"} & given.keys() else {"sasl_password": SecretStr("secret")}
    return Settings.model_construct(
        **{
            "brokers": ("a:1",),
            "tls": True,
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "mail",
            **password,
            **given,
        }  # type: ignore[arg-type]  # the fields' types, which a table of cases does not show
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_login_goes_over_tls(mechanism: str) -> None:
    """Both libraries get mechanism, user and password; certificates are checked as ever."""
    settings = _login(sasl_mechanism=mechanism)

    assert Sasl(mechanism, "mail", "secret") == sasl(settings)
    assert {
        "bootstrap.servers": "a:1",
        "log_level": 0,
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": mechanism,
        "sasl.username": "mail",
        "sasl.password": "secret",
        "ssl.endpoint.identification.algorithm": "https",
    } == client_config(settings)
    assert ssl_context(settings) is not None


def test_login_in_the_clear_must_be_allowed() -> None:
    """With the allowance there is no TLS at all; without it both ways out are named."""
    allowed = _login(tls=False, allow_sasl_without_tls=True)

    assert "sasl_plaintext" == client_config(allowed)["security.protocol"]
    assert ssl_context(allowed) is None
    assert (
        "settings sasl_mechanism without tls would log in in the clear: set EXIMWATCH_TLS=true, or where the network "
        "can be trusted EXIMWATCH_ALLOW_SASL_WITHOUT_TLS=true"
    ) == _refusal(_login(tls=False))


def test_password_is_not_part_of_a_text() -> None:
    """Should a login ever be logged."""
    assert "secret" not in repr(sasl(_login()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            _settings(Path("some.pem"), tls=False),
            "tls_ca, tls_cert and tls_key do nothing without tls: set EXIMWATCH_TLS=true",
        ),
        (_settings(key=Path("some.pem")), "tls_cert and tls_key belong together: set both or none"),
        (_login(sasl_mechanism=None), "do nothing without sasl_mechanism: set EXIMWATCH_SASL_MECHANISM"),
        (
            _login(sasl_mechanism=None, sasl_username=None, sasl_password_file=Path("some")),
            "do nothing without sasl_mechanism: set EXIMWATCH_SASL_MECHANISM",
        ),
        (_login(sasl_username=None), "sasl_mechanism and sasl_username belong together: set EXIMWATCH_SASL_USERNAME"),
        (_login(sasl_password=None), "exactly one of them is needed; set EXIMWATCH_SASL_PASSWORD_FILE"),
        (
            _login(sasl_password=SecretStr("secret"), sasl_password_file=Path("some")),
            "exactly one of them is needed; set EXIMWATCH_SASL_PASSWORD_FILE",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: Settings, message: str) -> None:
    """The message names them, and what would be right."""
    refusal = _refusal(settings)

    assert refusal.startswith("settings ")
    assert message in refusal
    with pytest.raises(SettingsError):
        check_link(settings)


@pytest.mark.parametrize("text", ["secret", "secret\n", "secret\r\n"])
def test_password_is_the_line_of_its_file(text: str, tmp_path: Path) -> None:
    """However the line ends."""
    file = tmp_path / "password"
    file.write_bytes(text.encode())

    assert Sasl("SCRAM-SHA-512", "mail", "secret") == sasl(_login(sasl_password_file=file))


def test_spaces_are_part_of_a_password(tmp_path: Path) -> None:
    """Nothing but the end of the line is taken off."""
    file = tmp_path / "password"
    file.write_text(" sécret \n", encoding="utf-8")

    assert Sasl("SCRAM-SHA-512", "mail", " sécret ") == sasl(_login(sasl_password_file=file))


@pytest.mark.parametrize("content", [b"", b"\n", b"secret\nmore\n", b"secret\0", b"secret\xff"])
def test_file_that_holds_no_password_is_refused(content: bytes, tmp_path: Path) -> None:
    """Its name is said, and nothing of what it holds."""
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        client_config(_login(sasl_password_file=file))

    assert (
        f"setting sasl_password_file (EXIMWATCH_SASL_PASSWORD_FILE): {file} must hold the password alone: one line of "
        "UTF-8"
    ) == str(caught.value)


def test_file_of_a_password_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    """As other files are."""
    with pytest.raises(SettingsError, match=r"sasl_password_file .*/missing can't be read \(No such file"):
        sasl(_login(sasl_password_file=tmp_path / "missing"))

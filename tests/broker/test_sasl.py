"""Logins: every command works with each mechanism, what is refused says why, and no password is ever written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from tests.broker.certificates import Certificate, make_certificate
from tests.broker.history import history, replayed
from tests.broker.installation import Installation
from tests.broker.kafka import Kafka

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.broker

USER: Final = "mail-watch"
PASSWORD: Final = "Ein,Sehr=Langes Passwort"


class Secured(NamedTuple):
    """A Kafka that wants a login, the certificate it shows, and a file with the password."""

    kafka: Kafka
    certificate: Certificate
    password_file: Path

    def login(self, mechanism: str, **changed: str | None) -> dict[str, str]:
        """Settings of a login over TLS; what is changed to None is left out."""
        settings = {
            "BROKERS": self.kafka.sasl_brokers,
            "TLS": "true",
            "TLS_CA": str(self.certificate.authority),
            "SASL_MECHANISM": mechanism,
            "SASL_USERNAME": USER,
            "SASL_PASSWORD_FILE": str(self.password_file),
            **changed,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def login_in_the_clear(self, mechanism: str) -> dict[str, str]:
        """Settings of a login without TLS, which is allowed, by a password that is no file's."""
        return self.login(
            mechanism,
            BROKERS=self.kafka.clear_sasl_brokers,
            TLS=None,
            TLS_CA=None,
            SASL_PASSWORD_FILE=None,
            SASL_PASSWORD=PASSWORD,
            ALLOW_SASL_WITHOUT_TLS="true",
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One for all tests here."""
    folder = tmp_path_factory.mktemp("secured")
    certificate = make_certificate(folder)
    file = folder / "password"
    file.write_text(PASSWORD + "\n")
    with Kafka(keystore=certificate.keystore, users={USER: PASSWORD}) as kafka:
        yield Secured(kafka, certificate, file)


@pytest.mark.parametrize(
    ("mechanism", "tls", "log_format"),
    [
        ("PLAIN", True, "json"),
        ("SCRAM-SHA-256", True, "console"),
        ("SCRAM-SHA-512", True, "json"),
        ("PLAIN", False, "console"),
    ],
)
def test_every_command_works_with_a_login(
    secured: Secured, topic_prefix: str, mechanism: str, tls: bool, log_format: str, tmp_path: Path
) -> None:
    """Topics, events, worker and alerts; the password is in no output, though the worker logs all it can."""
    sent = history(7, 20)
    events = tmp_path / "events.ndjson"
    events.write_bytes(b"".join(record.value + b"\n" for record in sent))
    expected = sorted({alert.id for alert in replayed(sent)})
    settings = secured.login(mechanism) if tls else secured.login_in_the_clear(mechanism)
    with Installation(secured.kafka.brokers, topic_prefix, settings=settings) as installation:
        installation.create_sources()
        done = [
            installation.run("topics", "create"),
            installation.run("topics", "check"),
            installation.run("produce", str(events), "--topic", installation.source()),
        ]
        worker = installation.worker(log_level="debug", log_format=log_format)
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        tail = installation.run("alerts", "tail", "--from", "earliest", "--json", "--count", str(len(expected)))
        log = worker.output()

    assert [0, 0, 0, 0] == [one.returncode for one in (*done, tail)], "\n".join(one.stderr for one in (*done, tail))
    assert expected == sorted({json.loads(line)["kibana.alert.uuid"] for line in tail.stdout.splitlines()})
    end = '"' if log_format == "json" else "\n"
    assert f"sasl_username = {USER}{end}" in log
    assert f"sasl_password = {'None' if tls else '**********'}{end}" in log
    if log_format == "json":
        assert all(isinstance(json.loads(line), dict) for line in log.splitlines())
    assert PASSWORD not in log + "".join(one.stdout + one.stderr for one in (*done, tail))
    # Requests are logged at this level; those of a login are not: they carry the password, or what it can be tried on.
    assert "Request to 127.0.0.1" in log
    assert "SaslAuthenticate" not in log


_CHECK: Final = ("topics", "check")


@pytest.mark.parametrize(
    ("command", "mechanism", "changed", "code", "said"),
    [
        (
            ("worker", "--log-level", "error"),
            "SCRAM-SHA-512",
            {"SASL_PASSWORD_FILE": None, "SASL_PASSWORD": "Wrong Password"},
            5,
            ("Kafka refuses: authentication failed", "check EXIMWATCH_SASL_USERNAME and its password"),
        ),
        (
            ("produce", "pyproject.toml", "--topic", "events"),
            "PLAIN",
            {"SASL_PASSWORD_FILE": None, "SASL_PASSWORD": "Wrong Password"},
            5,
            ("Kafka refuses: authentication failed",),
        ),
        (("alerts", "tail"), "SCRAM-SHA-256", {"SASL_USERNAME": "nobody"}, 5, ("authentication failed",)),
        (_CHECK, "PLAIN", {"SASL_USERNAME": "nobody"}, 5, ("Kafka refuses: authentication failed",)),
        (_CHECK, "PLAIN", {"TLS_CA": None}, 5, ("certificate verify failed", "EXIMWATCH_TLS_CA fits")),
        (
            ("worker",),
            "SCRAM-SHA-512",
            {"TLS": None, "TLS_CA": None},
            2,
            ("EXIMWATCH_TLS=true", "EXIMWATCH_ALLOW_SASL_WITHOUT_TLS=true"),
        ),
        (_CHECK, "PLAIN", {"SASL_PASSWORD_FILE": "/no/such"}, 2, ("EXIMWATCH_SASL_PASSWORD_FILE): /no/such can't be",)),
        (_CHECK, "PLAIN", {"SASL_PASSWORD": PASSWORD}, 2, ("exactly one of them is needed",)),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, tuple) else None,
)
def test_login_that_can_not_be_is_refused(
    secured: Secured,
    topic_prefix: str,
    command: tuple[str, ...],
    mechanism: str,
    changed: dict[str, str | None],
    code: int,
    said: tuple[str, ...],
) -> None:
    """One line with the cause and what to look at, and soon; nothing of a password in it."""
    settings = secured.login(mechanism, **changed)
    with Installation(secured.kafka.brokers, topic_prefix, settings=settings) as installation:
        done = installation.run(*command)

    assert (code, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    assert [] == [text for text in said if text not in done.stderr], done.stderr
    assert not [password for password in (PASSWORD, "Wrong Password") if password in done.stdout + done.stderr]


def test_command_without_a_link_does_not_mind_one_that_can_not_be(tmp_path: Path) -> None:
    """`replay` talks to nobody."""
    events = tmp_path / "events.ndjson"
    events.write_bytes(history(8, 1)[0].value + b"\n")
    settings = {"SASL_MECHANISM": "PLAIN", "TLS_CERT": "/no/such"}
    with Installation("127.0.0.1:1", "none", settings=settings) as installation:
        done = installation.run("replay", str(events))

    assert 0 == done.returncode, done.stderr


def test_password_has_no_flag() -> None:
    """Everyone on the machine can read a command line; its file has one."""
    with Installation("127.0.0.1:1", "none") as installation:
        flag = installation.run("worker", "--sasl-password", PASSWORD)
        shown = installation.run("worker", "--help")

    assert 2 == flag.returncode
    assert "--sasl-password-file" in shown.stdout
    assert PASSWORD not in flag.stderr

"""A Kafka with an authorizer: the worker runs with exactly the rights that are declared, and with none less."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from app.errors import BrokerError
from app.runtime import topics
from app.runtime.acls import Acl, Role, acls
from app.runtime.contact import Admin
from app.runtime.rights import require_rights
from app.runtime.settings import Settings
from tests.broker.certificates import Certificate, make_certificate
from tests.broker.history import history, replayed
from tests.broker.installation import Installation
from tests.broker.kafka import Kafka
from tests.broker.records import Outgoing
from tests.broker.rights import grant, single, without
from tests.broker.settings import AUTHORIZER
from tests.broker.waiting import wait_until
from tests.events import event, raw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.broker

PREFIX: Final = "mail"
USERS: Final[dict[str, tuple[Role, ...]]] = {
    "worker": ("worker",),
    "operator": ("create", "check", "dead-letters"),
    "producer": ("produce",),
    "analyst": ("tail",),
    "investigator": ("explain",),
    "nobody": (),
}
"""Users of one installation, and whose rights each of them has. Their passwords are their names."""

_NAMES: Final = Settings.model_construct(topic_prefix=PREFIX, source_topics=(f"{PREFIX}.events",))
_DEADLINE_S: Final = 30.0


class Guarded(NamedTuple):
    """A Kafka on which nobody may do more than was granted, and its one installation."""

    kafka: Kafka
    certificate: Certificate
    installation: Installation
    owner: AdminClient
    """Who grants rights."""
    worker: Admin
    """A worker's user."""

    def as_user(self, name: str) -> dict[str, Any]:
        """Settings of that user's login, by their names in lower case."""
        return {
            "brokers": self.kafka.sasl_brokers,
            "tls": "true",
            "tls_ca": str(self.certificate.authority),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": name,
            "sasl_password": name,
        }

    def refusal(self) -> str:
        """What a worker would be told at its start; nothing where all is well."""
        try:
            require_rights(self.worker, acls(_NAMES), Settings.model_construct(sasl_username="worker"))
        except BrokerError as error:
            return str(error)
        return ""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One for all tests here, with its topics, which the operator made."""
    certificate = make_certificate(tmp_path_factory.mktemp("certificate"))
    with (
        Kafka(AUTHORIZER, keystore=certificate.keystore, users={name: name for name in USERS}) as kafka,
        Installation(kafka.brokers, PREFIX) as installation,
    ):
        owner = AdminClient({"bootstrap.servers": kafka.brokers})
        for user, roles in USERS.items():
            for role in roles:
                grant(owner, user, single(acls(_NAMES, role)))
        link = Settings.model_construct(
            brokers=(kafka.sasl_brokers,),
            tls=True,
            tls_ca=certificate.authority,
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="worker",
            sasl_password=SecretStr("worker"),
        )
        guarded = Guarded(kafka, certificate, installation, owner, topics.admin_client(link))
        installation.create_sources()
        for command in ("create", "check"):
            done = installation.run("topics", command, **guarded.as_user("operator"))
            assert 0 == done.returncode, done.stdout + done.stderr
        yield guarded


def test_every_user_works_with_the_declared_rights(guarded: Guarded, tmp_path: Path) -> None:
    """Alerts are those of `replay`; a worker that lost its data rebuilds them, and knows what was known."""
    sent = history(9, 40)
    expected = sorted({alert.id for alert in replayed(sent)})
    events = tmp_path / "events.ndjson"
    events.write_bytes(b"".join(record.value + b"\n" for record in sent))
    installation = guarded.installation
    produced = installation.run("produce", str(events), "--topic", installation.source(), **guarded.as_user("producer"))
    assert 0 == produced.returncode, produced.stderr
    # A time makes the worker look for offsets, and set them for its group.
    settings = {**guarded.as_user("worker"), "start_from": "2026-01-01T00:00:00Z"}
    first = installation.worker(**settings)
    installation.wait_caught_up(first)
    assert 0 == first.stop()
    second = installation.worker(**settings)
    installation.play([sent[0].keyed])
    installation.wait_caught_up(second)
    assert 0 == second.stop()
    shown = ("alerts", "tail", "--from", "earliest", "--json", "--count", str(len(expected)))
    tail = installation.run(*shown, **guarded.as_user("analyst"))

    letters = installation.run("dead-letters", "list", **guarded.as_user("operator"))
    retried = installation.run("dead-letters", "retry", "--all", **guarded.as_user("operator"))

    explained = installation.run("explain", "--alert-id", expected[0], "--json", **guarded.as_user("investigator"))

    assert expected == sorted(alert.id for alert in installation.alerts())
    assert 0 == explained.returncode, explained.stderr
    assert "what the workers know as of now" in explained.stdout
    assert (0, 0) == (letters.returncode, retried.returncode), letters.stderr + retried.stderr
    assert 0 == tail.returncode, tail.stderr
    assert expected == sorted(json.loads(line)["kibana.alert.uuid"] for line in tail.stdout.splitlines())


@pytest.mark.parametrize(
    ("acl", "operation"),
    single(acls(_NAMES)),
    ids=lambda one: one if isinstance(one, str) else f"{one.resource}-{one.name}",
)
def test_each_right_is_needed_and_named_where_it_is_missing(guarded: Guarded, acl: Acl, operation: str) -> None:
    """What a worker checks first finds it; with it back nothing is amiss."""
    with without(guarded.owner, "worker", acl, operation):
        refusal = wait_until(guarded.refusal, _DEADLINE_S, "the right to be gone")
    wait_until(lambda: not guarded.refusal(), _DEADLINE_S, "the right to be back")

    lacking, _, place = refusal.partition(" on ")
    assert lacking.startswith("Kafka does not allow user worker: ")
    assert operation in lacking.rpartition(": ")[2].split(", ")
    assert f"{acl.resource} {acl.name}; `eximwatch topics acls` prints the rights that are needed" == place


@pytest.mark.parametrize(
    "taken",
    [
        (Acl("group", PREFIX, ("Read",)), "Read"),
        (Acl("topic", f"{PREFIX}.events", ("Read",)), "Read"),
        (Acl("topic", f"{PREFIX}-new_terms-changelog", ("DescribeConfigs",)), "DescribeConfigs"),
        (Acl("topic", f"{PREFIX}-lineage-changelog", ("Read",)), "Read"),
    ],
    ids=lambda one: f"{one[0].resource}-{one[1]}",
)
def test_worker_without_a_right_does_not_start(guarded: Guarded, taken: tuple[Acl, str]) -> None:
    """One line with what is missing; it never joins its group."""
    acl, operation = taken
    with without(guarded.owner, "worker", acl, operation):
        wait_until(guarded.refusal, _DEADLINE_S, "the right to be gone")
        done = guarded.installation.run("worker", log_level="error", **guarded.as_user("worker"))
    wait_until(lambda: not guarded.refusal(), _DEADLINE_S, "the right to be back")

    assert (5, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    assert f"{operation}" in done.stderr
    assert f" on {acl.resource} {acl.name}" in done.stderr


def test_worker_that_loses_a_right_ends(guarded: Guarded, topic_prefix: str) -> None:
    """An alert that Kafka does not take is not passed over: the worker ends, names the topic, and commits nothing."""
    names = Settings.model_construct(topic_prefix=topic_prefix, source_topics=(f"{topic_prefix}.events",))
    alerts = Acl("topic", f"{topic_prefix}.alerts", ("Write",))
    grant(guarded.owner, "worker", single(acls(names)))
    with Installation(guarded.kafka.brokers, topic_prefix).create() as installation:
        worker = installation.worker(**guarded.as_user("worker"))
        worker.wait_ready()
        with without(guarded.owner, "worker", alerts, "Write"):
            # Kafka may still take one that comes before the right is gone everywhere.
            hosts = iter(range(1000))

            def ended() -> bool:
                host = f"host-{next(hosts)}"
                installation.play([Outgoing(host.encode(), raw(event("nc", host=host)))])
                return not worker.running

            wait_until(ended, _DEADLINE_S, "the worker's end")
        assert 6 == worker.exit_code
        [line] = [line for line in worker.output().splitlines() if " CRITICAL " in line]
        assert f"a record for topic {alerts.name} " in line
        assert "TopicAuthorizationFailedError" in line
        assert installation.lag()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("topics", "create"), "can't be created"),
        (("topics", "check"), f"topic {PREFIX}.events"),
        (("alerts", "tail"), f"topic {PREFIX}.alerts can't be read"),
        (("dead-letters", "list"), f"topic {PREFIX}.dead-letters can't be read"),
        (("explain", "--at", f"{PREFIX}.events:0:0"), f"topic {PREFIX}.events can't be read"),
        (
            ("produce", "pyproject.toml", "--topic", f"{PREFIX}.events"),
            f" for {PREFIX}.events ",
        ),
    ],
)
def test_user_without_rights_is_told_so_by_every_command(guarded: Guarded, command: tuple[str, ...], said: str) -> None:
    """No command stands still, or takes a topic that it may not see for one that does not exist."""
    done = guarded.installation.run(*command, **guarded.as_user("nobody"))

    assert done.returncode in {4, 5}
    assert said in done.stdout + done.stderr
    assert "`eximwatch topics acls`" in done.stdout + done.stderr

"""What the tests' Kafka is told: options of its JVM, its ports, its server.properties."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOST: Final = "127.0.0.1"

# Below the ports that systems hand out to connecting clients: a client that retries a dead port of that range
# may get just that port, connect to itself, and so keep Kafka from coming back on it.
_PORTS: Final = range(15_000, 30_000)

JVM_OPTIONS: Final = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    # Its file lies in a directory of the system's and outlives a kill.
    "-XX:-UsePerfData",
    # A class-data archive that does not fit is worth no words: the JVM goes on without it.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    # Hundreds of lines at each start that repeat server.properties.
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaConfig=warn",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.server.config=warn",
)


def free_ports(count: int = 2) -> tuple[int, ...]:
    """Ports that were free a moment ago."""
    found: list[int] = []
    while len(found) < count:
        # Not `random`: test runs seed it, and two at a time would choose the same.
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex((HOST, port)) != 0:
                found.append(port)
    return tuple(found)


SASL_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class Ports(NamedTuple):
    """One port for each listener: without anything, TLS, login over TLS, login in the clear, the controller's.

    And two for a proxy: the listener `behind` it, and where it listens, `front`.
    """

    client: int
    tls: int
    sasl: int
    clear_sasl: int
    controller: int
    behind: int
    front: int


def secure_properties(ports: Ports, keystore: Path, users: Mapping[str, str]) -> dict[str, str]:
    """What adds a listener with TLS, and where there are users two with a login.

    Args:
        ports: The listeners' ports.
        keystore: PEM file with the server's key and certificate.
        users: Passwords by user, for PLAIN; those of SCRAM are given to a running Kafka.
    """
    listeners = {"CLIENT": (ports.client, "PLAINTEXT"), "TLS": (ports.tls, "SSL")}
    if users:
        listeners |= {"SASL": (ports.sasl, "SASL_SSL"), "CLEARSASL": (ports.clear_sasl, "SASL_PLAINTEXT")}
    addresses = ",".join(f"{name}://{HOST}:{port}" for name, (port, _) in listeners.items())
    protocols = ",".join(f"{name}:{protocol}" for name, (_, protocol) in listeners.items())
    logins: dict[str, str] = {}
    security = "org.apache.kafka.common.security"
    known = "".join(f' user_{name}="{password}"' for name, password in users.items())
    for listener in ("sasl", "clearsasl") if users else ():
        begin = f"listener.name.{listener}"
        scram = f"{security}.scram.ScramLoginModule required;"
        logins |= {
            f"{begin}.sasl.enabled.mechanisms": ",".join(SASL_MECHANISMS),
            f"{begin}.plain.sasl.jaas.config": f"{security}.plain.PlainLoginModule required{known};",
            f"{begin}.scram-sha-256.sasl.jaas.config": scram,
            f"{begin}.scram-sha-512.sasl.jaas.config": scram,
        }
    return {
        "listeners": f"{addresses},CONTROLLER://{HOST}:{ports.controller}",
        "advertised.listeners": addresses,
        "listener.security.protocol.map": f"{protocols},CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        **logins,
    }


AUTHORIZER: Final = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # The tests themselves, and the broker, come without a login.
    "super.users": "User:ANONYMOUS",
}
"""Lines for server.properties by which a user may do nothing but what was granted."""


def proxied_properties(ports: Ports) -> dict[str, str]:
    """What adds a listener at `behind` whose clients are told to come to `front`, where a proxy listens."""
    client, controller = f"CLIENT://{HOST}:{ports.client}", f"CONTROLLER://{HOST}:{ports.controller}"
    return {
        "listeners": f"{client},PROXIED://{HOST}:{ports.behind},{controller}",
        "advertised.listeners": f"{client},PROXIED://{HOST}:{ports.front}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }


def server_properties(data: Path, port: int, controller: int, overrides: Mapping[str, str]) -> str:
    """The text of server.properties for one node that lives for a test run."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"CLIENT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"CLIENT://{HOST}:{port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        # After a kill the node is let in again when the session of its last life has timed out; else 9 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "group.initial.rebalance.delay.ms": "0",
        # Tests of lost workers want sessions shorter than the six seconds that Kafka allows.
        "group.min.session.timeout.ms": "1000",
        # A test of compaction should not wait for the cleaner's next look, which is after 15 s.
        "log.cleaner.backoff.ms": "300",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        **overrides,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())

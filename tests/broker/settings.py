"""What the tests' Kafka is told: options of its JVM, its ports, its server.properties."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING, Final

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


def tls_properties(port: int, tls_port: int, controller: int, keystore: Path) -> dict[str, str]:
    """What adds a listener with TLS; `keystore` is a PEM file with the server's key and certificate."""
    return {
        "listeners": f"CLIENT://{HOST}:{port},TLS://{HOST}:{tls_port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"CLIENT://{HOST}:{port},TLS://{HOST}:{tls_port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
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

"""A real Apache Kafka for tests: broker and controller in one JVM, on loopback, with its own directory.

Also a command: `python -m tests.broker.kafka -- COMMAND…` runs a command beside a Kafka, whose address it
finds in `EXIMWATCH_BROKERS`; `python -m tests.broker.kafka --fetch` only makes sure that the jars are there.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.broker import archive, jars
from tests.broker.process import Child, Guard
from tests.broker.records import Outgoing, produce, read_topic
from tests.broker.settings import (
    HOST,
    JVM_OPTIONS,
    Ports,
    free_ports,
    proxied_properties,
    secure_properties,
    server_properties,
)
from tests.broker.topics import Topic, committed_offsets, create_topics, give_scram_passwords
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_START_DEADLINE_S: Final = 60.0
_STOP_DEADLINE_S: Final = 60.0
_FORMAT_DEADLINE_S: Final = 60.0
_METADATA_TIMEOUT_S: Final = 1.0
_PORT_TRIES: Final = 5
# A JVM that ends in order after SIGTERM reports 128 + 15.
_ORDERLY_ENDS: Final = {0, 143}


class StartError(Exception):
    """Kafka ended instead of starting; the message carries the last lines of its log."""


class Kafka:
    """One Kafka node. `start` (or `with`) brings it up; `close` ends it and removes everything it wrote.

    Between the two it may be ended, frozen and restarted at will; ports and log stay the same. Should this
    process end without `close`, even by SIGKILL, a guard ends the JVM and removes the directory.
    """

    def __init__(
        self,
        overrides: Mapping[str, str] | None = None,
        *,
        heap: str = "512m",
        log: Path | None = None,
        jvm_options: tuple[str, ...] = (),
        use_archive: bool = True,
        keystore: Path | None = None,
        users: Mapping[str, str] | None = None,
        proxied: bool = False,
    ) -> None:
        """Prepare only; nothing is fetched or started.

        Args:
            overrides: Lines for server.properties, which win over ours.
            heap: The JVM's largest heap.
            log: File for Kafka's own log; by default in the directory that `close` removes.
            jvm_options: More options for the JVM.
            use_archive: Start with the class-data archive, which is made if it is missing.
            keystore: PEM file of a server's key and certificate, for a second listener with TLS; by default none.
            users: Passwords by user, for two more listeners, which want a login; needs a keystore.
            proxied: Have a second listener for a proxy of yours, at `behind`, that listens at `front`. Not with TLS.
        """
        self._overrides = dict(overrides or {})
        self._log = log
        self._options = (*JVM_OPTIONS, f"-Xmx{heap}", *jvm_options)
        self._use_archive = use_archive
        self._guard: Guard | None = None
        self._child: Child | None = None
        self._keystore = keystore
        self._users = dict(users or {})
        self._proxied = proxied
        self._ports = Ports(*[0] * len(Ports._fields))

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it and remove its directory."""
        self.close()

    @property
    def brokers(self) -> str:
        """The address for clients; the same after a restart."""
        return f"{HOST}:{self._ports.client}"

    @property
    def tls_brokers(self) -> str:
        """The address for clients with TLS, if there is a keystore."""
        return f"{HOST}:{self._ports.tls}"

    @property
    def sasl_brokers(self) -> str:
        """The address for clients that log in over TLS, if there are users."""
        return f"{HOST}:{self._ports.sasl}"

    @property
    def clear_sasl_brokers(self) -> str:
        """The address for clients that log in in the clear, if there are users."""
        return f"{HOST}:{self._ports.clear_sasl}"

    @property
    def front(self) -> str:
        """The address that clients of the second listener are told, where a proxy is to listen."""
        return f"{HOST}:{self._ports.front}"

    @property
    def behind(self) -> str:
        """The address of the second listener, for the proxy."""
        return f"{HOST}:{self._ports.behind}"

    @property
    def log(self) -> Path:
        """Kafka's own log, all starts in one file."""
        return self._started().log

    @property
    def pid(self) -> int | None:
        """The JVM's process id."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the JVM is there, frozen or not."""
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Format a new directory, start, and return as soon as Kafka answers.

        Raises:
            NoJavaError: Java or Maven is missing.
            FetchError: The jars could not be fetched.
            StartError: Kafka ended.
            TimeoutError: Kafka did not answer in time.
        """
        if self._child is not None:
            raise RuntimeError("this Kafka was started before; restart it, or close it and make another")
        java, libs = jars.java(), jars.fetch()
        shared = archive.options(java, libs, _rehearse) if self._use_archive else ()
        command = [str(java), *self._options, *shared, "-cp", jars.classpath(libs)]
        for attempt in range(_PORT_TRIES):
            try:
                self._start_new(command)
            except StartError as error:
                self.close()
                # Another process may take a port between our choice and Kafka's bind.
                if "already in use" not in str(error) or attempt == _PORT_TRIES - 1:
                    raise
            except BaseException:
                self.close()
                raise
            else:
                return

    def stop(self) -> int:
        """Shut down in order (SIGTERM), keeping the data, and return the exit code."""
        return self._started().terminate(_STOP_DEADLINE_S)

    def kill(self) -> None:
        """End it at once (SIGKILL), keeping the data."""
        self._started().kill()

    def restart(self) -> None:
        """Start again on the same ports and data, and return as soon as it answers. Stops it first."""
        child = self._started()
        if child.running:
            self.stop()
        child.start()
        self._wait_until_it_answers(child)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, requests are not answered."""
        self._started().pause()

    def resume(self) -> None:
        """Thaw it (SIGCONT)."""
        self._started().resume()

    def ensure_running(self) -> None:
        """Thaw or restart it, if need be."""
        if self.running:
            self.resume()
        else:
            self.restart()

    def close(self) -> None:
        """End it and remove everything it wrote. May be called twice."""
        if self._child is not None:
            self._child.kill()
        if self._guard is not None:
            self._guard.close()
        self._child = self._guard = None

    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError("this Kafka was not started, or it was closed")
        return self._child

    def _start_new(self, command: list[str]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="eximwatch-kafka-"))
        self._guard = Guard(folder)
        self._ports = ports = Ports(*free_ports(len(Ports._fields)))
        overrides = self._overrides
        if self._keystore is not None:
            overrides = {**secure_properties(ports, self._keystore, self._users), **overrides}
        if self._proxied:
            overrides = {**proxied_properties(ports), **overrides}
        properties = folder / "server.properties"
        properties.write_text(server_properties(folder / "data", ports.client, ports.controller, overrides))
        # Native libraries are unpacked to the JVM's temporary directory, and stay there when it is killed.
        kept_here = (f"-Djava.io.tmpdir={folder}", f"-XX:ErrorFile={folder / 'hs_err.log'}")
        command = [command[0], *kept_here, *command[1:]]
        _format(command, properties)
        self._child = Child(
            [*command, "kafka.Kafka", str(properties)],
            env=os.environ,
            cwd=folder,
            log=self._log or folder / "kafka.log",
            guard=self._guard,
        )
        self._child.start()
        self._wait_until_it_answers(self._child)

    def _wait_until_it_answers(self, child: Child) -> None:
        def connects() -> bool:
            if not child.running:
                raise StartError(f"Kafka ended with {child.exit_code} instead of starting:\n{child.tail()}")
            with socket.socket() as probe:
                return probe.connect_ex((HOST, self._ports.client)) == 0

        # A bare connection first: a Kafka client backs off ever longer from a port that is not open yet.
        wait_until(connects, _START_DEADLINE_S, "Kafka's port to open")
        admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})

        def answers() -> bool:
            try:
                return connects() and bool(admin.list_topics(timeout=_METADATA_TIMEOUT_S).brokers)
            except KafkaException:
                return False

        wait_until(answers, _START_DEADLINE_S, "Kafka's first answer")
        give_scram_passwords(admin, self._users)


def _rehearse(part: Path) -> None:
    """Run a Kafka through what tests do, so that the classes for it go into an archive when it stops."""
    with Kafka(jvm_options=(f"-XX:ArchiveClassesAtExit={part}",), use_archive=False) as kafka:
        create_topics(kafka.brokers, Topic("rehearsal"))
        produce(kafka.brokers, "rehearsal", [Outgoing(b"key", b"value")])
        read_topic(kafka.brokers, "rehearsal")
        committed_offsets(kafka.brokers, "rehearsal")
        # A JVM that dies while it writes leaves a cut archive, at which every later JVM would crash.
        if kafka.stop() not in _ORDERLY_ENDS:
            part.unlink(missing_ok=True)


def _format(command: list[str], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
    done = subprocess.run(
        [*command, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "--config", str(properties)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_FORMAT_DEADLINE_S,
        check=False,
    )
    if done.returncode != 0:
        raise StartError(f"Kafka's directory could not be formatted ({done.returncode}):\n{done.stdout.strip()}")


if __name__ == "__main__":
    from tests.broker.command import main

    sys.exit(main())

"""Where the demo plays: a broker with topics, and one worker process on it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from app.core.rule import longest_window
from app.errors import BrokerError
from app.runtime import topics
from app.runtime.link import client_config
from app.runtime.rules import load_rules
from app.runtime.settings import ENV_PREFIX, LINK_SETTINGS, PACKAGED_RULES, SECRETS, Settings, load_settings
from app.tools.embedded_broker import EmbeddedBroker

PARTITIONS: Final = 4
SOURCE: Final = "process-events"
START_DEADLINE: Final = 60.0
STOP_DEADLINE: Final = 20.0

_PREFIX = "eximwatch"
_READY = "worker ready"
_KEPT_LINES = 15
_BROKER_DEFAULT = -1  # the broker's own replication factor


@dataclass(frozen=True, slots=True)
class Stage:
    """A broker that is ready: how to reach it, the names in use, and what a person should know of it.

    Attributes:
        link: How to reach it, for confluent-kafka.
        variables: The same as settings of a worker, by their name without `EXIMWATCH_`.
        prefix: Begins the names of our topics.
        source_topic: Where the story is sent.
        embedded: Whether the broker is part of this process.
        title: What a person should know.
    """

    link: Mapping[str, str | int]
    variables: Mapping[str, str]
    prefix: str
    source_topic: str
    embedded: bool
    title: str

    @property
    def alerts_topic(self) -> str:
        """Name of the topic of alerts."""
        return f"{self.prefix}.alerts"


@contextmanager
def embedded_stage() -> Iterator[Stage]:
    """A broker inside this process; everything on it is gone at the end."""
    with EmbeddedBroker() as broker:
        # The defaults, whatever the caller's settings say: they are meant for another Kafka.
        settings = Settings.model_construct(
            brokers=(broker.brokers,), partitions=PARTITIONS, topic_prefix=_PREFIX, source_topics=(SOURCE,)
        )
        for spec in topics.declare(settings, 0):
            broker.create_topic(spec.name, spec.partitions)
        broker.create_topic(SOURCE, PARTITIONS)
        title = f"demo broker at {broker.brokers}, nothing survives exit"
        yield Stage(client_config(settings), _variables(settings), settings.topic_prefix, SOURCE, True, title)


@contextmanager
def external_stage(brokers: Sequence[str]) -> Iterator[Stage]:
    """A real Kafka; the demo's topics have a prefix of their own there, and are deleted at the end.

    Raises:
        EximwatchError: Kafka can't be reached or refuses the topics.
    """
    prefix = f"{_PREFIX}-demo-{secrets.token_hex(4)}"
    source = f"{prefix}.{SOURCE}"
    settings = load_settings(
        brokers=tuple(brokers), partitions=PARTITIONS, topic_prefix=prefix, source_topics=(source,)
    )
    specs = topics.declare(settings, longest_window(load_rules((PACKAGED_RULES,))))
    own = [*specs, topics.source_spec(source, settings)]
    admin = topics.admin_client(settings)
    created = topics.create(admin, own, _BROKER_DEFAULT)
    try:
        title = f"Kafka at {', '.join(brokers)}, topics {prefix}.*"
        yield Stage(client_config(settings), _variables(settings), prefix, source, False, title)
    finally:
        _delete(admin, created)


@contextmanager
def worker_process(stage: Stage, alert_from: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker on the stage, ready to judge; stopped at the end, its data deleted.

    Raises:
        BrokerError: It did not become ready; says what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="eximwatch-demo-") as data_dir:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "worker"],
            env=_environment(stage, alert_from, data_dir),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        log = _Log(process)
        try:
            if not log.ready.wait(START_DEADLINE) or process.poll() is not None:
                raise BrokerError(f"the worker did not start: {log.tail()}")
            yield process
        finally:
            _stop(process)
            log.join()


class _Log:
    """Reads what the worker writes, so that its pipe never fills, and tells when it is ready or gone."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.ready = threading.Event()
        self._process = process
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._thread = threading.Thread(target=self._read, name="worker log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            self._lines.append(text)
            if _READY in text:
                self.ready.set()
        self.ready.set()

    def tail(self) -> str:
        return " | ".join(self._lines) or "it wrote nothing"

    def join(self) -> None:
        self._thread.join(STOP_DEADLINE)


def _environment(stage: Stage, alert_from: str, data_dir: str) -> dict[str, str]:
    """The caller's environment without settings of its own, which are not meant for the demo."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    settings = {
        **stage.variables,
        "SOURCE_TOPICS": stage.source_topic,
        "TOPIC_PREFIX": stage.prefix,
        "PARTITIONS": str(PARTITIONS),
        "DATA_DIR": data_dir,
        "ALERT_FROM": alert_from,
        "FETCH_MAX_WAIT": "20",
        "CHECK_TOPICS": "false" if stage.embedded else "true",
    }
    return inherited | {f"{ENV_PREFIX}{name}": value for name, value in settings.items()}


def _variables(settings: Settings) -> dict[str, str]:
    """The link to Kafka, wherever it was set: the worker does not read the caller's file, nor does it listen."""
    given = {name for name in LINK_SETTINGS if getattr(settings, name) is not None}
    shown = {name.upper(): text for name, text in settings.shown() if name in given}
    secrets_ = {name.upper(): getattr(settings, name).get_secret_value() for name in given & SECRETS}
    return shown | secrets_ | {"HTTP_LISTEN": "none"}


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _delete(admin: AdminClient, names: Sequence[str]) -> None:
    """Delete the demo's own topics; what can't be deleted stays, and is named."""
    if not names:
        return
    for name, future in admin.delete_topics(list(names)).items():
        try:
            future.result()
        except KafkaException as error:
            raise BrokerError(f"the demo's topic {name} was left behind: {error.args[0].str()}") from None

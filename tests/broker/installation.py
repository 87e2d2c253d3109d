"""One installation of the product on a Kafka: its topics, its workers, what they were sent and what they wrote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.broker.jars import REPOSITORY
from tests.broker.records import Outgoing, Record, produce, read_topic
from tests.broker.seen import SeenAlert, SeenDeadLetter, seen_alert
from tests.broker.topics import Topic, create_topics
from tests.broker.waiting import wait_until
from tests.broker.worker import COMMAND, Worker
from tests.schemas import validate_dead_letter, validate_match_headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

PARTITIONS: Final = 4

_COMMAND_DEADLINE_S: Final = 60.0
_DEADLINE_S: Final = 60.0
_TIMEOUT_S: Final = 30.0
_PAUSE_S: Final = 0.1
_LEADERS_TO_COME: Final = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError._NOENT,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
}
_READY_LINE: Final = re.compile(r"worker ready; assigned (.*)")


class Installation:
    """Topics, workers and settings under one prefix; `with` ends every worker that was started.

    Its source topics are its own. Workers are processes as users run them, each with its own data directory.
    """

    def __init__(
        self,
        brokers: str,
        prefix: str,
        *,
        sources: Mapping[str, int] | None = None,
        settings: Mapping[str, str] | None = None,
        partitions: int = PARTITIONS,
    ) -> None:
        """Prepare only; see `create`.

        Args:
            brokers: Address of the Kafka.
            prefix: Start of all names, and the group.
            sources: Partitions of each source topic by the end of its name; by default one, `events`.
            settings: More settings, by their name without `EXIMWATCH_`, for all that is run.
            partitions: Of the topics of ours, and of the source topic where `sources` does not say.
        """
        self._brokers = brokers
        self._prefix = prefix
        self._partitions = partitions
        self._sources = dict(sources or {"events": partitions})
        self._workers = ExitStack()
        self._admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        # Never subscribes, so it is no member of the group; it only asks.
        self._observer = Consumer(
            {"bootstrap.servers": brokers, "group.id": prefix, "enable.auto.commit": False, "log_level": 0}
        )
        self._settings = {
            "BROKERS": brokers,
            "TOPIC_PREFIX": prefix,
            "SOURCE_TOPICS": ",".join(self.source(name) for name in self._sources),
            "PARTITIONS": str(partitions),
            "REPLICATION_FACTOR": "1",
            "SESSION_TIMEOUT": "6s",
            "HTTP_LISTEN": "none",
            # What is waited for in tests is seldom there already; half a second each time adds up.
            "FETCH_MAX_WAIT": "50",
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill the workers that still run."""
        self._workers.close()
        self._observer.close()

    def source(self, name: str = "events") -> str:
        """The full name of a source topic."""
        return f"{self._prefix}.{name}"

    @cached_property
    def names(self) -> dict[str, str]:
        """Full names of the topics of ours."""
        return {
            "matches": f"{self._prefix}.matches",
            "alerts": f"{self._prefix}.alerts",
            "dead-letters": f"{self._prefix}.dead-letters",
            "changelog": f"{self._prefix}-new_terms-changelog",
            "lineage-changelog": f"{self._prefix}-lineage-changelog",
        }

    def create_sources(self) -> None:
        """Create the source topics, as their owner would."""
        create_topics(self._brokers, *(Topic(self.source(name), count) for name, count in self._sources.items()))

    def create(self) -> Self:
        """Create the source topics, and ours by the product's own command."""
        self.create_sources()
        done = self.run("topics", "create")
        assert 0 == done.returncode, done.stderr
        return self

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the product to its end; what it writes must be text."""
        done = self.run_bytes(*arguments, **settings)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def run_bytes(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command of the product to its end."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXIMWATCH_")}
        return subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            env={**inherited, **self._environment(settings)},
            cwd=REPOSITORY,
            capture_output=True,
            timeout=_COMMAND_DEADLINE_S,
            check=False,
        )

    def worker(self, *, command: tuple[str, ...] = COMMAND, log: Path | None = None, **settings: str) -> Worker:
        """A worker that was started, with a data directory of its own; settings by their names in lower case."""
        return self._workers.enter_context(Worker(self._environment(settings), command=command, log=log))

    def wait_shared(self, workers: Sequence[Worker], deadline: float = _DEADLINE_S) -> list[set[tuple[str, int]]]:
        """Wait until the workers have all source and matches partitions among them, each of them some.

        Returns:
            The (topic, partition) of each worker.
        """
        wanted = {*self._source_partitions(), *self._matches_partitions()}

        def shared() -> list[set[tuple[str, int]]]:
            for worker in workers:
                worker.check_running()
            parts = [assigned(worker) & wanted for worker in workers]
            complete = all(parts) and wanted == set().union(*parts) and len(wanted) == sum(map(len, parts))
            return parts if complete else []

        return wait_until(shared, deadline, f"a share of the partitions for each of {len(workers)} workers")

    def play(self, records: Iterable[Outgoing], source: str = "events") -> list[tuple[str, int, int]]:
        """Send records to a source topic, and return the position of each."""
        topic = self.source(source)
        return [(topic, *position) for position in produce(self._brokers, topic, records)]

    def send(self, topic: str, records: Iterable[Outgoing]) -> list[tuple[str, int, int]]:
        """Send records to a topic of ours, which only tests do, and return the position of each."""
        name = self.names[topic]
        return [(name, *position) for position in produce(self._brokers, name, records)]

    def wait_caught_up(self, *workers: Worker, deadline: float = _DEADLINE_S) -> None:
        """Wait until all that stands in the source topics, and then in the matches topic, is committed.

        Args:
            workers: They must stay alive meanwhile.
            deadline: Seconds for both.
        """
        for partitions in (self._source_partitions(), self._matches_partitions()):

            def committed(partitions: list[tuple[str, int]] = partitions) -> bool:
                for worker in workers:
                    worker.check_running()
                return not self._lag(partitions)

            try:
                wait_until(committed, deadline, "the worker to catch up", pause=_PAUSE_S)
            except TimeoutError as error:
                ends = "\n".join(worker.tail() for worker in workers)
                raise TimeoutError(f"{error}; lag {self._lag(partitions)}; the log ends:\n{ends}") from None

    def wait_alerts(self, count: int, *workers: Worker, deadline: float = _DEADLINE_S) -> None:
        """Wait until so many alerts stand in their topic, repeated ones too; the workers must stay alive meanwhile."""
        partitions = [(self.names["alerts"], number) for number in range(self._partitions)]

        def alerted() -> bool:
            for worker in workers:
                worker.check_running()
            return sum(self._ends(partitions).values()) >= count

        wait_until(alerted, deadline, f"{count} alerts")

    def lag(self) -> int:
        """How many records of the source and matches topics are not committed."""
        return sum(self._lag([*self._source_partitions(), *self._matches_partitions()]).values())

    def alerts(self) -> list[SeenAlert]:
        """All alerts, by partition and offset, each held to its schema."""
        records = read_topic(self._brokers, self.names["alerts"])
        return [seen_alert(record.value or b"", record.key) for record in records]

    def dead_letters(self) -> list[SeenDeadLetter]:
        """All dead letters, by partition and offset, each held to its schema."""
        records = read_topic(self._brokers, self.names["dead-letters"])
        for record in records:
            validate_dead_letter(record.headers)
        return [SeenDeadLetter(record.value, dict(record.headers)) for record in records]

    def matches(self) -> list[Record]:
        """All records of the matches topic, by partition and offset, each held to its schema."""
        records = read_topic(self._brokers, self.names["matches"])
        for record in records:
            validate_match_headers(record.headers)
        return records

    def committed(self) -> dict[tuple[str, int], int]:
        """What the group has committed in the source and matches topics."""
        return self._committed([*self._source_partitions(), *self._matches_partitions()])

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        named = {**self._settings, **{name.upper(): value for name, value in settings.items()}}
        return {f"EXIMWATCH_{name}": value for name, value in named.items()}

    def _source_partitions(self) -> list[tuple[str, int]]:
        return [(self.source(name), number) for name, count in self._sources.items() for number in range(count)]

    def _matches_partitions(self) -> list[tuple[str, int]]:
        return [(self.names["matches"], number) for number in range(self._partitions)]

    def _ends(self, partitions: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # its stub gives no types
        asked = {TopicPartition(topic, number): latest for topic, number in partitions}

        def answer() -> dict[tuple[str, int], int] | None:
            futures = self._admin.list_offsets(asked, request_timeout=_TIMEOUT_S)
            try:
                return {(place.topic, place.partition): future.result().offset for place, future in futures.items()}
            except KafkaException as error:
                # A topic that was created a moment ago; or a broker that came back, whose leaders' epochs the client
                # does not learn anew by itself.
                if error.args[0].code() in _LEADERS_TO_COME:
                    self._admin = AdminClient({"bootstrap.servers": self._brokers, "log_level": 0})
                    return None
                raise

        return wait_until(answer, _DEADLINE_S, "the leaders of topics")

    def _lag(self, partitions: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """How many records of each partition are not committed yet; partitions without any are left out."""
        ends = self._ends(partitions)
        committed = self._committed(partitions)
        return {place: lag for place, end in ends.items() if (lag := end - committed.get(place, 0))}

    def _committed(self, partitions: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        asked = [TopicPartition(*place) for place in partitions]

        def answer() -> list[TopicPartition] | None:
            try:
                return self._observer.committed(asked, timeout=_TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() in _LEADERS_TO_COME:
                    return None
                raise

        found = wait_until(answer, _DEADLINE_S, "the group's coordinator")
        return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}


def assigned(worker: Worker) -> set[tuple[str, int]]:
    """The (topic, partition) that a worker's newest ready line names."""
    lines = _READY_LINE.findall(worker.output())
    if not lines or lines[-1] == "nothing":
        return set()
    places = (place.rsplit(":", 1) for place in lines[-1].split())
    return {(topic, int(number)) for topic, number in places}

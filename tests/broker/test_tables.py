"""The table's databases and their changelog, damaged, lost and rebuilt: no alert is lost and none is raised anew."""

from __future__ import annotations

import re
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from app.errors import BrokenTableError, SettingsError
from app.runtime.database import OFFSET_KEY, tables_folder
from app.runtime.rebuild import Rebuild, RecoveryProgress
from app.runtime.table_kind import LINEAGE, NEW_TERMS
from tests.broker.history import Sent, history, replayed
from tests.broker.installation import PARTITIONS, Installation
from tests.broker.records import Outgoing, produce, read_topic
from tests.broker.topics import Topic, create_topics
from tests.broker.waiting import wait_until
from tests.events import event, raw
from tests.runtime.databases import databases_in, entries_of, entry, fill, overwrite_with_noise, processes, truncate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.runtime.database import Databases
    from app.runtime.table_kind import TableKind
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.worker import Worker

pytestmark = pytest.mark.broker

_STOP_S: Final = 15
_TIMEOUT_S: Final = 30
_SLOTS: Final = 64
_DAY: Final = 24 * 3600 * 10**9
_REBUILD: Final = re.compile("rebuilding table new_terms|table new_terms rebuilt")
_SETTINGS: Final = {"SESSION_TIMEOUT": "3s"}


class _Stream:
    """A history that is played in parts to one installation, and the alerts due over all that was played."""

    def __init__(self, installation: Installation, data_dir: Path, seed: int, parts: int) -> None:
        self.installation = installation
        self.data_dir = data_dir
        self.databases: Databases = databases_in(tables_folder(data_dir))
        sent = history(seed, 100 * parts)
        size = -(-len(sent) // parts)
        self._parts = [sent[begin : begin + size] for begin in range(0, len(sent), size)]
        self._played: list[Sent] = []

    @property
    def due(self) -> list[str]:
        """Ids of the alerts over what was played."""
        return sorted(alert.id for alert in replayed(self._played))

    def play(self) -> None:
        """Send the next part."""
        part = self._parts.pop(0)
        self.installation.play(record.keyed for record in part)
        self._played += part

    def worker(self) -> Worker:
        """A worker on the data directory."""
        return self.installation.worker(data_dir=str(self.data_dir))

    def judge(self, worker: Worker) -> str:
        """Play the next part to a worker, stop it in order, and return what it said."""
        self.play()
        self.installation.wait_caught_up(worker)
        assert 0 == worker.stop(_STOP_S)
        return worker.output()

    def ids(self) -> list[str]:
        """Ids of the alerts that were raised."""
        return sorted(alert.id for alert in self.installation.alerts())


@contextmanager
def _stream(
    kafka: Kafka | GivenKafka, prefix: str, data_dir: Path, seed: int, parts: int, *, repeats: bool = False
) -> Iterator[_Stream]:
    """A stream, whose alerts are compared at the end; with `repeats` an id may have been raised more than once."""
    with Installation(kafka.brokers, prefix, settings=_SETTINGS).create() as installation:
        stream = _Stream(installation, data_dir, seed, parts)
        yield stream
        found = stream.ids()
        assert stream.due == (sorted(set(found)) if repeats else found)
        assert [] == installation.dead_letters()


def _deletions(output: str) -> dict[str, str]:
    """Why databases were deleted, by their names."""
    lines = [line for line in output.splitlines() if " is deleted and will be rebuilt from the changelog: " in line]
    told = (line.partition("table database ")[2].partition(" is deleted and will be rebuilt ") for line in lines)
    return {path.rsplit("/", 1)[1]: reason for path, _, reason in told}


def test_broken_databases_are_rebuilt(kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path) -> None:
    """Truncated, noise, marked, without CURRENT; ahead of the changelog, with an expired entry; gone; without a log.

    Each time one line a database says why it is deleted, and the next part of the history is judged as if nothing
    had been. When they are gone the changelog has been compacted: its offsets have gaps.
    """
    with _stream(kafka, topic_prefix, tmp_path / "data", 51, 5) as stream:
        databases = stream.databases
        changelog = stream.installation.names["changelog"]
        worker = stream.worker()
        assert {} == _deletions(stream.judge(worker))
        _compact_at_once(kafka.brokers, changelog)

        truncate(databases.path(0))
        overwrite_with_noise(databases.path(1))
        databases.mark(2, "a reason of yesterday")
        (databases.path(3) / "CURRENT").unlink()
        worker.start()
        deletions = _deletions(stream.judge(worker))
        assert {f"new_terms-{number}.db" for number in range(PARTITIONS)} == set(deletions)
        assert "size mismatch" in deletions["new_terms-0.db"]
        assert "Corruption" in deletions["new_terms-1.db"]
        assert "a reason of yesterday" in deletions["new_terms-2.db"]
        assert "CURRENT is missing" in deletions["new_terms-3.db"]

        old = entry(1, time.time_ns() - 400 * _DAY)
        fill(databases, 0, [], offset=10**6)
        fill(databases, 1, [old])
        worker.start()
        output = stream.judge(worker)
        assert ["new_terms-0.db"] == list(_deletions(output))
        assert "ends before offset" in _deletions(output)["new_terms-0.db"]
        assert " 1 of them purged" in output
        opened = databases.open(1)
        assert opened.get(old[0]) is None
        opened.close()

        def compacted() -> bool:
            return len(read_topic(kafka.brokers, changelog)) < sum(_ends(kafka.brokers, changelog))

        wait_until(compacted, _TIMEOUT_S, "a compaction")
        shutil.rmtree(stream.data_dir)
        worker.start()
        output = stream.judge(worker)
        assert {} == _deletions(output)
        assert re.search(r"table new_terms rebuilt: [1-9]\d* changelog records", output)

        # What the worker has on disk does not need the changelog any more.
        ends = _delete_all_records(kafka.brokers, changelog)
        assert 0 < min(ends)
        worker.start()
        assert {} == _deletions(stream.judge(worker))


def test_processes_are_rebuilt_with_all_that_is_derived(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Their databases are guarded as those of terms, and a rebuilt one is as the one that was written live.

    Broken in four ways; ahead of the changelog; gone. Each partition holds the ring of one host, which turns.
    """
    folder = tables_folder(tmp_path / "data")
    databases = databases_in(folder, LINEAGE)
    now = time.time_ns()
    rings = [processes(f"host-{number}", range(2 * _SLOTS), _SLOTS, now) for number in range(PARTITIONS)]
    expected = [entries_of(changes) for changes in rings]
    settings = {**_SETTINGS, "LINEAGE_SLOTS": str(_SLOTS)}
    with Installation(kafka.brokers, topic_prefix, settings=settings).create() as installation:
        worker = installation.worker(data_dir=str(tmp_path / "data"))
        worker.wait_ready()
        assert 0 == worker.stop(_STOP_S)

        def rebuilt() -> dict[str, str]:
            """Why databases were deleted by a worker that started; what it left is as it must be."""
            worker.start()
            worker.wait_ready()
            assert 0 == worker.stop(_STOP_S)
            assert expected == [_entries(databases, number) for number in range(PARTITIONS)]
            return _deletions(worker.output())

        changes = ((number, change) for number, ring in enumerate(rings) for change in ring)
        installation.send(
            "lineage-changelog", (Outgoing(key, value, partition=number) for number, (key, value) in changes)
        )
        assert {} == rebuilt()

        truncate(databases.path(0))
        overwrite_with_noise(databases.path(1))
        databases.mark(2, "a reason of yesterday")
        (databases.path(3) / "CURRENT").unlink()
        deletions = rebuilt()
        assert {f"lineage-{number}.db" for number in range(PARTITIONS)} == set(deletions)
        assert "size mismatch" in deletions["lineage-0.db"]
        assert "Corruption" in deletions["lineage-1.db"]

        fill(databases, 0, [], offset=10**6)
        assert ["lineage-0.db"] == list(rebuilt())

        shutil.rmtree(folder)
        assert {} == rebuilt()
        assert re.search(r"table lineage rebuilt: [1-9]\d* changelog records", worker.output())


def test_processes_of_a_history_are_in_the_changelog(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """What a worker wrote live, it would rebuild: database and changelog say the same, up to the same offset."""
    with _stream(kafka, topic_prefix, tmp_path / "data", 53, 1) as stream:
        stream.judge(stream.worker())
        databases = databases_in(tables_folder(stream.data_dir), LINEAGE)
        changelog = stream.installation.names["lineage-changelog"]
        records = read_topic(kafka.brokers, changelog)
        written = [
            entries_of((record.key or b"", record.value) for record in records if record.partition == number)
            for number in range(PARTITIONS)
        ]

        assert 10 < len(records)
        assert written == [_entries(databases, number) for number in range(PARTITIONS)]
        ends = _ends(kafka.brokers, changelog)
        assert ends == [_offset(databases, number) + 1 for number in range(PARTITIONS)]


def test_processes_of_a_host_are_bounded_by_the_setting(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """As many as there are slots stay in the changelog and in the database, the latest among them."""
    sent = [Outgoing(b"mail01", raw(event("exim4", process__entity_id=f"delivery-{number}"))) for number in range(40)]
    with Installation(kafka.brokers, topic_prefix, settings=_SETTINGS).create() as installation:
        worker = installation.worker(data_dir=str(tmp_path / "data"), lineage_slots="16")
        installation.play(sent)
        installation.wait_caught_up(worker)
        assert 0 == worker.stop(_STOP_S)
        records = read_topic(kafka.brokers, installation.names["lineage-changelog"])
        databases = databases_in(tables_folder(tmp_path / "data"), LINEAGE)
        stored = [key for number in range(PARTITIONS) for key in _entries(databases, number) if key[1:2] == b"P"]

        kept = {record.key for record in records if record.value is not None} - {
            record.key for record in records if record.value is None
        }
        assert 16 == len(kept) == len(stored)
        assert any(key.endswith(b"delivery-39") for key in stored)


def test_held_database_refuses_the_start(kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path) -> None:
    """Whoever holds it is alive; nothing is deleted, and the worker never joins."""
    databases = databases_in(tables_folder(tmp_path / "data"))
    databases.path(0).parent.mkdir(parents=True)
    fill(databases, 0, [entry(1, time.time_ns())])
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        held = databases.open(0)
        refused = installation.run("worker", data_dir=str(tmp_path / "data"))

        assert SettingsError.exit_code == refused.returncode
        assert f"eximwatch: table database {databases.path(0)} is held by a live process" in refused.stderr
        assert {} == installation.committed()
        assert 1 == len(list(held.items()))
        held.close()


@pytest.mark.parametrize("kind", [NEW_TERMS, LINEAGE], ids=lambda kind: kind.name)
def test_damage_met_while_judging_ends_the_worker(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path, kind: TableKind
) -> None:
    """With 11 and a mark, before anything is committed that was judged by it; the next start rebuilds and goes on."""
    with _stream(kafka, topic_prefix, tmp_path / "data", 52, 2, repeats=True) as stream:
        worker = stream.worker()
        stream.judge(worker)
        databases = databases_in(tables_folder(stream.data_dir), kind)
        for partition in range(PARTITIONS):
            _keep_offset_apart(databases, partition)
        worker.start()
        worker.wait_ready()
        for partition in range(PARTITIONS):
            overwrite_with_noise(databases.path(partition))
        stream.play()
        assert BrokenTableError.exit_code == worker.wait_end(_TIMEOUT_S), worker.tail()
        assert "is damaged: Corruption" in worker.output()
        marked = {file.name for file in tables_folder(stream.data_dir).glob("*.broken")}
        assert marked
        worker.start()
        stream.installation.wait_caught_up(worker)
        assert {name.removesuffix(".broken") for name in marked} <= set(_deletions(worker.output()))
        assert [] == list(tables_folder(stream.data_dir).glob("*.broken"))


def test_kill_and_join_in_a_rebuild_go_right(kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path) -> None:
    """A worker is killed while it rebuilds, and a second one joins while it does so again.

    Both end up with what is theirs, and judge as if nothing had been.
    """
    with _stream(kafka, topic_prefix, tmp_path / "data", 54, 2) as stream:
        worker = stream.worker()
        stream.judge(worker)
        now = time.time_ns()
        fillers = (Outgoing(*entry(number, now), partition=number % PARTITIONS) for number in range(200_000))
        stream.installation.send("changelog", fillers)
        shutil.rmtree(stream.data_dir)
        worker.start()
        wait_until(lambda: _REBUILD.search(worker.output()), _TIMEOUT_S, "a rebuild", pause=0.001)
        worker.kill()
        worker.start()
        wait_until(lambda: _REBUILD.search(worker.output()), _TIMEOUT_S, "the next one", pause=0.001)
        second = stream.installation.worker()
        stream.play()
        stream.installation.wait_caught_up(worker, second)
        stream.installation.wait_shared([worker, second])


def test_abandoned_rebuild_is_gone_on_with(kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path) -> None:
    """It ends in between with its databases closed; the next one reads the rest, and all entries are there."""
    total = 45_000
    create_topics(kafka.brokers, Topic(topic_prefix, 2))
    entries = [entry(number, 10**18, number) for number in range(total)]
    produce(kafka.brokers, topic_prefix, (Outgoing(*one, partition=number % 2) for number, one in enumerate(entries)))
    databases = databases_in(tmp_path)
    progress = _Abandoning(20_000)
    abandoned = _rebuild(kafka.brokers, topic_prefix, databases, progress)
    progress.rebuild = abandoned
    abandoned.run()
    applied = progress.done

    assert abandoned.abandoned
    assert {} == abandoned.opened
    assert not progress.active

    progress.rebuild = None
    rebuild = _rebuild(kafka.brokers, topic_prefix, databases, progress)
    rebuild.run()

    assert total == progress.done
    assert total + total - applied == progress.total
    found = {key: value for database in rebuild.opened.values() for key, value in database.items()}
    found.pop(OFFSET_KEY)
    assert dict(entries) == found
    rebuild.close()


class _Abandoning(RecoveryProgress):
    """Abandons a rebuild once it has done so many entries, wherever it is then."""

    rebuild: Rebuild | None = None

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "done" and self.rebuild is not None and self.done >= self._limit:
            self.rebuild.abandon()


def _rebuild(brokers: str, topic: str, databases: Databases, progress: RecoveryProgress) -> Rebuild:
    return Rebuild({"bootstrap.servers": brokers}, topic, topic, databases, {}, [0, 1], progress)


def _keep_offset_apart(databases: Databases, partition: int) -> None:
    """Write the offset again, into a file of its own: the block of a small table would else be in the cache."""
    fill(databases, partition, [], offset=_offset(databases, partition))


def _offset(databases: Databases, partition: int) -> int:
    """How far a database holds its changelog; -1 where it was never told."""
    opened = databases.open(partition)
    offset = int(opened.get(OFFSET_KEY) or b"-1")
    opened.close()
    return offset


def _entries(databases: Databases, partition: int) -> dict[bytes, bytes]:
    opened = databases.open(partition)
    found = {key: value for key, value in opened.items() if isinstance(key, bytes) and key != OFFSET_KEY}
    opened.close()
    return found


def _compact_at_once(brokers: str, topic: str) -> None:
    configs = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "min.compaction.lag.ms": "0"}
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in configs.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": brokers})  # must live until it has answered
    admin.incremental_alter_configs([resource])[resource].result(_TIMEOUT_S)


def _ends(brokers: str, topic: str) -> list[int]:
    asking = Consumer({"bootstrap.servers": brokers, "group.id": "tests-ends"})
    try:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return [asking.get_watermark_offsets(place, timeout=_TIMEOUT_S)[1] for place in places]
    finally:
        asking.close()


def _delete_all_records(brokers: str, topic: str) -> list[int]:
    """Move the beginning of each partition to its end, as retention does; return the ends."""
    ends = _ends(brokers, topic)
    places = [TopicPartition(topic, number, end) for number, end in enumerate(ends)]
    admin = AdminClient({"bootstrap.servers": brokers})  # must live until it has answered
    for future in admin.delete_records(places).values():
        future.result(_TIMEOUT_S)
    return ends

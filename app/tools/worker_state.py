"""What the workers know of one event's terms and host, read from the changelogs of their tables, as of now."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from app.core.engine import Arrival, Engine, Examination, Route, baseline_key
from app.core.event import JsonObject
from app.core.new_terms import epoch_of, term_key
from app.core.ring import belongs_to
from app.errors import TopicsError
from app.runtime.link import client_config
from app.runtime.partition import partition_of
from app.runtime.records import NotAMatchError, SourcePosition, read_match_headers
from app.runtime.settings import Settings
from app.runtime.topic_answers import topic_ids
from app.runtime.topics import admin_client
from app.tools.history import History
from app.tools.topic_reader import StoredRecord, TopicReader

_MILLISECOND = 1_000_000
_SKEW_MS = 600_000
_NO_OFFSET = 2**62  # later than all that was applied


class WorkerState:
    """The tables and the matches topic of an installation, as far as one event is concerned.

    Every method may raise BrokerError where Kafka can't be reached or refuses, TopicsError where a topic is missing.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare; reads nothing."""
        self._settings = settings
        self._link = client_config(settings)
        with TopicReader(self._link, settings.matches_topic) as reader:
            self._partitions = len(reader.partitions())
        self._id = topic_ids(admin_client(settings), [settings.matches_topic])[settings.matches_topic]

    def partition(self, route: Route) -> int:
        """Where the records of a route stand, in the matches topic and in the changelogs."""
        return partition_of(route.key, self._partitions)

    def history(self, engine: Engine, examination: Examination) -> History:
        """What the tables hold of an event's terms, of their baselines, and of the host's processes."""
        history = History(engine, self._settings.lineage_slots)
        for partition, keys in self._keys(examination).items():
            for key, value in self._changelog(self._settings.changelog_topic, partition, keys):
                history.enter(key, value)
        for route in filter(examination.tells_of, examination.routes()):
            with TopicReader(self._link, self._settings.lineage_changelog_topic) as reader:
                for record in reader.read_partition(self.partition(route)):
                    if record.key and examination.host and belongs_to(record.key, examination.host):
                        history.remember(record.key, record.value)
        return history

    def match(self, route: Route, source: SourcePosition) -> StoredRecord | None:
        """The record of the matches topic that the first step made of a source record for a route: the first one."""
        since = None if source.timestamp is None else max(0, source.timestamp - _SKEW_MS)
        with TopicReader(self._link, self._settings.matches_topic) as reader:
            for record in reader.read_partition(self.partition(route), since):
                try:
                    said = read_match_headers(record.key, record.headers)
                except NotAMatchError:
                    continue
                if said.route == route and said.source.shown() == source.shown():
                    return record
        return None

    def arrival(self, route: Route, match: StoredRecord | None, source: JsonObject, now: int) -> Arrival:
        """How a match arrived or, where there is none, would arrive now; `now` in nanoseconds since 1970."""
        epoch = epoch_of(self._id, self.partition(route))
        if match is None:
            return Arrival(epoch, _NO_OFFSET, now, source)
        taken_at = now if match.time is None else match.time * _MILLISECOND
        return Arrival(epoch, match.offset, taken_at, source)

    def _keys(self, examination: Examination) -> dict[int, set[bytes]]:
        keys: dict[int, set[bytes]] = {}
        for route in examination.routes():
            wanted = keys.setdefault(self.partition(route), set())
            for rule, term in examination.due(route):
                wanted.add(term_key(rule.id, rule.fields, term))
                wanted.update(filter(None, [baseline_key(rule, term)]))
        return {partition: wanted for partition, wanted in keys.items() if wanted}

    def _changelog(self, topic: str, partition: int, keys: Collection[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        with TopicReader(self._link, topic) as reader:
            if partition not in reader.partitions():
                raise TopicsError(f"topic {topic} has no partition {partition}; run `eximwatch topics check`")
            for record in reader.read_partition(partition):
                if record.key in keys:
                    yield record.key or b"", record.value

"""`eximwatch explain` at the terminal: which event, what it is compared with, and how the answer is printed."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from app.core.document import encode_document
from app.core.engine import Arrival, Engine, Route
from app.core.event import JsonObject
from app.core.shown import shown
from app.errors import InputError
from app.runtime.link import client_config
from app.runtime.records import NotAMatchError, SourcePosition, read_match_headers
from app.runtime.settings import Settings
from app.tools.dead_letters_command import reader_may_leave
from app.tools.decisions import Subject
from app.tools.explain_alert import CarriedAlert
from app.tools.explain_input import read_record
from app.tools.explanation import explain
from app.tools.explanation_tree import tree_of
from app.tools.history import History
from app.tools.replay import Replay
from app.tools.screen import json_line
from app.tools.topic_reader import NoRecordError, StoredRecord, TopicReader
from app.tools.worker_state import WorkerState

_PLACE = re.compile(r"([A-Za-z0-9._-]{1,249}):(\d{1,9}):(\d{1,18})", re.ASCII)
_DESCENT = ("lineage", "assessment")
_LAST = 2**62  # an offset after all others
_UNWRAPPED = 1_000_000  # columns: lines of a file or pipe stay whole
_UNKNOWN = "no history: no term is known (--history FILE gives one)"
_FORWARDED_LATER = (
    "the matches topic holds no record of it: the first step is not there yet, or the topic has dropped it; judged "
    "as if it came now"
)


class Explainer:
    """Explains single events with one engine."""

    def __init__(self, engine: Engine, settings: Settings, taken_at: int, history: Sequence[str] = ()) -> None:
        """Bind to what judges.

        Args:
            engine: Rules and standards.
            settings: How to reach Kafka, and the names of topics.
            taken_at: When an event of a file is taken to arrive, nanoseconds since 1970.
            history: Files that are judged before.
        """
        self._engine = engine
        self._settings = settings
        self._taken_at = taken_at
        self._history = history

    def line(self, name: str, *, of_workers: bool) -> JsonObject:
        """Explain the record at `FILE[:LINE]`, over the files of the history or what the workers know.

        Raises:
            InputError: A file can't be read, or has no such record.
        """
        line = read_record(name)
        source: JsonObject = {"file": _shown_name(line.file), "line": line.number}
        if of_workers:
            return self._over_workers(self._engine, line.raw, None, source, {})
        return self._over_files(self._engine, line.raw, None, source, (line.file, line.number))

    def record(self, topic: str, partition: int, offset: int) -> JsonObject:
        """Explain a record of a source topic or of the matches topic.

        Raises:
            InputError: There is none.
        """
        with TopicReader(client_config(self._settings), topic) as reader:
            try:
                found = reader.at(partition, offset)
            except NoRecordError as error:
                raise InputError(f"no record at {topic}:{partition}:{offset}: {error}") from None
        if found.value is None:
            raise InputError(f"the record at {topic}:{partition}:{offset} has no value: workers pass over it")
        source = SourcePosition(topic, partition, offset, found.time)
        own: dict[Route, StoredRecord] = {}
        engine = self._engine
        if topic == self._settings.matches_topic:
            try:
                said = read_match_headers(found.key, found.headers)
            except NotAMatchError as error:
                raise InputError(f"the record at {topic}:{partition}:{offset} is no match: {error}") from None
            source, own = said.source, {said.route: found}
            engine = engine.reading(said.source_format)
        if self._history:
            return self._over_files(engine, found.value, source.nanoseconds, source.shown(), None)
        return self._over_workers(engine, found.value, source, source.shown(), own)

    def alert(self, carried: CarriedAlert) -> JsonObject:
        """Explain an alert by what it carries."""
        return carried.explain(self._engine.rules)

    def alert_of_id(self, uuid: str) -> JsonObject:
        """Explain the source record of an alert, and check what the alert carries.

        Raises:
            InputError: No such alert stands in the topic of alerts.
        """
        carried = self._find(uuid)
        source = carried.said.detector.source
        document = self.alert(carried)
        if "topic" not in source:
            return document
        try:
            found = self.record(source["topic"], source["partition"], source["offset"])
        except InputError as error:
            document["notes"].append(f"explained by the alert alone: {error}")
            return document
        if found["record_sha256"] != carried.said.detector.record_sha256:
            document["notes"].append("explained by the alert alone: another record stands at its source's position now")
            return document
        carries = {"term": document["rules"][0]["terms"][0], **{name: document[name] for name in _DESCENT}}
        return found | {"checks": document["checks"], "alert": carries}

    def _find(self, uuid: str) -> CarriedAlert:
        topic = self._settings.alerts_topic
        with TopicReader(client_config(self._settings), topic) as reader:
            for record in reader.read():
                if record.value is not None and uuid.encode() in record.value:
                    position = f"{topic}:{record.partition}:{record.offset}"
                    carried = CarriedAlert(record.value, position)
                    if carried.said.uuid == uuid:
                        return carried
        raise InputError(
            f"no alert {uuid} in {topic}: `eximwatch alerts tail --from earliest --json` shows those there are"
        )

    def _over_files(
        self, engine: Engine, raw: bytes, timestamp: int | None, source: JsonObject, place: tuple[str, int] | None
    ) -> JsonObject:
        """Explain over the files of the history; what stands in one of them from `place` on is left out."""
        replay = Replay(self._engine, self._taken_at)
        notes: list[str] = []
        for name in self._history:
            before = place[1] if place is not None and _is_same(name, place[0]) else None
            if before is not None:
                notes.append(f"of {_shown_name(name)} the lines before {before} are the history")
            for _ in replay.file(name, before):
                pass
        judged = sum(replay.summary.verdicts.values())
        compared_with = (
            f"{judged} matches in {', '.join(map(_shown_name, self._history))}" if self._history else _UNKNOWN
        )
        arrival = Arrival(0, _LAST, self._taken_at, source)
        subject = Subject(raw, timestamp, source, lambda _: arrival)
        return explain(engine, replay.history, subject, time.time_ns(), compared_with, notes)

    def _over_workers(
        self,
        engine: Engine,
        raw: bytes,
        source: SourcePosition | None,
        shown_source: JsonObject,
        own: dict[Route, StoredRecord],
    ) -> JsonObject:
        """Explain over the workers' tables, at the positions that the matches topic gave the event, if it did."""
        now = time.time_ns()
        timestamp = None if source is None else source.nanoseconds
        examination = engine.examine(raw, timestamp)
        routes = examination.routes()
        history, arrivals, notes = History(engine), {}, []
        if routes:
            state = WorkerState(self._settings)
            history = state.history(engine, examination)
            for route in routes:
                match = own.get(route) or (None if source is None else state.match(route, source))
                arrivals[route] = state.arrival(route, match, shown_source, now if source else self._taken_at)
                if match is not None:
                    notes.append(f"its match stands at {match.topic}:{match.partition}:{match.offset}")
                elif source is not None:
                    notes.append(_FORWARDED_LATER)
        idle = Arrival(0, _LAST, now, shown_source)
        subject = Subject(raw, timestamp, shown_source, lambda route: arrivals.get(route, idle))
        compared_with = "what the workers know as of now, by the changelogs of their tables"
        return explain(engine, history, subject, now, compared_with, list(dict.fromkeys(notes)))


def parse_place(text: str) -> tuple[str, int, int]:
    """Topic, partition and offset.

    Raises:
        InputError: It is not written like that.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise InputError(f"{text!r} is no position: write TOPIC:PARTITION:OFFSET, as alerts have it in detector.source")
    return found[1], int(found[2]), int(found[3])


def read_alert(name: str) -> CarriedAlert:
    """The alert at `FILE[:LINE]`.

    Raises:
        InputError: It can't be read, or is no alert.
    """
    line = read_record(name)
    return CarriedAlert(line.raw, f"{_shown_name(line.file)}:{line.number}")


def show(document: JsonObject, *, as_json: bool) -> bool:
    """Print an explanation to standard output.

    Returns:
        Whether what was compared agrees.
    """
    with reader_may_leave():
        if as_json:
            sys.stdout.buffer.write(json_line(encode_document(document), sys.stdout.buffer))
            sys.stdout.buffer.flush()
        else:
            console = Console(highlight=False)
            if not console.is_terminal:
                console.width = _UNWRAPPED
            console.print(tree_of(document))
    return all(check["result"] for check in document.get("checks", ()))


def _is_same(name: str, other: str) -> bool:
    return name == other or (Path(name).exists() and Path(other).exists() and Path(name).samefile(other))


def _shown_name(name: str) -> str:
    return shown(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))

"""The two steps of the worker, each in the order of its effects. This file is the heart of delivery.

match:   decode and evaluate (pure) → dead letters, confirmed → forward … confirmed → done
novelty: decode and evaluate (pure) → process into the lineage table and changelog …
         assess (pure) → alert, confirmed → baseline, then term, into the new-terms table and changelog …
         all confirmed → done

At the dots the next record may begin: what is sent there keeps its order, and is confirmed in the background. A new
term is announced in the background as well; the next record of the same term waits for it, and what follows that too.
Announcements of one baseline write in the order of their records; what they will write is known to those that follow.

A crash before the table's write replays the record and gives the same alert id again; after it the applied
position says that the record was judged. The table must never be written before its alert is confirmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from app.core.alert import Alert
from app.core.baseline import BaselineRecord, decode_baseline, encode_baseline
from app.core.dead_letter import DeadLetter
from app.core.engine import Arrival, Engine, Examination, Memory, baseline_key
from app.core.event import ProcessEvent
from app.core.lineage import NOTHING, LookUp
from app.core.new_terms import Term, decode_record, encode_record, epoch_of, term_key
from app.core.ring import SLOTS, Read, Ring
from app.core.rule import Rule
from app.core.source_format import seems_wrapped
from app.runtime.counts import Counts
from app.runtime.effects import Effects
from app.runtime.in_flight import Unconfirmed
from app.runtime.log import logger
from app.runtime.records import NotAMatchError, ReadHeaders, SourcePosition, read_match_headers

_MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """A record as a step sees it: its position, its time in milliseconds since 1970, and its parts."""

    position: SourcePosition
    key: bytes | None
    value: bytes | None
    headers: ReadHeaders


class MatchStep:
    """The first step: from a source record to records of the matches topic."""

    def __init__(self, engine: Engine, effects: Effects, counts: Counts) -> None:
        """Bind to what judges, what acts and what counts."""
        self._engine = engine
        self._effects = effects
        self._counts = counts
        self._told_of_wrapping = engine.source_format != "ecs"

    async def process(self, record: Record) -> list[Unconfirmed]:
        """Process one source record; it is done when what is returned is confirmed."""
        raw = record.value
        unconfirmed: list[Unconfirmed] = []
        if raw is None:
            self._counts.null += 1
            return unconfirmed
        if not self._engine.needles.is_candidate(raw):
            self._counts.scanned += 1
            return unconfirmed
        self._counts.candidates += 1
        examination = self._engine.examine(raw, record.position.nanoseconds)
        self._counts.matches.update(match.rule.id for match in examination.matches)
        for letter in examination.dead_letters:
            await self._effects.dead_letter(letter, record.position, raw)
        is_silent = not examination.matches and not examination.dead_letters
        if examination.is_member and examination.host is None and is_silent:
            self._counts.without_host += 1
        if is_silent and not self._told_of_wrapping and examination.event is not None:
            self._tell_of_wrapping(examination.event, record.position)
        for route in examination.routes():
            sent = await self._effects.forward(route, record.position, raw)
            if sent is not None:
                unconfirmed.append(sent)
                self._counts.forwarded += 1
        return unconfirmed

    def _tell_of_wrapping(self, event: ProcessEvent, at: SourcePosition) -> None:
        """Say once that events seem to be wrapped: read as they are, none of them would ever match."""
        if seems_wrapped(event):
            self._told_of_wrapping = True
            logger.warning(
                "the record at {topic}:{partition}:{offset} seems to hold its event as text in its field message, and "
                "is not judged as one: if so, set EXIMWATCH_SOURCE_FORMAT=message (said once)",
                topic=at.topic,
                partition=at.partition,
                offset=at.offset,
            )


@dataclass(frozen=True, slots=True)
class Reads:
    """How the second step reads its tables, by the partition of the record that is being processed.

    Attributes:
        terms: The new-terms table.
        lineage: The lineage table.
        slots: Processes that are remembered of a host.
    """

    terms: Read
    lineage: Read
    slots: int = SLOTS


@dataclass(frozen=True, slots=True)
class _Announcement:
    """An alert that is under way, and the baseline that will be written after it."""

    task: asyncio.Task[None]
    baseline: BaselineRecord


@dataclass(frozen=True, slots=True)
class _CountedAlert:
    """An alert, with what is counted once it is confirmed: its level, and the times it is late by."""

    alert: Alert
    rule_id: str
    level: str
    times: Mapping[str, int | None]


class NoveltyStep:
    """The second step: from a record of the matches topic to alerts and the state of its terms."""

    def __init__(
        self, engine: Engine, effects: Effects, reads: Reads, now: Callable[[], int], topic_id: str, counts: Counts
    ) -> None:
        """Bind to the tables, the present time `now` in nanoseconds, and the matches topic's id."""
        self._engine = engine
        self._effects = effects
        self._reads = reads
        self._now = now
        self._topic_id = topic_id
        self._counts = counts
        self._announcing: dict[bytes, asyncio.Task[None]] = {}  # by the key of the term
        self._watching: dict[bytes, _Announcement] = {}  # by the key of the baseline, the latest of each

    async def process(self, record: Record) -> list[Unconfirmed]:
        """Process one record of the matches topic; it is done when what is returned is confirmed."""
        raw = record.value
        unconfirmed: list[Unconfirmed] = []
        if raw is None:
            letter = DeadLetter("not_a_match", "a record without a value")
            await self._effects.dead_letter(letter, record.position, b"")
            return unconfirmed
        try:
            headers = read_match_headers(record.key, record.headers)
        except NotAMatchError as error:
            await self._effects.dead_letter(DeadLetter("not_a_match", str(error)), record.position, raw)
            return unconfirmed
        examination = self._engine.examine(raw, headers.source.nanoseconds, headers.source_format)
        if examination.event is None:
            # What can't be read was reported by the first step; here it can only be a difference of versions.
            for letter in examination.dead_letters:
                await self._effects.dead_letter(letter, headers.source, raw)
        taken_at = record.position.nanoseconds
        arrival = Arrival(
            epoch_of(self._topic_id, record.position.partition),
            record.position.offset,
            self._now() if taken_at is None else taken_at,
            headers.source.shown(),
        )
        due = list(examination.due(headers.route))
        is_told_of = examination.tells_of(headers.route)
        if not due and not is_told_of and examination.event is not None:
            detail = "no rule here judges it by its route: do all workers have the same rules?"
            await self._effects.dead_letter(DeadLetter("not_a_match", detail), headers.source, raw)
        look_up = NOTHING
        if is_told_of and examination.host is not None:
            ring = Ring(self._reads.lineage, examination.host, self._reads.slots, arrival.taken_at)
            failure = self._engine.remember(examination, arrival, ring)
            if failure is not None:
                await self._effects.dead_letter(failure, headers.source, raw)
            else:
                unconfirmed += await self._effects.remember(ring.changes)
                look_up = ring.find
        for rule, term in due:
            unconfirmed += await self._judge(rule, term, examination, arrival, look_up, headers.source, raw)
        return unconfirmed

    async def _judge(
        self,
        rule: Rule,
        term: Term,
        examination: Examination,
        arrival: Arrival,
        look_up: LookUp,
        source: SourcePosition,
        raw: bytes,
    ) -> list[Unconfirmed]:
        """Judge one term, and begin what follows from it; gives what is still to be confirmed."""
        key = term_key(rule.id, rule.fields, term)
        await self._barrier(key)
        stored = self._reads.terms(key)
        known = None if stored is None else decode_record(stored)
        watched = baseline_key(rule, term)
        memory = Memory(None if watched is None else self._baseline(watched), look_up)
        judgement = self._engine.judge(rule, term, examination, known, arrival, raw, self._now(), memory)
        if isinstance(judgement, DeadLetter):
            await self._effects.dead_letter(judgement, source, raw)
            return []
        self._counts.verdicts[rule.id, judgement.assessment.verdict.value] += 1
        entries = [(key, encode_record(judgement.assessment.record))]
        if watched is not None and judgement.baseline is not None:
            # Before the term: a replay that finds the term must find it counted.
            entries.insert(0, (watched, encode_baseline(judgement.baseline)))
        before = None if watched is None else self._watching.get(watched)
        if judgement.alert is None:
            if before is not None and len(entries) > 1:
                await asyncio.wait([before.task])
            return [await self._effects.write(*entry) for entry in entries]
        previous = None if before is None else before.task
        times = {"clock": judgement.clock, "source": source.nanoseconds, "match": arrival.taken_at}
        announced = _CountedAlert(judgement.alert, rule.id, judgement.level or "", times)
        task = asyncio.create_task(self._announce(announced, source, raw, entries, previous))
        self._announcing[key] = task
        task.add_done_callback(partial(self._announced, key, watched))
        if watched is not None and judgement.baseline is not None:
            self._watching[watched] = _Announcement(task, judgement.baseline)
        return [Unconfirmed(task, "an alert or its entries")]

    async def _announce(
        self,
        announced: _CountedAlert,
        source: SourcePosition,
        raw: bytes,
        entries: Sequence[tuple[bytes, bytes]],
        previous: asyncio.Task[None] | None,
    ) -> None:
        """Alert, and once that is confirmed write the entries, after those of the baseline's previous new term."""
        if await self._effects.alert(announced.alert, announced.rule_id, source, raw):
            self._counts.alerts[announced.rule_id, announced.level] += 1
            now = self._now()
            for since, begin in announced.times.items():
                self._counts.latencies[since].observe(begin, now)
        if previous is not None:
            await asyncio.wait([previous])
        written = [await self._effects.write(*entry) for entry in entries]
        for one in written:
            await one.future

    def _announced(self, key: bytes, watched: bytes | None, task: asyncio.Task[None]) -> None:
        """What follows reads the table again. A failure is told to the operator elsewhere, and ends the process."""
        del self._announcing[key]
        if watched is not None and watched in self._watching and self._watching[watched].task is task:
            del self._watching[watched]

    def _baseline(self, key: bytes) -> BaselineRecord | None:
        """A baseline as it will be when all that is under way is written."""
        if key in self._watching:
            return self._watching[key].baseline
        stored = self._reads.terms(key)
        return None if stored is None else decode_baseline(stored)

    async def _barrier(self, key: bytes) -> None:
        """Wait while a new term is announced: what comes next of it must find its entry."""
        announced = self._announcing.get(key)
        if announced is not None:
            await asyncio.wait([announced])

"""The two steps of the worker, each in the order of its effects. This file is the heart of delivery.

match:   decode and evaluate (pure) → dead letters, confirmed → forward … confirmed → done
novelty: decode and evaluate (pure) → assess (pure) → alert, confirmed → table and changelog … confirmed → done

At the dots the next record may begin: what is sent there keeps its order, and is confirmed in the background. A new
term is announced in the background as well; the next record of the same term waits for it, and what follows that too.

A crash before the table's write replays the record and gives the same alert id again; after it the applied
position says that the record was judged. The table must never be written before its alert is confirmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app.core.alert import Alert
from app.core.dead_letter import DeadLetter
from app.core.engine import Arrival, Engine
from app.core.new_terms import decode_record, encode_record, epoch_of, term_key
from app.runtime.counts import Counts
from app.runtime.effects import Effects
from app.runtime.in_flight import Unconfirmed
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
        for letter in examination.dead_letters:
            await self._effects.dead_letter(letter, record.position, raw)
        for route in examination.routes():
            sent = await self._effects.forward(route, record.position, raw)
            if sent is not None:
                unconfirmed.append(sent)
                self._counts.forwarded += 1
        return unconfirmed


class NoveltyStep:
    """The second step: from a record of the matches topic to alerts and the state of its terms."""

    def __init__(
        self,
        engine: Engine,
        effects: Effects,
        read: Callable[[bytes], bytes | None],
        now: Callable[[], int],
        topic_id: str,
        counts: Counts,
    ) -> None:
        """Bind to the table's `read`, the present time `now` in nanoseconds, and the matches topic's id."""
        self._engine = engine
        self._effects = effects
        self._read = read
        self._now = now
        self._topic_id = topic_id
        self._counts = counts
        self._announcing: dict[bytes, asyncio.Task[None]] = {}

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
        examination = self._engine.examine(raw, headers.source.nanoseconds)
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
        if not due and examination.event is not None:
            detail = "no rule here judges it by its route: do all workers have the same rules?"
            await self._effects.dead_letter(DeadLetter("not_a_match", detail), headers.source, raw)
        for rule, term in due:
            key = term_key(rule.id, rule.fields, term)
            await self._barrier(key)
            stored = self._read(key)
            known = None if stored is None else decode_record(stored)
            judgement = self._engine.judge(rule, term, examination, known, arrival, raw, self._now())
            if isinstance(judgement, DeadLetter):
                await self._effects.dead_letter(judgement, headers.source, raw)
                continue
            entry = encode_record(judgement.assessment.record)
            if judgement.alert is None:
                unconfirmed.append(await self._effects.write(key, entry))
            else:
                announced = asyncio.create_task(
                    self._announce(judgement.alert, rule.id, headers.source, raw, key, entry)
                )
                self._announcing[key] = announced
                unconfirmed.append(Unconfirmed(self._announcing[key], "an alert or its entry"))
            self._counts.verdicts[judgement.assessment.verdict.value] += 1
        return unconfirmed

    async def _announce(
        self, alert: Alert, rule_id: str, source: SourcePosition, raw: bytes, key: bytes, entry: bytes
    ) -> None:
        """Alert, and once that is confirmed write the entry."""
        await self._effects.alert(alert, rule_id, source, raw)
        await (await self._effects.write(key, entry)).future
        del self._announcing[key]

    async def _barrier(self, key: bytes) -> None:
        """Wait while a new term is announced: what comes next of it must find its entry."""
        announced = self._announcing.get(key)
        if announced is not None:
            # A failure is told to the operator elsewhere, and ends the process.
            await asyncio.wait([announced])

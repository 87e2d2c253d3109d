"""The two steps of the worker, each in the order of its effects. This file is the heart of delivery.

match:   decode and evaluate (pure) → dead letters, confirmed → forward, confirmed → done
novelty: decode and evaluate (pure) → assess (pure) → alert, confirmed → table and changelog, confirmed → done

A crash before the table's write replays the record and gives the same alert id again; after it the applied
position says that the record was judged. The table must never be written before its alert is confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.core.dead_letter import DeadLetter
from app.core.engine import Arrival, Engine
from app.core.new_terms import decode_record, encode_record, epoch_of, term_key
from app.runtime.counts import Counts
from app.runtime.effects import Effects
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

    async def process(self, record: Record) -> None:
        """Process one source record to its end; returns when every effect is confirmed."""
        raw = record.value
        if raw is None:
            self._counts.null += 1
            return
        if not self._engine.needles.is_candidate(raw):
            self._counts.scanned += 1
            return
        self._counts.candidates += 1
        examination = self._engine.examine(raw, record.position.nanoseconds)
        for letter in examination.dead_letters:
            await self._effects.dead_letter(letter, record.position, raw)
        for route in examination.routes():
            await self._effects.forward(route, record.position, raw)
            self._counts.forwarded += 1


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

    async def process(self, record: Record) -> None:
        """Process one record of the matches topic to its end; returns when every effect is confirmed."""
        raw = record.value
        if raw is None:
            letter = DeadLetter("not_a_match", "a record without a value")
            await self._effects.dead_letter(letter, record.position, b"")
            return
        try:
            headers = read_match_headers(record.key, record.headers)
        except NotAMatchError as error:
            await self._effects.dead_letter(DeadLetter("not_a_match", str(error)), record.position, raw)
            return
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
            stored = self._read(key)
            known = None if stored is None else decode_record(stored)
            judgement = self._engine.judge(rule, term, examination, known, arrival, raw, self._now())
            if isinstance(judgement, DeadLetter):
                await self._effects.dead_letter(judgement, headers.source, raw)
                continue
            if judgement.alert is not None:
                await self._effects.alert(judgement.alert, rule.id, headers.source, raw)
            await self._effects.write(key, encode_record(judgement.assessment.record))
            self._counts.verdicts[judgement.assessment.verdict.value] += 1

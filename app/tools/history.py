"""A history in memory: what the worker's tables would hold, for commands that judge without them."""

from __future__ import annotations

from collections.abc import Iterator

from app.core.baseline import BaselineRecord, decode_baseline, is_baseline_key
from app.core.dead_letter import DeadLetter
from app.core.engine import Arrival, Engine, Examination, Judgement, Memory, Route, baseline_key
from app.core.lineage import NOTHING, LookUp
from app.core.new_terms import Term, TermRecord, decode_record, term_key
from app.core.ring import SLOTS, Ring, derived
from app.core.rule import Rule


class History:
    """Terms, baselines and processes of all that was judged so far. One partition's worth: all hosts together."""

    def __init__(self, engine: Engine, slots: int = SLOTS) -> None:
        """Begin with nothing; `slots` are the processes that are remembered of a host."""
        self._engine = engine
        self.slots = slots
        self.terms: dict[bytes, TermRecord] = {}
        self.baselines: dict[bytes, BaselineRecord] = {}
        self.processes: dict[bytes, bytes] = {}

    def judge(
        self, raw: bytes, examination: Examination, route: Route, arrival: Arrival, made_at: int
    ) -> Iterator[tuple[Rule, Term, Judgement] | DeadLetter]:
        """Judge a record where one of its routes leads, and remember it: the second step, in its order.

        While a judgement is looked at, the terms and baselines are still those that it was made by.

        Args:
            raw: The record's bytes.
            examination: The first step's result over them.
            route: One of its routes.
            arrival: Where and when the matches topic would have taken it.
            made_at: The present, nanoseconds since 1970.
        """
        look_up: LookUp = NOTHING
        if examination.tells_of(route) and examination.host is not None:
            ring = Ring(self.processes.get, examination.host, self.slots, arrival.taken_at)
            failure = self._engine.remember(examination, arrival, ring)
            if failure is not None:
                yield failure
            else:
                look_up = ring.find
                for change in ring.changes:
                    self.remember(*change)
        for rule, term in examination.due(route):
            key, watched = term_key(rule.id, rule.fields, term), baseline_key(rule, term)
            memory = Memory(None if watched is None else self.baselines.get(watched), look_up)
            known = self.terms.get(key)
            judgement = self._engine.judge(rule, term, examination, known, arrival, raw, made_at, memory)
            if isinstance(judgement, DeadLetter):
                yield judgement
                continue
            yield rule, term, judgement
            if watched is not None and judgement.baseline is not None:
                self.baselines[watched] = judgement.baseline
            self.terms[key] = judgement.assessment.record

    def enter(self, key: bytes, value: bytes | None) -> None:
        """Take over a record of the new-terms table's changelog.

        Raises:
            StateFormatError: It has a format that is not known here.
        """
        if is_baseline_key(key):
            self.baselines.pop(key, None)
            if value is not None:
                self.baselines[key] = decode_baseline(value)
        else:
            self.terms.pop(key, None)
            if value is not None:
                self.terms[key] = decode_record(value)

    def remember(self, key: bytes, value: bytes | None) -> None:
        """Take over a record of the lineage table's changelog.

        Raises:
            StateFormatError: It has a format that is not known here.
        """
        for name, content in derived(key, value):
            if content is None:
                self.processes.pop(name, None)
            else:
                self.processes[name] = content

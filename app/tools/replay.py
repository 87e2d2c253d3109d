"""`eximwatch replay`: the pure core over files, without a broker."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.core.alert import shown
from app.core.dead_letter import DeadLetter
from app.core.engine import Arrival, Engine
from app.core.event import JsonObject
from app.tools.history import History
from app.tools.lines import Progress, candidate_lines, open_lines


@dataclass(frozen=True, slots=True)
class ReplayedAlert:
    """An alert of the replay, its JSON as the worker would write it."""

    value: bytes


@dataclass(frozen=True, slots=True)
class ReplayedDeadLetter:
    """A dead letter of the replay as JSON: reason, detail, rule, source and the record."""

    value: bytes


@dataclass(slots=True)
class Summary:
    """What a replay did. `scanned` are lines that are no candidates."""

    progress: Progress = field(default_factory=Progress)
    candidates: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)

    @property
    def scanned(self) -> int:
        """Lines that were not looked into."""
        return self.progress.lines - self.candidates


class Replay:
    """One pass over files in which the terms are kept in memory."""

    def __init__(self, engine: Engine, taken_at: int, now: Callable[[], int] = time.time_ns) -> None:
        """Begin with no history.

        Args:
            engine: The rules and how to judge.
            taken_at: Stands for the time at which the matches topic took each match, nanoseconds since 1970.
            now: The present, for the alerts' `@timestamp`.
        """
        self._engine = engine
        self._taken_at = taken_at
        self._now = now
        self.history = History(engine)
        self._offset = 0
        self.summary = Summary()

    def file(self, name: str, before: int | None = None) -> Iterator[ReplayedAlert | ReplayedDeadLetter]:
        """Judge one file; yields what the worker would send, in order.

        Args:
            name: Its path, `-` for standard input.
            before: Stop before this line, counted from 1; None judges all.

        Raises:
            InputError: It can't be read.
        """
        shown_name = shown(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
        progress = Progress()
        lines, read = self.summary.progress.lines, self.summary.progress.bytes
        with open_lines(name) as source:
            for number, line in candidate_lines(source, self._engine.needles, progress):
                if before is not None and number >= before:
                    break
                self.summary.progress.lines = lines + progress.lines
                self.summary.progress.bytes = read + progress.bytes
                yield from self._line(line, {"file": shown_name, "line": number})
        self.summary.progress.lines = lines + progress.lines
        self.summary.progress.bytes = read + progress.bytes

    def _line(self, raw: bytes, source: JsonObject) -> Iterator[ReplayedAlert | ReplayedDeadLetter]:
        self.summary.candidates += 1
        examination = self._engine.examine(raw, None)
        for letter in examination.dead_letters:
            yield self._dead_letter(letter, raw, source)
        for route in examination.routes():
            arrival = Arrival(0, self._offset, self._taken_at, source)
            self._offset += 1
            for judged in self.history.judge(raw, examination, route, arrival, self._now()):
                if isinstance(judged, DeadLetter):
                    yield self._dead_letter(judged, raw, source)
                    continue
                _, _, judgement = judged
                if judgement.alert is not None:
                    yield ReplayedAlert(judgement.alert.value)
                self.summary.verdicts[judgement.assessment.verdict.value] += 1

    def _dead_letter(self, letter: DeadLetter, raw: bytes, source: JsonObject) -> ReplayedDeadLetter:
        self.summary.dead_letters[letter.reason] += 1
        document: dict[str, Any] = {"reason": letter.reason, "detail": letter.detail, "source": source}
        if letter.rule_id is not None:
            document["rule"] = letter.rule_id
        try:
            document["record"] = raw.decode("utf-8")
        except UnicodeDecodeError:
            document["record_base64"] = base64.b64encode(raw).decode("ascii")
        return ReplayedDeadLetter(msgspec.json.encode(document))


def replay_files(engine: Engine, names: Sequence[str], taken_at: int) -> tuple[list[bytes], list[bytes], Summary]:
    """Judge files as one history; all alerts and dead letters at once, for tests and small inputs.

    Raises:
        InputError: A file can't be read.
    """
    replay = Replay(engine, taken_at)
    found = [item for name in names for item in replay.file(name)]
    alerts = [item.value for item in found if isinstance(item, ReplayedAlert)]
    letters = [item.value for item in found if isinstance(item, ReplayedDeadLetter)]
    return alerts, letters, replay.summary

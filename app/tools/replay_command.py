"""`eximwatch replay` at the terminal: where output goes, the progress bar, and the summary."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from app.core.clock import parse_iso_time
from app.core.engine import Engine
from app.errors import InputError, SettingsError
from app.tools.replay import Replay, ReplayedAlert, Summary
from app.tools.screen import json_line, say


def parse_now(text: str | None) -> int:
    """The time that `--now` gives, else the present; nanoseconds since 1970.

    Raises:
        SettingsError: It is no time.
    """
    if text is None:
        return time.time_ns()
    now = parse_iso_time(text)
    if now is None:
        raise SettingsError(f"--now {text!r} is no ISO 8601 time: write it like 2026-01-05T08:00:00Z")
    return now


def run_replay(
    engine: Engine, names: Sequence[str], taken_at: int, alerts: str | None, dead_letters: str | None
) -> Summary:
    """Judge the files and write alerts to `alerts` or standard output, dead letters to `dead_letters` if given.

    Raises:
        InputError: A file can't be read or written.
    """
    _refuse_overwriting(names, alerts, dead_letters)
    replay = Replay(engine, taken_at)
    begun = time.monotonic()
    with ExitStack() as stack:
        alert_out = _output(stack, alerts) if alerts else _Output("standard output", sys.stdout.buffer)
        letter_out = _output(stack, dead_letters) if dead_letters else None
        bar, task = stack.enter_context(_progress_bar(names))
        for name in names:
            for item in replay.file(name):
                out = alert_out if isinstance(item, ReplayedAlert) else letter_out
                if out is not None:
                    out.write(item.value)
                bar.update(task, completed=replay.summary.progress.bytes)
        for out in (alert_out, letter_out):
            if out is not None:
                out.flush()
    _tell(replay.summary, time.monotonic() - begun, dead_letters)
    return replay.summary


_CLOSED_PIPE = 141  # as a program that SIGPIPE ended: whoever read has seen enough


@dataclass(frozen=True, slots=True)
class _Output:
    """Where lines go; whatever goes wrong there is said with its name."""

    name: str
    file: IO[bytes]

    def write(self, encoded: bytes) -> None:
        self._attempt(lambda: self.file.write(json_line(encoded, self.file)))

    def flush(self) -> None:
        self._attempt(self.file.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            # What is still buffered would be tried, and reported, once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
            if isinstance(error, BrokenPipeError):
                sys.exit(_CLOSED_PIPE)
            raise InputError(f"{self.name} can't be written: {error.strerror}") from None


def _output(stack: ExitStack, name: str) -> _Output:
    try:
        return _Output(name, stack.enter_context(Path(name).open("wb")))
    except OSError as error:
        raise InputError(f"{name} can't be written: {error.strerror}") from None


def _refuse_overwriting(names: Sequence[str], *outputs: str | None) -> None:
    """An output that is also an input would be emptied before it is read.

    Raises:
        InputError: One is.
    """
    if outputs[0] and outputs[1] and Path(outputs[0]).resolve() == Path(outputs[1]).resolve():
        raise InputError(f"{outputs[0]} can't take alerts and dead letters both: name two files")
    for output in outputs:
        for name in names:
            if output and Path(output).exists() and Path(name).exists() and Path(output).samefile(name):
                raise InputError(f"{output} is an input too and would be overwritten: name another output")


@contextmanager
def _progress_bar(names: Sequence[str]) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on standard error where that is a terminal; of compressed input only what was read is known."""
    plain = all(name != "-" and not name.endswith((".gz", ".zst")) and Path(name).is_file() for name in names)
    total = sum(Path(name).stat().st_size for name in names) if plain else None
    columns = (TextColumn("replay"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar, bar.add_task("replay", total=total)


def _tell(summary: Summary, seconds: float, dead_letters: str | None) -> None:
    lines = summary.progress.lines
    counted = ", ".join(f"{count} {name}" for name, count in sorted(summary.verdicts.items())) or "no verdict"
    say(
        f"{lines} lines, {summary.scanned} scanned, {summary.candidates} candidates: {counted}; "
        f"{seconds:.1f} s, {lines / max(seconds, 1e-9):,.0f} lines/s"
    )
    if summary.dead_letters:
        reasons = ", ".join(f"{count} {name}" for name, count in sorted(summary.dead_letters.items()))
        hint = "" if dead_letters else "; --dead-letters FILE keeps them"
        say(f"dead letters: {reasons}{hint}")

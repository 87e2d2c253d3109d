"""The log: one logger of ours, and the one place where all that is logged in a worker's process becomes lines.

A call gives a sentence with its fields: `logger.warning("table {table} waits: {reason}", table=…, reason=…, topic=…)`.
What the sentence names stands in it; what it does not follows as `field=value`; in JSON each is a field of its own.
`app.runtime.log_fields` declares them. `each=("topic",)` tells events apart that would else count as repetitions.

structlog hands records to the standard library's logging, so that Faust, aiokafka and asyncio, which know nothing of
this, go the same way, and so that level, handlers and tests work as with any logger.
"""

from __future__ import annotations

import logging
import string
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog
from structlog.typing import EventDict

from app.runtime.log_lines import formatter, shown
from app.runtime.repeats import OURS, Repeats

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_FRAMES: Final = 4
"""From a call of ours to where the standard library looks for it: structlog's frames between."""

_QUIET: Final = ("faust", "mode", "aiokafka", "app")
"""Loggers of which only warnings are shown; what Faust logs for our subclasses has our modules' names."""


class _Unsaid(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


class _Sentence(string.Formatter):
    """Fills in a sentence of ours, numbers as they are told to, the rest cut; a mistake in it raises nothing."""

    def format_field(self, value: Any, format_spec: str) -> str:  # noqa: ANN401 — as it is overridden
        return format(value, format_spec) if isinstance(value, int | float) else shown(value)

    def names(self, template: str) -> frozenset[str]:
        return frozenset(name for _, name, _, _ in self.parse(template) if name)


_SENTENCE: Final = _Sentence()


def _to_record(_: object, __: str, event: EventDict) -> Mapping[str, Any]:
    """From a call's sentence and fields to what the standard library's logger takes."""
    template = str(event.pop("event"))
    taken = {name: event.pop(name) for name in ("exc_info", "stack_info") if name in event}
    each = event.pop("each", ())
    fields = dict(event)
    message = _SENTENCE.vformat(template, (), _Unsaid(fields))
    extra = {"fields": fields, "said": _SENTENCE.names(template), "each": each}
    return {"msg": message, "extra": extra, "stacklevel": _FRAMES, **taken}


logger: Final[structlog.stdlib.BoundLogger] = structlog.wrap_logger(
    logging.getLogger(OURS),
    processors=[structlog.stdlib.filter_by_level, _to_record],
    wrapper_class=structlog.stdlib.BoundLogger,
).bind()
"""Whose calls take a sentence and fields; works before `begin_log`, as any logger."""


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes lines, those that repeat seldom; what was held back is told before the end."""

    def __init__(self, stream: TextIO, repeats: Repeats | None) -> None:
        """Take where to write, and what holds back; None writes everything."""
        super().__init__(stream)
        self._repeats = repeats

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, after those that have become due."""
        if self._repeats is not None:
            # The line with which the process ends is the last one.
            ends = "exit_code" in getattr(record, "fields", ())
            for due in self._repeats.rest() if ends else self._repeats.due():
                super().emit(due)
            if not self._repeats.admit(record):
                return
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 — as it is overridden
        """Say in one line that a message can't be shown; the standard library would print a traceback in between."""
        record = logging.makeLogRecord(record.__dict__)
        record.msg, record.args = "a message can't be shown: %.200r", (record.msg,)
        record.exc_info = record.stack_info = None
        record.fields = {}
        try:
            self.stream.write(self.format(record) + self.terminator)
            self.flush()
        except Exception:  # noqa: BLE001 — nobody is left who could be told
            return

    def close(self) -> None:
        """Tell what was held back."""
        with self.lock or threading.RLock():
            if self._repeats is not None:
                for rest in self._repeats.rest():
                    super().emit(rest)
        super().close()


def begin_log(
    level: str, log_format: str, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic
) -> None:
    """Send all that is logged in this process, and every error that nobody caught, to a stream; once a process.

    Args:
        level: What is shown of ours; of the libraries warnings, and at `debug` everything, repetitions too.
        log_format: `console` or `json`.
        stream: Where to; by default standard error.
        now: Seconds that never go back, for what repeats.
    """
    debug = level == "debug"
    handler = LogHandler(stream or sys.stderr, None if debug else Repeats(now))
    handler.setFormatter(formatter(log_format, version("eximwatch")))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    if not debug:
        for name in _QUIET:
            logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread


def begun() -> bool:
    """Whether there was a call of `begin_log`."""
    return any(isinstance(handler, LogHandler) for handler in logging.getLogger().handlers)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logger.critical("uncaught: {error}", error=error, exit_code=1, exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        logger.critical(
            "uncaught in a thread: {error}",
            error=args.exc_value,
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        )


def _unraisable(args: UnraisableHookArgs) -> None:
    """What a destructor or a callback of C raised, which ends nothing."""
    error = args.exc_value or args.exc_type()
    what = f"{args.err_msg or 'in'} {args.object!r}"
    logger.error(
        "an error that nobody can catch, {where}: {error}",
        where=what,
        error=error,
        exc_info=(args.exc_type, error, args.exc_traceback),
    )

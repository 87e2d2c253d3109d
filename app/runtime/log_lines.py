"""A log record as a line: for people (`console`) or as one JSON object (`json`). Pure but for the process's id.

What comes from events, brokers or disks may stand in any line, so that nothing of it may begin a line of its own or act
on a terminal: control, format and bidirectional characters are spelled out in both formats, and texts are cut.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from structlog.typing import EventDict

from app.core.visible import visible
from app.runtime.log_fields import JSON_NAMES

MAX_VALUE: Final = 1000
"""Characters that a value, or a line of a traceback, may have."""

MAX_MESSAGE: Final = 8000
"""Characters that a whole message may have."""

MAX_ITEMS: Final = 1000
"""Elements of a list; only lists of our own partitions are logged."""

_TRACE_LINES: Final = 60
"""Lines that are kept of either end of a traceback."""

_ECS_VERSION: Final = "8.11.0"
_INDENT: Final = "    "
_TIMES: Final = logging.Formatter()


def cut(text: str, length: int) -> str:
    """A text, or its beginning."""
    return text if len(text) <= length else f"{text[:length]}… ({len(text)} characters)"


def shown(value: object) -> str:
    """A field's value in a sentence; lists with spaces between their elements."""
    if isinstance(value, list | tuple):
        return " ".join(cut(str(one), MAX_VALUE) for one in value[:MAX_ITEMS])
    return cut(str(value), MAX_VALUE)


def formatter(log_format: str, version: str) -> logging.Formatter:
    """What makes lines of the records of all loggers, ours and the libraries'.

    Args:
        log_format: `console` or `json`.
        version: This program's.
    """
    render = _json(version) if log_format == "json" else _console
    return structlog.stdlib.ProcessorFormatter(processors=[render])


def _message(event: EventDict) -> str:
    return cut(str(event["event"]), MAX_MESSAGE)


def _console(_: object, __: str, event: EventDict) -> str:
    """`time LEVEL logger: sentence field=value …`; a traceback follows on lines that are indented."""
    record: logging.LogRecord = event["_record"]
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    said: frozenset[str] = getattr(record, "said", frozenset())
    more = [f" {name}={_quoted(value)}" for name, value in _flat(fields) if name not in said]
    head = f"{_TIMES.formatTime(record)} {record.levelname} {record.name}: {_message(event)}{''.join(more)}"
    return "\n".join([visible(head), *(_INDENT + visible(line) for line in _trace(event))])


def _json(version: str) -> Callable[[object, str, EventDict], str]:
    """One object a line, ECS's names with dots in them; whatever it holds, it is ASCII."""
    constant = {
        "ecs.version": _ECS_VERSION,
        "service.name": "eximwatch",
        "service.version": version,
        "process.pid": os.getpid(),
    }

    def render(_: object, __: str, event: EventDict) -> str:
        record: logging.LogRecord = event["_record"]
        line: dict[str, Any] = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "log.level": record.levelname.lower(),
            "message": _message(event),
            "log.logger": record.name,
            **constant,
            "process.thread.name": record.threadName,
        }
        error = event["exc_info"][1] if event.get("exc_info") else None
        for name, value in getattr(record, "fields", {}).items():
            if isinstance(value, BaseException):
                error = value
            elif isinstance(value, Mapping):
                line |= {f"{JSON_NAMES[name]}.{part}": _value(one) for part, one in value.items()}
            elif value is not None:
                line[JSON_NAMES.get(name, f"eximwatch.{name}")] = _value(value)
        if error is not None:
            line["error.type"] = type(error).__name__
            line["error.message"] = shown(error)
        trace = _trace(event)
        if trace:
            line["error.stack_trace"] = "\n".join(trace)
        return json.dumps(line, default=shown)

    return render


def _value(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [one if isinstance(one, int) else cut(str(one), MAX_VALUE) for one in value[:MAX_ITEMS]]
    return shown(value)


def _flat(fields: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from value.items()
        elif value is not None:
            yield name, value


def _quoted(value: object) -> str:
    text = shown(value)
    return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "=') else text


def _trace(event: EventDict) -> list[str]:
    """The lines of an exception's traceback and of a stack, long ones and the middle of many cut."""
    lines: list[str] = []
    if event.get("exc_info"):
        lines += "".join(traceback.format_exception(*event["exc_info"])).splitlines()
    if event.get("stack_info"):
        lines += str(event["stack_info"]).splitlines()
    if len(lines) > 2 * _TRACE_LINES:
        lines = [*lines[:_TRACE_LINES], f"… {len(lines) - 2 * _TRACE_LINES} lines …", *lines[-_TRACE_LINES:]]
    return [cut(line, MAX_VALUE) for line in lines]

"""A log record becomes one line whatever it holds, for people or as JSON, and nothing in it acts on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.visible import visible
from app.runtime.log_fields import FIELDS
from app.runtime.log_lines import MAX_MESSAGE, MAX_VALUE, formatter

HOSTILE = (
    "sh\n2026-11-24 22:46:09,836 CRITICAL eximwatch: forged\r\x1b]0;title\x07\x1b[31m\x9b2J\x7f\u2028\u202ex\udc80"
)
TEXTS = st.text(st.characters(), max_size=60) | st.just(HOSTILE)


def _record(message: str, error: BaseException | None = None, **fields: object) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("eximwatch", logging.WARNING, __file__, 7, message, (), info)
    record.fields, record.said = fields, frozenset()
    return record


def _fail(message: str) -> NoReturn:
    raise ValueError(message)


def _raised(message: str) -> Exception:
    try:
        _fail(message)
    except ValueError as error:
        return error


def _json(record: logging.LogRecord) -> dict[str, Any]:
    line = formatter("json", "1.2.3").format(record)
    assert line.isascii()
    assert line.isprintable()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


@settings(deadline=None)
@given(message=TEXTS, value=TEXTS, said=TEXTS)
def test_console_line_can_not_be_forged(message: str, value: str, said: str) -> None:
    """Only an event's own line begins at the margin, and no character acts on a terminal."""
    line = formatter("console", "1.2.3").format(_record(message, _raised(said), detail=value, topic="events"))
    first, *trace = line.split("\n")

    assert [] == [one for one in trace if not one.startswith("    ")]
    assert visible(first) == first
    assert [] == [one for one in trace if visible(one) != one]
    assert first.endswith(" topic=events")


@settings(deadline=None)
@given(message=TEXTS, value=TEXTS, said=TEXTS)
def test_json_line_is_one_object_that_says_the_same(message: str, value: str, said: str) -> None:
    """ASCII alone; what is read of it is what was logged."""
    parsed = _json(_record(message, _raised(said), detail=value, offset=7))

    assert (message, value, 7) == (parsed["message"], parsed["eximwatch.detail"], parsed["kafka.offset"])
    assert ("ValueError", said) == (parsed["error.type"], parsed["error.message"])
    assert parsed["error.stack_trace"].startswith("Traceback")


def test_json_line_has_what_every_line_has() -> None:
    """Time in UTC, level, logger, message, and whose they are."""
    record = _record("ready", assigned=["events:0", "events:1"], rule=None, counts={"scanned": 1})
    record.created = 1767600000.5
    parsed = _json(record)

    assert "2026-01-05T08:00:00.500Z" == parsed["@timestamp"]
    assert ("warning", "eximwatch", "ready") == (parsed["log.level"], parsed["log.logger"], parsed["message"])
    assert ("eximwatch", "1.2.3") == (parsed["service.name"], parsed["service.version"])
    assert ["events:0", "events:1"] == parsed["kafka.assigned"]
    assert 1 == parsed["eximwatch.counts.scanned"]
    assert "rule.id" not in parsed


def test_console_line_looks_as_logging_makes_it() -> None:
    """What its sentence says is not said twice; other fields follow, quoted where they have to be."""
    record = _record("counts:", counts={"scanned": 1, "null": 0}, path="a b", topic='x"=', rule=None, offset=3)
    record.said = frozenset({"offset"})
    stamp = logging.Formatter().formatTime(record)

    expected = f'{stamp} WARNING eximwatch: counts: scanned=1 null=0 path="a b" topic="x\\"="'
    assert expected == formatter("console", "1.2.3").format(record)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_is_over_long_is_cut(log_format: str) -> None:
    """Values, messages, lines of a traceback and tracebacks have an end."""
    line = formatter(log_format, "1").format(
        _record("m" * 1_000_000, _raised("line\n" * 1_000_000 + "e" * 100_000), detail="v" * 1_000_000)
    )

    assert MAX_MESSAGE <= len(line) < MAX_MESSAGE + 4 * MAX_VALUE + 10_000
    assert "v" * MAX_VALUE in line
    assert "v" * (MAX_VALUE + 1) not in line


def test_fields_have_one_name_each() -> None:
    """Neither ours nor those in JSON are given twice."""
    assert len(FIELDS) == len({field.name for field in FIELDS}) == len({field.json for field in FIELDS})


def test_error_as_a_field_is_told_by_class_and_message() -> None:
    """As in the last line of a worker, which has no traceback."""
    record = _record("it ended")
    record.fields = {"error": OSError("no"), "exit_code": 6}
    parsed = _json(record)

    assert ("OSError", "no", 6) == (parsed["error.type"], parsed["error.message"], parsed["exit_code"])
    assert "error.stack_trace" not in parsed


def test_stack_is_told() -> None:
    """Where a library asks for one."""
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "m", (), None, sinfo="Stack:\n  one")
    assert "Stack:\n  one" == _json(record)["error.stack_trace"]
    assert sys.exception() is None

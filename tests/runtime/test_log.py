"""The logger, and what becomes of all that a worker's process logs or fails with; in processes of their own."""

from __future__ import annotations

import ast
import json
import logging
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.runtime.log import logger
from app.runtime.log_fields import JSON_NAMES

APP = Path(__file__).parents[2] / "app"
LEVELS = {"debug", "info", "warning", "error", "critical", "log"}
NO_FIELDS = {"exc_info", "each"}

_BEGIN = """
import asyncio, logging, sys, threading, warnings
from app.runtime.log import begin_log, logger
begin_log({level!r}, {log_format!r})
"""


def _run(program: str, log_format: str = "json", level: str = "info") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _BEGIN.format(log_format=log_format, level=level) + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stderr.splitlines()]


def _calls() -> Iterator[tuple[Path, ast.Call]]:
    for file in sorted(APP.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                called = node.func.value
                if isinstance(called, ast.Name) and called.id == "logger":
                    yield file, node


def test_calls_use_fields_that_are_declared_and_sentences_that_are_whole() -> None:
    """Every keyword has its name in JSON; every place in a sentence has its keyword; nothing is positional."""
    calls = list(_calls())
    wrong = []
    for file, call in calls:
        names = {keyword.arg for keyword in call.keywords if keyword.arg is not None} - NO_FIELDS
        sentence = next(arg for arg in ast.walk(call) if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
        places = {name for _, name, _, _ in string.Formatter().parse(str(sentence.value)) if name}
        if not names <= JSON_NAMES.keys() or not places <= names:
            wrong.append(f"{file.name}:{call.lineno}: {names - JSON_NAMES.keys()} {places - names}")

    assert [] == wrong
    assert len(calls) > 20


def test_record_is_as_any_other(caplog: pytest.LogCaptureFixture) -> None:
    """A whole sentence, the place of the call, and the level as everywhere."""
    with caplog.at_level(logging.INFO):
        logger.debug("not shown")
        logger.info(
            "table {table} in {seconds:.1f} s: {partitions}", table="new_terms", seconds=1.25, partitions=[1, 2]
        )
        logger.error("{absent} is no field", topic="events")

    first, second = caplog.records
    assert ("table new_terms in 1.2 s: 1 2", "{absent} is no field") == (first.message, second.message)
    assert ("eximwatch", "INFO") == (first.name, first.levelname)
    assert __file__ == first.pathname


_UNCAUGHT = """
warnings.warn("old\\nand new")
thread = threading.Thread(target=lambda: 1 / 0, name="worker thread")
thread.start()
thread.join()
class Bad:
    def __del__(self):
        raise ValueError("del\\nwith a line")
bad = Bad()
del bad
async def fails():
    raise KeyError("nobody awaits it")
async def main():
    task = asyncio.ensure_future(fails())
    await asyncio.sleep(0)
    del task
    import gc; gc.collect()
asyncio.run(main())
logging.getLogger("aiokafka").info("not shown")
logging.getLogger("aiokafka").error("Unable to connect to %s", "127.0.0.1:1")
logging.getLogger("aiokafka").error("wrong %d", "arguments")
raise OSError("the end\\nwith a line")
"""


def test_whatever_nobody_caught_is_one_line_of_json() -> None:
    """Warnings, threads, destructors, tasks, libraries, their wrong calls, and what ends the process."""
    done = _run(_UNCAUGHT)
    lines = _lines(done)

    assert 1 == done.returncode
    loggers = ["py.warnings", "eximwatch", "eximwatch", "asyncio", "aiokafka", "aiokafka", "eximwatch"]
    assert loggers == [line["log.logger"] for line in lines]
    types = [None, "ZeroDivisionError", "ValueError", "KeyError", None, None, "OSError"]
    assert types == [line.get("error.type") for line in lines]
    assert ("critical", 1, "the end\nwith a line") == tuple(
        lines[-1][name] for name in ("log.level", "exit_code", "error.message")
    )
    assert "Unable to connect to 127.0.0.1:1" == lines[4]["message"]


def test_on_the_console_only_events_begin_at_the_margin() -> None:
    """Tracebacks and whatever stands in them are indented, and newlines in messages spelled out."""
    lines = _run(_UNCAUGHT, "console").stderr.splitlines()
    heads = [line for line in lines if not line.startswith("    ")]

    assert 7 == len(heads)
    assert all(line[:4].isdecimal() for line in heads)
    assert any("uncaught: the end\\u000awith a line" in line for line in heads)
    assert not any(line.startswith("with a line") for line in lines)


@pytest.mark.parametrize(
    ("error", "where", "code", "place"),
    [
        ("EffectError('not\\nconfirmed')", "events:3:7", 6, ("events", 3, 7)),
        ("FrozenError('too old')", "a record for topic x", 10, (None, None, None)),
        ("ValueError('a mistake\\x1b[2J')", "events:3:7", 6, ("events", 3, 7)),
    ],
)
def test_hard_end_is_told_after_what_was_held_back(
    error: str, where: str, code: int, place: tuple[str | None, int | None, int | None]
) -> None:
    """The last line has the exit code and the place; a traceback only where it is a mistake of ours."""
    done = _run(f"""
from app.errors import *
from app.runtime.ending import end_process
for number in range(5):
    logging.getLogger("aiokafka").error("no broker %d", number)
end_process({error}, {where!r})
""")
    first, held, end = _lines(done)

    assert code == done.returncode == end["exit_code"]
    assert ("no broker 0", "no broker 4 (repeated 4 times)", 4) == (
        first["message"],
        held["message"],
        held["eximwatch.repeated"],
    )
    assert place == tuple(end.get(f"kafka.{name}") for name in ("topic", "partition", "offset"))
    assert error.split("(")[0] == end["error.type"]
    assert ("ValueError" in error) == ("error.stack_trace" in end)
    assert where == end["eximwatch.where"]


def test_debug_shows_everything() -> None:
    """The libraries' lines below a warning, and what repeats."""
    done = _run("for _ in range(3): logging.getLogger('aiokafka').debug('a request')", level="debug")
    assert ["a request"] * 3 == [line["message"] for line in _lines(done)]


def test_level_of_libraries_is_no_lower_than_ours() -> None:
    """At `error` their warnings are not shown either."""
    done = _run("logging.getLogger('aiokafka').warning('x'); logger.warning('y'); logger.error('z')", level="error")
    assert ["z"] == [line["message"] for line in _lines(done)]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_stream_of_another_encoding_is_no_trouble(log_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service may run in the C locale."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:backslashreplace")
    done = _run("logger.error('{reason}', reason='für')", log_format)

    assert done.stderr.isascii()
    if log_format == "json":
        assert "für" == _lines(done)[0]["message"]

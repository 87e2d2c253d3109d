"""How a worker's last line is told where its log is JSON: what collects standard error reads nothing else."""

from __future__ import annotations

import contextlib
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from app.runtime.settings import CONFIG_VARIABLE, ENV_PREFIX

_FLAG = "--log-format"


def told_to_log(message: str, code: int, *, debug: bool) -> bool:
    """Log with which error this process ends, if it is a worker that logs JSON; else do nothing.

    Args:
        message: What is wrong and what to do.
        code: The exit code.
        debug: Log the traceback of the error that is being handled too.

    Returns:
        Whether it was logged.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if arguments[:1] != ["worker"] or asked_format(arguments) != "json":
        return False
    from app.runtime.log import begin_log, begun, logger

    if not begun():
        begin_log("info", "json")
    logger.critical("{reason}", reason=message, error=sys.exception(), exit_code=code, exc_info=debug or None)
    return True


def asked_format(arguments: Sequence[str]) -> str | None:
    """The format of the log as far as it can be told where settings may be what is wrong."""
    for number, argument in enumerate(arguments):
        if argument.startswith(f"{_FLAG}="):
            return argument.partition("=")[2]
        if argument == _FLAG and number + 1 < len(arguments):
            return arguments[number + 1]
    named = os.environ.get(f"{ENV_PREFIX}LOG_FORMAT")
    if named:
        return named
    with contextlib.suppress(KeyError, OSError, ValueError):
        found = tomllib.loads(Path(os.environ[CONFIG_VARIABLE]).read_text(encoding="utf-8")).get("log_format")
        return found if isinstance(found, str) else None
    return None

"""The hard end of a worker, for failures after which nothing may be committed any more."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from typing import Any, NoReturn

from app.errors import EffectError, EximwatchError
from app.runtime.log import logger


def end_process(error: BaseException, where: str) -> NoReturn:
    """End at once, without stopping anything gracefully: what is not committed now must not be.

    Args:
        error: What went wrong.
        where: What was being done: topic, partition and offset of a record, or a fetch.
    """
    code = error.exit_code if isinstance(error, EximwatchError) else EffectError.exit_code
    logger.critical(
        "{error} at {where}; ending without a commit, start the worker again once the cause is gone",
        error=error,
        where=where,
        exit_code=code,
        exc_info=None if isinstance(error, EximwatchError) else error,
        **_place(where),
    )
    logging.shutdown()
    os._exit(code)


def _place(where: str) -> dict[str, str | int]:
    """The fields of a record's position, if that is what it is."""
    found = re.fullmatch(r"([A-Za-z0-9._-]+):(\d+):(\d+)", where)
    return {"topic": found[1], "partition": int(found[2]), "offset": int(found[3])} if found else {}


def end_with(task: asyncio.Task[Any]) -> None:
    """End the process when a client's metadata task dies: it would go on and never find a coordinator again."""

    def end(ended: asyncio.Task[Any]) -> None:
        error = None if ended.cancelled() else ended.exception()
        if error is not None:
            end_process(error, "the metadata of a Kafka client")

    task.add_done_callback(end)

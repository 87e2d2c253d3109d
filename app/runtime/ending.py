"""The hard end of a worker, for failures after which nothing may be committed any more."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any, NoReturn

from app.errors import EffectError, EximwatchError

logger = logging.getLogger("eximwatch")


def end_process(error: BaseException, where: str) -> NoReturn:
    """End at once, without stopping anything gracefully: what is not committed now must not be.

    Args:
        error: What went wrong.
        where: What was being done: topic, partition and offset of a record, or a fetch.
    """
    code = error.exit_code if isinstance(error, EximwatchError) else EffectError.exit_code
    logger.critical(
        "%s at %s; ending without a commit, start the worker again once the cause is gone",
        error,
        where,
        exc_info=None if isinstance(error, EximwatchError) else error,
    )
    logging.shutdown()
    os._exit(code)


def end_with(task: asyncio.Task[Any]) -> None:
    """End the process when a client's metadata task dies: it would go on and never find a coordinator again."""

    def end(ended: asyncio.Task[Any]) -> None:
        error = None if ended.cancelled() else ended.exception()
        if error is not None:
            end_process(error, "the metadata of a Kafka client")

    task.add_done_callback(end)

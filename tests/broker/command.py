"""The command line of `python -m tests.broker.kafka`."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from tests.broker import jars
from tests.broker.kafka import Kafka, StartError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

BROKERS_VARIABLE: Final = "EXIMWATCH_BROKERS"

_FAILED: Final = 1
_SIGNAL_BASE: Final = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch Kafka's jars, or run a command beside a Kafka; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.broker.kafka",
        description="Run a command beside an Apache Kafka of its own, then remove all traces of it.",
        epilog="example: python -m tests.broker.kafka -- python -m app topics check",
    )
    parser.add_argument("--fetch", action="store_true", help="only make sure that the jars are there")
    parser.add_argument("command", nargs="*", help=f"after --; finds the address in {BROKERS_VARIABLE}")
    given = parser.parse_args(arguments)
    if not given.fetch and not given.command:
        parser.error("name a command after --, or say --fetch")
    try:
        return _fetch() if given.fetch else _run(given.command)
    except (jars.NoJavaError, jars.FetchError, StartError, OSError) as error:
        # OSError: the command does not exist, or Kafka did not answer in time.
        print(f"error: {error}", file=sys.stderr)
        return _FAILED


def _fetch() -> int:
    jars.java()
    print(f"Kafka's jars are in {jars.fetch()}", file=sys.stderr)
    return 0


def _run(command: Sequence[str]) -> int:
    begun = time.monotonic()
    with Kafka() as kafka:
        print(f"Kafka answers at {kafka.brokers} after {time.monotonic() - begun:.1f} s", file=sys.stderr)
        environment = {**os.environ, BROKERS_VARIABLE: kafka.brokers}
        with subprocess.Popen(command, env=environment) as process:
            _pass_on(process)
            status = process.wait()
    return status if status >= 0 else _SIGNAL_BASE - status


def _pass_on(process: subprocess.Popen[bytes]) -> None:
    """Let the command decide how to end; Kafka ends after it.

    An interrupt at the terminal reaches the command by itself, as it is of our process group.
    """

    def pass_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, pass_on)

"""Fixtures and hooks for tests marked `broker`, which need a real Kafka.

`EXIMWATCH_TEST_BROKERS` names a running Kafka to use instead of one of ours. Without it and without Java
those tests are skipped by name and counted at the end of the run; where `CI=true`, they fail instead.
"""

from __future__ import annotations

import os
import re
import uuid
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

from tests.broker import jars
from tests.broker.kafka import Kafka

if TYPE_CHECKING:
    from collections.abc import Iterator

BROKERS_VARIABLE: Final = "EXIMWATCH_TEST_BROKERS"

_NO_JAVA: Final = "no Java: "
_NAME_LENGTH: Final = 60


class GivenKafka:
    """A Kafka that is not ours: tests may use it, and are skipped where they would end or freeze it."""

    def __init__(self, brokers: str) -> None:
        """Keep its address."""
        self.brokers = brokers

    def stop(self) -> NoReturn:
        """Skip the test."""
        self._skip("stopped")

    def kill(self) -> NoReturn:
        """Skip the test."""
        self._skip("killed")

    def restart(self) -> NoReturn:
        """Skip the test."""
        self._skip("restarted")

    def pause(self) -> NoReturn:
        """Skip the test."""
        self._skip("paused")

    def resume(self) -> NoReturn:
        """Skip the test."""
        self._skip("resumed")

    def _skip(self, what: str) -> NoReturn:
        pytest.skip(f"{BROKERS_VARIABLE} is set, and a Kafka that is not ours is never {what}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs Kafka where there can be none; fail it where there must be one."""
    if item.get_closest_marker("broker") is None or os.environ.get(BROKERS_VARIABLE):
        return
    try:
        jars.require()
    except jars.NoJavaError as missing:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{missing} (CI=true, so this is a failure)", pytrace=False)
        pytest.skip(str(missing))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for lack of Java, and which."""
    skipped: list[pytest.TestReport] = terminalreporter.getreports("skipped")
    missed = {report.nodeid: reason for report in skipped if _NO_JAVA in (reason := _reason(report))}
    if missed:
        terminalreporter.section("delivery tests")
        for node in missed:
            terminalreporter.line(f"skipped: {node}")
        reasons = ", ".join(sorted(set(missed.values())))
        terminalreporter.line(f"{len(missed)} delivery tests skipped, {reasons}")


def _reason(report: pytest.TestReport) -> str:
    """Why a test was skipped, as it said itself."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return text.removeprefix("Skipped: ")


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka | GivenKafka]:
    """The Kafka of this test run, started when the first test asks for it."""
    given = os.environ.get(BROKERS_VARIABLE)
    if given:
        yield GivenKafka(given)
    else:
        with Kafka() as ours:
            yield ours


@pytest.fixture(autouse=True)
def _kafka_answers_afterwards(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that ended or froze the shared Kafka and failed half-way, the next finds it running."""
    yield
    if "kafka" in request.fixturenames:
        shared: Kafka | GivenKafka = request.getfixturevalue("kafka")
        if isinstance(shared, Kafka):
            shared.ensure_running()


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """Start of names for topics and groups, of this test alone, in a Kafka that many tests share."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:_NAME_LENGTH].strip("-")
    return f"{name}-{uuid.uuid4().hex[:8]}"

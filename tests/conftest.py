"""Makes the fixtures and hooks of tests/broker/fixtures.py known to pytest."""

from tests.broker.fixtures import (
    _kafka_answers_afterwards,
    kafka,
    pytest_runtest_setup,
    pytest_terminal_summary,
    topic_prefix,
)

__all__ = [
    "_kafka_answers_afterwards",
    "kafka",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
    "topic_prefix",
]

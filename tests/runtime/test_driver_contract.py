"""The private names of Faust and aiokafka that the driver relies on are still what they were.

An upgrade that moves one of them fails here, by name, before it loses an event in production.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from aiokafka.protocol.fetch import FetchRequest
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as faust_driver

from app.runtime import driver
from app.runtime.driver import PRIVATE_NAMES, SieveTransport

_PUBLIC_OF_PYTHON = {"__init__"}


def _owner(name: str) -> tuple[Any, str]:
    """The class that a dotted name belongs to, and the name in it."""
    module, class_name, attribute = name.rsplit(".", 2)
    return getattr(import_module(module), class_name), attribute


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_private_name_is_still_there(name: str) -> None:
    """Each name is an attribute of its class, or set by its constructor."""
    owner, attribute = _owner(name)
    constructors = [vars(parent).get("__init__") for parent in owner.__mro__]
    sources = [inspect.getsource(constructor) for constructor in constructors if inspect.isfunction(constructor)]

    assert hasattr(owner, attribute) or any(f"self.{attribute} " in source for source in sources)


def test_every_private_name_in_use_is_listed() -> None:
    """The driver uses no private name of another class that the list does not have."""
    tree = ast.parse(Path(driver.__file__).read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    private = {name for name in used | defined if name.startswith("_")} - _PUBLIC_OF_PYTHON
    ours = {"_held", "_release", "_register", "_settle", "_counted_to", "_positions", "_fail"}

    assert private - ours == {name.rpartition(".")[2] for name in PRIVATE_NAMES}


def test_pinned_versions_are_installed() -> None:
    """The driver was written against these versions and no others."""
    assert ("0.15.3", "0.14.0", "0.7.1") == tuple(map(version, ("faust-streaming", "aiokafka", "mode-streaming")))


def test_scheme_leads_to_the_driver() -> None:
    """Faust finds the driver by its URL scheme, through the entry point."""
    from faust.transport import by_url

    assert SieveTransport is by_url("sieve+kafka://127.0.0.1:9092")


def test_overridden_methods_take_what_they_took() -> None:
    """What is overridden has the signature it was overridden with."""
    expected = {
        (faust_consumer.Consumer, "_new_offset"): ["self", "tp"],
        (faust_consumer.Consumer, "_should_commit"): ["self", "tp", "offset"],
        (faust_consumer.Consumer, "_add_gap"): ["self", "tp", "offset_from", "offset_to"],
        (faust_consumer.Consumer, "_filter_tps_with_pending_acks"): ["self", "topics"],
        (faust_consumer.ThreadDelegateConsumer, "_getmany"): ["self", "active_partitions", "timeout"],
        (faust_driver.AIOKafkaConsumerThread, "_create_worker_consumer"): ["self", "transport"],
        (faust_consumer.ConsumerThread, "on_partitions_assigned"): ["self", "assigned", "generation_id"],
    }

    assert expected == {
        (owner, name): list(inspect.signature(getattr(owner, name)).parameters) for owner, name in expected
    }


def test_consumer_reads_its_settings_when_it_starts() -> None:
    """The fetch wait and the isolation level are set after construction: the fetcher is made at the start."""

    async def fetcher_before_start() -> object:
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
        fetcher = consumer._fetcher
        await consumer.stop()
        return fetcher

    source = inspect.getsource(aiokafka.AIOKafkaConsumer.start)
    assert asyncio.run(fetcher_before_start()) is None
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in source
    assert "isolation_level=self._isolation_level" in source
    assert "fetch_max_bytes=self._fetch_max_bytes" in source


def test_fetch_responses_end_in_the_record_set() -> None:
    """In every version a partition's part begins with its number and error code and ends with its records."""
    responses = [
        value
        for name, value in vars(import_module("aiokafka.protocol.fetch")).items()
        if name.startswith("FetchResponse_v")
    ]
    assert responses
    for response in responses:
        _, partitions = response.SCHEMA.fields[-1].array_of.fields
        names = partitions.array_of.names
        assert ("partition", "error_code", "message_set") == (names[0], names[1], names[-1])
    request = FetchRequest(1, 1, 1, 0, [("t", [(0, 5, 1)])])
    assert [("t", [(0, 5, 1)])] == request.topics

"""The private names of Faust and aiokafka that the driver and the connection rely on are still what they were.

An upgrade that moves one of them fails here, by name, before it loses an event in production.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

import aiokafka
import aiokafka.client
import aiokafka.conn
import pytest
from aiokafka.protocol.admin import SaslAuthenticateRequest
from aiokafka.protocol.fetch import FetchRequest
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as faust_driver

from app.errors import EffectError
from app.runtime import connection, consumer_thread, driver, producer, recovery, stop, store, table
from app.runtime.driver import SieveTransport

_PUBLIC_OF_PYTHON = {"__init__"}
_OURS = {
    consumer_thread: {
        *{"_held", "_release", "_positions", "_assignment", "_fail", "_beat", "_ask_coordinator", "_asked_at"},
    },
    driver: {"_register", "_counted_to", "_forget_acks", "_given_up", "_close", "_heartbeat_again"},
    producer: {"_send_if_alive"},
    connection: {
        *{"_broken", "_connection", "_stock", "_head", "_body", "_target", "_filled", "_expect_body", "_close"},
        *{"_data", "_at", "_is_free"},
    },
    stop: {"_begin", "_deadline", "_end", "_stop_loop"},
    recovery: {"_rebuild", "_rebuilt"},
    store: {"_partition"},
    table: set(),
}
"""Private names that a module made for itself."""
_MODULES = pytest.mark.parametrize("module", _OURS, ids=lambda module: module.__name__)


def _owner(name: str) -> tuple[Any, str]:
    """The class that a dotted name belongs to, and the name in it."""
    module, class_name, attribute = name.rsplit(".", 2)
    return getattr(import_module(module), class_name), attribute


def _constructor(owner: type) -> str:
    """The source of a class's own constructor."""
    constructor = vars(owner).get("__init__")
    return inspect.getsource(constructor) if inspect.isfunction(constructor) else ""


@pytest.mark.parametrize("name", [name for module in _OURS for name in module.PRIVATE_NAMES])
def test_private_name_is_still_there(name: str) -> None:
    """Each name is an attribute of its class, or set by its constructor."""
    owner, attribute = _owner(name)

    assert hasattr(owner, attribute) or any(f"self.{attribute} " in _constructor(parent) for parent in owner.__mro__)


@_MODULES
def test_every_private_name_in_use_is_listed(module: ModuleType) -> None:
    """A module uses no private name of another class that its list does not have."""
    tree = ast.parse(inspect.getsource(module))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    private = {name for name in used | defined if name.startswith("_")} - _PUBLIC_OF_PYTHON
    listed: tuple[str, ...] = module.PRIVATE_NAMES

    assert private - _OURS[module] == {name.rpartition(".")[2] for name in listed}


@_MODULES
def test_our_own_private_names_are_not_in_what_we_extend(module: ModuleType) -> None:
    """An upgrade that takes one of them for itself would be overridden unseen."""
    classes = [
        value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
    ]
    foreign = {
        (parent.__qualname__, name)
        for parent in itertools.chain.from_iterable(one.__mro__ for one in classes)
        if parent.__module__ != module.__name__
        for name in _OURS[module]
        if hasattr(parent, name) or f"self.{name} " in _constructor(parent)
    }

    assert set() == foreign


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
        (aiokafka.conn.AIOKafkaConnection, "connect"): ["self"],
        (aiokafka.conn.AIOKafkaConnection, "send"): ["self", "request", "expect_response"],
        (aiokafka.conn.AIOKafkaConnection, "close"): ["self", "reason", "exc"],
        (aiokafka.conn.AIOKafkaConnection, "_handle_frame"): ["self", "resp"],
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


def test_client_connects_by_a_name_of_its_module() -> None:
    """What is put in the place of `create_conn` is what the client calls, each time and nowhere else."""
    source = inspect.getsource(aiokafka.client)
    callers = (aiokafka.client.AIOKafkaClient.bootstrap, aiokafka.client.AIOKafkaClient._get_conn)

    assert all(" await create_conn(\n" in inspect.getsource(caller) for caller in callers)
    assert all("create_conn" in caller.__code__.co_names for caller in callers)
    assert len(callers) == source.count("create_conn(")
    assert len(callers) + 1 == source.count("create_conn")  # and the import


def test_our_connections_are_what_the_client_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments are those of the stock function, less the choice of a reader."""
    monkeypatch.setattr(aiokafka.client, "create_conn", aiokafka.conn.create_conn)
    driver.use_connections(into_buffer=True)
    stock = inspect.signature(aiokafka.conn.create_conn).parameters
    made = inspect.signature(aiokafka.conn.AIOKafkaConnection).parameters

    assert aiokafka.client.create_conn.func is connection.create_connection
    assert aiokafka.client.create_conn.keywords == {"into_buffer": True}
    assert list(stock)[:2] == ["host", "port"]
    assert stock.keys() == made.keys()
    assert {name: one.default for name, one in stock.items()} == {name: one.default for name, one in made.items()}
    assert "into_buffer" not in stock


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("raise RuntimeError('the handler is closed')", EffectError.exit_code, ""),
        ("raise asyncio.CancelledError", 0, "goes on\n"),
        ("return", 0, "goes on\n"),
    ],
)
def test_process_ends_with_a_task_that_fails(end: str, code: int, said: str) -> None:
    """One that is cancelled, as at a client's stop, or ends by itself leaves it as it is."""
    program = f"""
import asyncio
from app.runtime.ending import end_with

async def task():
    {end}

async def main():
    watched = asyncio.ensure_future(task())
    end_with(watched)
    await asyncio.wait([watched])
    await asyncio.sleep(0)
    print("goes on")

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (code, said) == (ended.returncode, ended.stdout)
    assert ("the metadata of a Kafka client" in ended.stderr) == bool(code)


@pytest.mark.parametrize("version", [0, 1])
def test_login_is_not_logged(version: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client logs requests and responses as they are, by this logger; those of a login are taken out."""
    monkeypatch.setattr(aiokafka.client, "create_conn", aiokafka.conn.create_conn)
    driver.use_connections(into_buffer=True)
    secret, offered = b"\0user\0secret", {SaslAuthenticateRequest.API_KEY: (version, version)}
    login = SaslAuthenticateRequest(secret).prepare(offered)
    with caplog.at_level("DEBUG", logger="aiokafka.conn"):
        for what in (login, login.RESPONSE_TYPE(), "another"):
            aiokafka.conn.log.debug("Request to %s:%d %d: %s", "host", 9092, 1, what)

    assert "secret" in str(login)
    assert ["Request to host:9092 1: another"] == [record.getMessage() for record in caplog.records]

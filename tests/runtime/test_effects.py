"""What the effects hand back is the broker's word, not ours; what they send and keep, and what is too large."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from app.core.alert import Alert
from app.core.dead_letter import DeadLetter
from app.core.engine import Route
from app.errors import EffectError, FrozenError
from app.runtime.counts import Counts
from app.runtime.effects import Effects
from app.runtime.ending import end_process
from app.runtime.heartbeat import Heartbeat
from app.runtime.records import SourcePosition
from app.runtime.settings import load_settings
from app.runtime.table import Change, LineageTable, NewTermsTable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from app.core.ring import Entry

SOURCE = SourcePosition("events", 3, 7, 0)
ROUTE = Route("host", b"mail01")
KEYS = (b"mail01", b"mail02", b"mail03")


class Broker:
    """Stands for Faust's producer: notes what is sent, and acknowledges when told."""

    def __init__(self, refuses: dict[str, Exception] | None = None) -> None:
        self.refuses = refuses or {}
        self.sent: list[tuple[str, int | None]] = []
        self.keys: list[bytes] = []
        self.values: list[bytes | None] = []
        self.futures: list[asyncio.Future[Any]] = []

    async def send(
        self, topic: str, key: bytes, value: bytes | None, *_: object, partition: int | None, **__: object
    ) -> asyncio.Future[Any]:
        """Queue a record; the future is the broker's answer."""
        refusal = self.refuses.pop(topic, None)
        if refusal is not None:
            raise refusal
        self.sent.append((topic, partition))
        self.keys.append(key)
        self.values.append(value)
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]


class Table:
    """Stands for the table: notes what is put and confirmed."""

    changelog_topic_name = "changelog"

    def __init__(self) -> None:
        self.steps: list[str] = []

    def put(self, key: bytes, value: bytes) -> Change:
        """Keep an entry."""
        self.steps.append("put")
        return Change(2, key, value)

    def confirm(self, _: object) -> None:
        """Its changelog record was acknowledged."""
        self.steps.append("confirm")


class Lineage(Table):
    """Stands for the table of processes."""

    changelog_topic_name = "lineage"

    def apply(self, entries: Sequence[Entry]) -> list[Change]:
        """Keep entries."""
        self.steps.append(f"apply {len(entries)}")
        return [Change(2, *entry) for entry in entries]


def _effects(app: Any, heartbeat: Heartbeat, table: Table | None = None, lineage: Lineage | None = None) -> Effects:
    tables = cast(NewTermsTable, table or Table()), cast(LineageTable, lineage or Lineage())
    return Effects(app, *tables, load_settings(), Counts(), heartbeat)


def _run(broker: Broker, table: Table, work: Callable[[Effects], Coroutine[Any, Any, None]]) -> None:
    async def producer() -> Broker:
        return broker

    app = cast(Any, SimpleNamespace(maybe_start_producer=producer))
    heartbeat = Heartbeat(30.0, lambda: 0.0, end_process)
    tables = {"lineage": table} if isinstance(table, Lineage) else {"table": table}
    asyncio.run(work(_effects(app, heartbeat, **cast(Any, tables))))


@pytest.mark.parametrize("name", ["forward", "write"])
def test_match_and_entry_are_confirmed_by_the_broker_alone(name: str) -> None:
    """The step goes on at once; what it holds is not done before the acknowledgement."""
    broker, table = Broker(), Table()
    states: list[bool] = []

    async def work(effects: Effects) -> None:
        sent = await (effects.forward(ROUTE, SOURCE, b"{}") if name == "forward" else effects.write(b"k", b"v"))
        assert sent is not None
        states.append(sent.future.done())
        broker.futures[0].set_result(None)
        await asyncio.sleep(0)
        states.append(sent.future.done())

    _run(broker, table, work)

    expected = {"forward": ([("eximwatch.matches", 8)], []), "write": ([("changelog", 2)], ["put", "confirm"])}
    assert [False, True] == states
    assert expected[name] == (broker.sent, table.steps)


@given(st.binary(min_size=1, max_size=80))
def test_match_goes_where_every_keyed_producer_would_send_it(key: bytes) -> None:
    """Its partition is that of Kafka's default partitioner, so that a host's history stays in one place."""
    broker = Broker()

    async def work(effects: Effects) -> None:
        await effects.forward(Route("host", key), SOURCE, b"{}")

    _run(broker, Table(), work)

    assert [("eximwatch.matches", DefaultPartitioner()(key, list(range(12)), []))] == broker.sent


def test_match_that_is_too_large_is_a_dead_letter() -> None:
    """Its forward can never succeed; the source record goes where it can be looked at, and that is confirmed."""
    broker = Broker({"eximwatch.matches": MessageSizeTooLargeError()})
    results: list[object] = []

    async def work(effects: Effects) -> None:
        forwarding = asyncio.create_task(effects.forward(ROUTE, SOURCE, b"{}"))
        for _ in range(3):
            await asyncio.sleep(0)
        results.append(forwarding.done())
        broker.futures[0].set_result(None)
        results.append(await forwarding)

    _run(broker, Table(), work)

    assert [("eximwatch.dead-letters", None)] == broker.sent
    assert [False, None] == results


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), MessageSizeTooLargeError()])
def test_answer_that_is_an_error_is_never_a_success(error: Exception) -> None:
    """Nor is the broker's refusal for size: the producer's numbering is broken by then."""
    broker = Broker()

    async def work(effects: Effects) -> None:
        letter = asyncio.create_task(effects.dead_letter(DeadLetter("too_large", "a test"), SOURCE, b"{}"))
        for _ in range(3):
            await asyncio.sleep(0)
        broker.futures[0].set_exception(error)
        await letter

    with pytest.raises(EffectError, match="was not confirmed"):
        _run(broker, Table(), work)

    assert 1 == len(broker.sent)


@pytest.mark.parametrize(("failed", "expected"), [(False, [(("changelog", 2), 41)]), (True, [])])
def test_persisted_offset_is_that_of_an_acknowledged_record(failed: bool, expected: list[object]) -> None:
    """How far the database holds the changelog: after a restart only what comes later is read."""
    kept: list[object] = []

    async def confirm() -> None:
        table = NewTermsTable.__new__(NewTermsTable)
        table._data = cast(Any, SimpleNamespace(set_persisted_offset=lambda *what: kept.append(what)))
        sent = asyncio.get_running_loop().create_future()
        if failed:
            sent.set_exception(KafkaConnectionError("gone"))
        else:
            sent.set_result(SimpleNamespace(topic_partition=("changelog", 2), offset=41))
        table.confirm(sent)

    asyncio.run(confirm())

    assert expected == kept


def test_sends_keep_the_order_of_their_calls_while_the_producer_starts() -> None:
    """Who waited for it is not overtaken by who comes when it is there: alerts of a host stay in order."""
    broker = Broker()
    started = asyncio.Event()

    async def producer() -> Broker:
        if not started.is_set():
            await started.wait()
            await asyncio.sleep(0.01)  # who waited comes back a little later than who did not have to
        return broker

    async def run() -> None:
        app = cast(Any, SimpleNamespace(maybe_start_producer=producer))
        heartbeat = Heartbeat(30.0, lambda: 0.0, end_process)
        effects = _effects(app, heartbeat)
        sends = [asyncio.create_task(effects.forward(Route("host", key), SOURCE, b"{}")) for key in KEYS[:2]]
        await asyncio.sleep(0)
        started.set()
        await asyncio.sleep(0)
        sends.append(asyncio.create_task(effects.forward(Route("host", KEYS[2]), SOURCE, b"{}")))
        await asyncio.gather(*sends)

    asyncio.run(run())

    assert list(KEYS) == broker.keys


def test_processes_are_remembered_at_once_and_confirmed_one_by_one() -> None:
    """Entries are written before the first record is sent; records follow in order, deletions among them."""
    broker, table = Broker(), Lineage()
    entries: list[Entry] = [(b"a", b"1"), (b"b", None), (b"c", b"3")]
    states: list[list[bool]] = []

    async def work(effects: Effects) -> None:
        unconfirmed = await effects.remember(entries)
        for future in broker.futures:
            states.append([sent.future.done() for sent in unconfirmed])
            future.set_result(None)
            await asyncio.sleep(0)
        states.append([sent.future.done() for sent in unconfirmed])

    _run(broker, table, work)

    assert [("lineage", 2)] * 3 == broker.sent
    assert entries == list(zip(broker.keys, broker.values, strict=True))
    assert [[number > place for place in range(3)] for number in range(4)] == states
    assert ["apply 3", "confirm", "confirm", "confirm"] == table.steps


def test_nothing_to_remember_is_no_effect() -> None:
    """Nothing is written, sent or waited for."""
    broker, table = Broker(), Lineage()
    results: list[object] = []

    async def work(effects: Effects) -> None:
        results.append(await effects.remember([]))

    _run(broker, table, work)

    assert ([[]], [], []) == (results, broker.sent, table.steps)


def test_frozen_worker_writes_nothing_to_its_table() -> None:
    """The guard is asked before the entry is there, not only before its changelog record."""
    table, lineage = Table(), Lineage()

    def fail(error: BaseException, _: str) -> NoReturn:
        raise error

    async def run() -> None:
        now = [0.0]
        heartbeat = Heartbeat(10.0, lambda: now[0], fail)
        heartbeat.taken(0.0)
        now[0] = 9.0
        effects = _effects(None, heartbeat, table, lineage)
        with pytest.raises(FrozenError):
            await effects.write(b"k", b"v")
        with pytest.raises(FrozenError):
            await effects.remember([(b"k", b"v")])

    asyncio.run(run())

    assert [] == table.steps + lineage.steps


@pytest.mark.parametrize("is_too_large", [True, False])
def test_alert_says_whether_it_is_in_its_topic(is_too_large: bool) -> None:
    """Too large although it was cut, it became a dead letter."""
    broker = Broker({"eximwatch.alerts": MessageSizeTooLargeError()} if is_too_large else None)
    results: list[bool] = []

    async def work(effects: Effects) -> None:
        sending = asyncio.create_task(effects.alert(Alert("id", b"key", b"{}"), "rule", SOURCE, b"{}"))
        while not broker.futures:
            await asyncio.sleep(0)
        broker.futures[0].set_result(None)
        results.append(await sending)

    _run(broker, Table(), work)

    topic = "eximwatch.dead-letters" if is_too_large else "eximwatch.alerts"
    assert ([not is_too_large], [topic]) == (results, [name for name, _ in broker.sent])

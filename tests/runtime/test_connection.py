"""The connection: what it decodes, when its buffer is used again, and how it ends.

A server on loopback speaks just enough of the protocol. Every case runs on both event loops, in the clear and over TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import random
import socket
import ssl
import struct
import subprocess
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection, CloseReason, create_conn
from aiokafka.errors import CorrelationIdError, KafkaConnectionError, KafkaError
from aiokafka.protocol.admin import ApiVersionRequest, ApiVersionResponse_v0
from aiokafka.protocol.coordination import FindCoordinatorRequest, FindCoordinatorResponse_v0
from aiokafka.protocol.fetch import FetchRequest, FetchResponse_v4
from aiokafka.protocol.metadata import MetadataRequest, MetadataResponse_v1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.runtime import connection as connection_module
from app.runtime.connection import Connection, create_connection

_PATIENCE: Final = 15.0
"""Seconds until a case that hangs fails; well under the client's request timeout of 40."""
_ABORT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing resets."""

Connect = Callable[..., Awaitable[Any]]


async def buffered(host: str, port: int, **options: Any) -> Connection:
    """Connect with responses read into a buffer."""
    return await create_connection(host, port, into_buffer=True, **options)


async def streamed(host: str, port: int, **options: Any) -> Connection:
    """Connect with responses read by the stock reader."""
    return await create_connection(host, port, into_buffer=False, **options)


@dataclass(frozen=True)
class Setup:
    """An event loop, and how the two ends speak over it."""

    new_loop: Callable[[], asyncio.AbstractEventLoop]
    server_tls: ssl.SSLContext | None
    client_tls: ssl.SSLContext | None

    def run(self, case: Callable[[Setup], Awaitable[None]]) -> None:
        """Run one case. What it leaves behind, and what the loop complains of, fails it."""
        complaints: list[dict[str, Any]] = []

        async def watched() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            await asyncio.wait_for(case(self), _PATIENCE)

        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            runner.run(watched())
        gc.collect()
        assert [] == complaints


@dataclass
class Peer:
    """The broker's end of one connection, past the handshake."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def next_request(self) -> int:
        """Read a request and give its correlation id."""
        (size,) = struct.unpack(">i", await self.reader.readexactly(4))
        _, _, correlation_id = struct.unpack_from(">hhi", await self.reader.readexactly(size))
        assert isinstance(correlation_id, int)
        return correlation_id

    async def write(self, data: bytes) -> None:
        """Write."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Break the connection off: the other end reads a reset."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self.writer.transport.abort()

    def die(self) -> None:
        """End the stream as the kernel does for a process that was killed: over TLS, without a word of farewell."""
        with socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno())) as same:
            same.shutdown(socket.SHUT_WR)

    def end(self, how: str) -> None:
        """End the connection in one of three ways."""
        {"close": self.writer.close, "die": self.die, "reset": self.reset}[how]()


ENDS: Final = ("close", "die", "reset")


@dataclass
class Broker:
    """A listening server."""

    port: int
    _accepted: asyncio.Queue[Peer] = field(default_factory=asyncio.Queue)

    async def accept(self, *, and_more: bytes = b"") -> Peer:
        """Answer the handshake of the next connection, with something more in the same segment."""
        peer = await self._accepted.get()
        correlation_id = await peer.next_request()
        await peer.write(frame(correlation_id, VERSIONS) + and_more)
        return peer


@contextlib.asynccontextmanager
async def listening(setup: Setup) -> AsyncIterator[Broker]:
    """Give a broker, and break off what it still has at the end."""
    accepted: asyncio.Queue[Peer] = asyncio.Queue()
    peers: list[Peer] = []

    def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(Peer(reader, writer))
        accepted.put_nowait(peers[-1])

    server = await asyncio.start_server(welcome, "127.0.0.1", 0, ssl=setup.server_tls, limit=2**26)
    try:
        yield Broker(server.sockets[0].getsockname()[1], accepted)
    finally:
        server.close()
        for peer in peers:
            peer.writer.transport.abort()
            with contextlib.suppress(OSError):
                await peer.writer.wait_closed()
        await server.wait_closed()


def options_of(setup: Setup, **options: Any) -> dict[str, Any]:
    """Give the client's options, as the client gives them."""
    security = {"security_protocol": "SSL", "ssl_context": setup.client_tls} if setup.client_tls else {}
    return {"client_id": "test", **security, **options}


@contextlib.asynccontextmanager
async def linked(setup: Setup, connect: Connect = buffered, **options: Any) -> AsyncIterator[tuple[Any, Peer]]:
    """Give a connection that is past its handshake, and the broker's end of it."""
    async with listening(setup) as broker:
        connecting = connect("127.0.0.1", broker.port, **options_of(setup, **options))
        connection, peer = await asyncio.gather(connecting, broker.accept())
        try:
            yield connection, peer
        finally:
            closed = connection.close()
            peer.writer.transport.abort()
            await closed


def frame(correlation_id: int, response: Any) -> bytes:
    """Give a response as it is sent."""
    body = response.encode()
    return struct.pack(">ii", len(body) + 4, correlation_id) + bytes(body)


def fetched(*record_sets: bytes | None) -> FetchResponse_v4:
    """Give a fetch response with a partition for each record set."""
    partitions = [(number, 0, 70, 70, [(5, 6)], data) for number, data in enumerate(record_sets)]
    return FetchResponse_v4(0, [("events", partitions), ("ümlaut", [])])


def noise(size: int) -> bytes:
    """Give bytes that differ everywhere."""
    return random.Random(size).randbytes(size)


FETCH = FetchRequest(1, 1, 1, 0, [("events", [(0, 5, 1)])])
METADATA = MetadataRequest([])
VERSIONS = ApiVersionResponse_v0(0, [(1, 4, 4), (3, 1, 1), (10, 0, 0), (18, 0, 0)])
BROKERS = MetadataResponse_v1([(1, "host", 9092, None)], 1, [(0, "events", False, [(0, 0, 1, [1], [1])])])


def ask(connection: Any, request: Any = FETCH) -> asyncio.Future[Any]:
    """Send a request; its response comes to the future."""
    waiting: asyncio.Future[Any] = asyncio.ensure_future(connection.send(request))
    return waiting


async def exchange(connection: Any, peer: Peer, response: Any, request: Any = FETCH) -> Any:
    """Ask, answer, and give what was decoded."""
    waiting = ask(connection, request)
    await peer.write(frame(await peer.next_request(), response))
    return await waiting


def record_set(response: Any) -> Any:
    """Give the first partition's record set."""
    return response.topics[0][1][0][-1]


class Arrivals:
    """Counts the bytes that connections have been given, so that a broker can wait for a piece before the next."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Event()

    def add(self, size: int) -> None:
        """Note that some came."""
        self._count += size
        self._changed.set()

    async def amount_to(self, size: int) -> None:
        """Wait until that many came since the last time."""
        while self._count < size:
            self._changed.clear()
            await self._changed.wait()
        self._count -= size


@contextlib.contextmanager
def counted() -> Iterator[Arrivals]:
    """Count what arrives; connect within."""
    arrivals = Arrivals()
    original = connection_module._Frames.buffer_updated

    def buffer_updated(frames: connection_module._Frames, nbytes: int) -> None:
        original(frames, nbytes)
        arrivals.add(nbytes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection_module._Frames, "buffer_updated", buffer_updated)
        yield arrivals


@dataclass
class Closings:
    """Stands for the client's callback."""

    reasons: list[CloseReason] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, _: object, reason: CloseReason) -> None:
        """Note why a connection was closed."""
        self.reasons.append(reason)
        self.closed.set()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Both ends' TLS, with a certificate that is made here."""
    folder: Path = tmp_path_factory.mktemp("tls")
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=broker"
    made += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(made.split(), cwd=folder, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=str(folder / "cert.pem"))


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=[f"{loop}-{security}" for loop, security in itertools.product(LOOPS, ("clear", "tls"))])
def setup(request: pytest.FixtureRequest, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Setup:
    """Every loop, in the clear and over TLS."""
    loop, _, security = request.param.partition("-")
    return Setup(LOOPS[loop], *(contexts if security == "tls" else (None, None)))


@pytest.fixture(params=LOOPS)
def clear(request: pytest.FixtureRequest) -> Setup:
    """Every loop, in the clear."""
    return Setup(LOOPS[request.param], None, None)


# What is decoded.


def test_fetch_cut_in_two_anywhere_is_decoded_as_stock(setup: Setup) -> None:
    """Wherever the cut is: in the size, after it, in a string, in the records."""
    response = fetched(b"", noise(20), None, b"x")

    async def case(setup: Setup) -> None:
        with counted() as arrivals:
            async with linked(setup) as (ours, peer), linked(setup, create_conn) as (stock, stock_peer):
                expected = await exchange(stock, stock_peer, response)
                for cut in range(1, len(frame(0, response))):
                    waiting = ask(ours)
                    data = frame(await peer.next_request(), response)
                    await peer.write(data[:cut])
                    await arrivals.amount_to(cut)
                    assert not waiting.done()
                    await peer.write(data[cut:])
                    assert expected == await waiting
                    await arrivals.amount_to(len(data) - cut)

    setup.run(case)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, 2 * 9000), max_size=12), sizes=st.lists(st.integers(0, 9000), max_size=2))
def test_fetches_cut_at_random_are_decoded_as_stock(setup: Setup, cuts: set[int], sizes: list[int]) -> None:
    """Short record sets are copies and long ones are views; two responses share their segments."""
    response = fetched(*map(noise, sizes))

    async def case(setup: Setup) -> None:
        with counted() as arrivals:
            async with linked(setup) as (ours, peer), linked(setup, create_conn) as (stock, stock_peer):
                expected = await exchange(stock, stock_peer, response)
                waiting = [ask(ours), ask(ours)]
                data = b"".join([frame(await peer.next_request(), response) for _ in waiting])
                places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
                for start, end in itertools.pairwise(places):
                    await peer.write(data[start:end])
                    await arrivals.amount_to(end - start)
                assert [expected, expected] == await asyncio.gather(*waiting)

    setup.run(case)


def test_long_record_set_is_a_view_and_short_one_a_copy(setup: Setup) -> None:
    """A view of the buffer from a page on: the sieve's input is not copied."""

    async def case(setup: Setup) -> None:
        async with linked(setup) as (ours, peer):
            response = await exchange(ours, peer, fetched(noise(4095), noise(4096)))
            short, long = (fields[-1] for fields in response.topics[0][1])
            assert (bytes, noise(4095)) == (type(short), short)
            assert (memoryview, noise(4096)) == (type(long), long)

    setup.run(case)


def test_responses_in_one_segment_each_come_to_their_request(setup: Setup) -> None:
    """Fetches and others, mixed; the last one is finished by a segment of its own."""
    asked = [(FETCH, fetched(noise(5000))), (METADATA, BROKERS), (FETCH, fetched()), (FETCH, fetched(noise(9)))]

    async def case(setup: Setup) -> None:
        with counted() as arrivals:
            async with linked(setup) as (ours, peer):
                waiting = [ask(ours, request) for request, _ in asked]
                data = b"".join([frame(await peer.next_request(), response) for _, response in asked])
                await peer.write(data[:-3])
                await arrivals.amount_to(len(data) - 3)
                *whole, last = [response for _, response in asked]
                assert whole == await asyncio.gather(*waiting[:-1])
                assert not waiting[-1].done()
                await peer.write(data[-3:])
                assert last == await waiting[-1]

    setup.run(case)


def test_other_responses_are_decoded_as_stock(setup: Setup) -> None:
    """Only fetches take the short way."""
    asked = [
        (METADATA, BROKERS),
        (ApiVersionRequest(), VERSIONS),
        (FindCoordinatorRequest("group", 0), FindCoordinatorResponse_v0(0, 1, "host", 9092)),
    ]

    async def case(setup: Setup) -> None:
        async with linked(setup) as (ours, peer), linked(setup, create_conn) as (stock, stock_peer):
            for request, response in asked:
                expected = await exchange(stock, stock_peer, response, request)
                assert expected == response
                assert expected == await exchange(ours, peer, response, request)

    setup.run(case)


def test_response_to_a_request_that_was_given_up_is_passed_over(setup: Setup) -> None:
    """Nobody waits for it any more; the one after it is the next one's."""

    async def case(setup: Setup) -> None:
        async with linked(setup) as (ours, peer):
            given_up = ask(ours)
            late = await peer.next_request()
            given_up.cancel()
            await asyncio.wait([given_up])
            waiting = ask(ours)
            await peer.write(frame(late, fetched(noise(5000))) + frame(await peer.next_request(), fetched(b"mine")))
            assert fetched(b"mine") == await waiting

    setup.run(case)


def test_response_counts_as_activity(setup: Setup) -> None:
    """The idle timer begins again with each response, as in the stock connection."""

    async def case(setup: Setup) -> None:
        async with linked(setup) as (ours, peer):
            ours._last_action = 0.0
            await exchange(ours, peer, fetched())
            assert ours._last_action > 0.0

    setup.run(case)


# The buffer.


def test_large_then_small_then_large_come_whole(setup: Setup) -> None:
    """Of several megabytes; a small response in a large buffer ends where it ends."""
    sizes = [6_000_000, 5000, 10, 7_000_000, 6_500_000]

    async def case(setup: Setup) -> None:
        async with linked(setup) as (ours, peer):
            for size in sizes:
                assert fetched(noise(size)) == await exchange(ours, peer, fetched(noise(size)))

    setup.run(case)


def test_buffer_is_used_again_once_it_is_free(setup: Setup) -> None:
    """Nothing is allocated for a response that fits, when nobody looks at the one before."""

    async def case(setup: Setup) -> None:
        async with linked(setup) as (ours, peer):
            buffer = record_set(await exchange(ours, peer, fetched(noise(9000)))).obj
            for size in (5000, 9000, 4096):
                assert buffer is record_set(await exchange(ours, peer, fetched(noise(size)))).obj

    setup.run(case)


def test_view_that_is_held_is_not_overwritten(setup: Setup) -> None:
    """Those that come while it is held are read into another buffer."""

    async def case(setup: Setup) -> None:
        async with linked(setup) as (ours, peer):
            held = [record_set(await exchange(ours, peer, fetched(noise(size)))) for size in (9000, 5000, 8000)]
            other = record_set(await exchange(ours, peer, fetched(noise(6000))))
            await exchange(ours, peer, BROKERS, METADATA)
            assert [noise(9000), noise(5000), noise(8000), noise(6000)] == [*held, other]
            assert len({id(view.obj) for view in (*held, other)}) == 4

    setup.run(case)


# How it ends.


@pytest.mark.parametrize(("request_", "error"), [(FETCH, KafkaConnectionError), (METADATA, CorrelationIdError)])
def test_wrong_correlation_id_closes(setup: Setup, request_: Any, error: type[KafkaError]) -> None:
    """The waiter learns of it, and what came behind is given to nobody."""

    async def case(setup: Setup) -> None:
        closings = Closings()
        async with linked(setup, on_close=closings) as (ours, peer):
            first, second = ask(ours, request_), ask(ours)
            wrong, right = await peer.next_request() + 9, await peer.next_request()
            await peer.write(frame(wrong, fetched(b"wrong")) + frame(right, fetched(b"right")))
            with pytest.raises(error) as raised:
                await first
            with pytest.raises(KafkaConnectionError):
                await second
            assert CorrelationIdError in {type(raised.value), type(raised.value.__cause__)}
            assert [CloseReason.OUT_OF_SYNC] == closings.reasons
            assert not ours.connected()

    setup.run(case)


@pytest.mark.parametrize("size", [0, -1, -(2**31)])
@pytest.mark.parametrize("request_", [FETCH, METADATA], ids=["fetch", "other"])
def test_impossible_size_closes(setup: Setup, size: int, request_: Any) -> None:
    """It is not waited for."""

    async def case(setup: Setup) -> None:
        closings = Closings()
        async with linked(setup, on_close=closings) as (ours, peer):
            waiting = ask(ours, request_)
            correlation_id = await peer.next_request()
            await peer.write(struct.pack(">i", size) + frame(correlation_id, fetched())[4:])
            with pytest.raises(KafkaError):
                await waiting
            assert len(closings.reasons) == 1
            assert not ours.connected()

    setup.run(case)


def test_response_that_breaks_off_inside_closes(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """A frame that is whole, but ends before its record set does. The log says why: the client's own line doesn't."""

    async def case(setup: Setup) -> None:
        closings = Closings()
        async with linked(setup, on_close=closings) as (ours, peer):
            waiting = ask(ours)
            data = frame(await peer.next_request(), fetched(noise(5000)))[4:-500]
            await peer.write(struct.pack(">i", len(data)) + data)
            with pytest.raises(KafkaConnectionError) as raised:
                await waiting
            assert isinstance(raised.value.__cause__, ValueError)
            assert [CloseReason.CONNECTION_BROKEN] == closings.reasons

    setup.run(case)
    assert "unreadable response from 127.0.0.1" in caplog.text
    assert "Buffer underrun" in caplog.text


def test_response_that_nobody_asked_for_closes(setup: Setup) -> None:
    """As in the stock connection: what follows can't be told apart any more."""

    async def case(setup: Setup) -> None:
        closings = Closings()
        async with linked(setup, on_close=closings) as (ours, peer):
            await peer.write(frame(7, fetched()))
            await closings.closed.wait()
            assert [CloseReason.CONNECTION_BROKEN] == closings.reasons
            assert not ours.connected()

    setup.run(case)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("part", [0, 2, 4, 40, 5000])
def test_connection_lost_in_mid_frame_fails_what_is_pending(setup: Setup, end: str, part: int) -> None:
    """In the size, right after it, and in the body."""

    async def case(setup: Setup) -> None:
        closings = Closings()
        with counted() as arrivals:
            async with linked(setup, on_close=closings) as (ours, peer):
                waiting = [ask(ours), ask(ours, METADATA)]
                await peer.write(frame(await peer.next_request(), fetched(noise(6000)))[:part])
                await peer.next_request()
                await arrivals.amount_to(part)
                peer.end(end)
                for one in waiting:
                    with pytest.raises(KafkaConnectionError):
                        await one
                assert [CloseReason.CONNECTION_BROKEN] == closings.reasons
                assert not ours.connected()
                with pytest.raises(KafkaConnectionError):
                    await ours.send(FETCH)

    setup.run(case)


@pytest.mark.parametrize("connect", [create_conn, buffered])
def test_end_of_stream_closes_though_not_all_is_written(clear: Setup, connect: Connect) -> None:
    """A broker that no longer reads, and closes its side: the transport itself would wait for it to read on."""

    async def case(setup: Setup) -> None:
        closings = Closings()
        async with linked(setup, connect, on_close=closings) as (ours, peer):
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # typeshed has the writing half only
            waiting = ask(ours)
            ours._writer.transport.write(bytes(2**25))
            peer.writer.write_eof()
            with pytest.raises(KafkaConnectionError):
                await waiting
            assert [CloseReason.CONNECTION_BROKEN] == closings.reasons

    clear.run(case)


@pytest.mark.parametrize("connect", [streamed, buffered])
def test_sending_on_a_transport_that_the_loop_has_closed_is_a_connection_error(setup: Setup, connect: Connect) -> None:
    """Whichever of the two notices it first, the loop or the connection."""

    async def case(setup: Setup) -> None:
        closings = Closings()
        async with linked(setup, connect, on_close=closings) as (ours, _):
            pending = ask(ours)
            lost = ours._closed_fut
            ours._writer.transport.abort()
            await lost
            with pytest.raises(KafkaConnectionError):
                await ours.send(FETCH)
            with pytest.raises(KafkaConnectionError):
                await pending
            assert [CloseReason.CONNECTION_BROKEN] == closings.reasons

    setup.run(case)


def test_stock_connection_still_lets_the_error_of_uvloop_out() -> None:
    """What the guard is for. When this fails, it is needed no longer."""

    async def case(setup: Setup) -> None:
        async with linked(setup, create_conn) as (stock, _):
            lost = stock._closed_fut
            stock._writer.transport.abort()
            await lost
            with pytest.raises(RuntimeError, match="closed"):
                await stock.send(FETCH)

    Setup(uvloop.new_event_loop, None, None).run(case)


@pytest.mark.parametrize("connect", [streamed, buffered])
def test_request_of_which_no_version_fits_is_not_a_connection_error(setup: Setup, connect: Connect) -> None:
    """`NotImplementedError` is a `RuntimeError` too. Connecting again would not help."""

    async def case(setup: Setup) -> None:
        async with linked(setup, connect) as (ours, peer):
            ours._versions[FETCH.API_KEY] = (90, 91)
            with pytest.raises(NotImplementedError):
                await ours.send(FETCH)
            assert BROKERS == await exchange(ours, peer, BROKERS, METADATA)

    setup.run(case)


def test_request_without_a_response_waits_until_it_can_be_written(setup: Setup) -> None:
    """The transport's flow control reaches the stock protocol, which does the waiting."""

    async def case(setup: Setup) -> None:
        async with linked(setup) as (ours, peer):
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # typeshed has the writing half only
            for _ in range(2):  # over TLS the first is taken whole
                ours._writer.transport.write(bytes(2**24))
            assert ours._protocol._paused
            sent = asyncio.ensure_future(ours.send(FETCH, expect_response=False))
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert bytes(2**25) == await peer.reader.readexactly(2**25)
            await sent
            assert not ours._protocol._paused
            await peer.next_request()
            assert fetched() == await exchange(ours, peer, fetched())

    setup.run(case)


def test_close_closes(setup: Setup) -> None:
    """Both ends; what is pending fails, and closing again is nothing."""

    async def case(setup: Setup) -> None:
        closings = Closings()
        async with linked(setup, on_close=closings) as (ours, peer):
            waiting = ask(ours)
            await peer.next_request()
            closed = ours.close(reason=CloseReason.SHUTDOWN)
            assert not ours.connected()
            with pytest.raises(KafkaConnectionError):
                await waiting
            assert b"" == await peer.reader.read()
            peer.writer.close()
            await closed
            ours.close()
            assert [CloseReason.SHUTDOWN] == closings.reasons

    setup.run(case)


def test_close_in_mid_frame_gives_nothing_to_anybody(setup: Setup) -> None:
    """What was under way when the client closed is not an answer any more."""

    async def case(setup: Setup) -> None:
        with counted() as arrivals:
            async with linked(setup) as (ours, peer):
                waiting = ask(ours)
                data = frame(await peer.next_request(), fetched(noise(9000)))
                await peer.write(data[:6000])
                await arrivals.amount_to(6000)
                ours.close()
                with pytest.raises(KafkaConnectionError):
                    await waiting

    setup.run(case)


def test_idle_connection_is_dropped(setup: Setup) -> None:
    """But not while a request waits for its response."""

    async def case(setup: Setup) -> None:
        closings = Closings()
        async with linked(setup, on_close=closings, max_idle_ms=20) as (ours, peer):
            waiting = ask(ours)
            correlation_id = await peer.next_request()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(closings.closed.wait(), 0.1)
            await peer.write(frame(correlation_id, fetched()))
            assert fetched() == await waiting
            await closings.closed.wait()
            assert [CloseReason.IDLE_DROP] == closings.reasons

    setup.run(case)


@pytest.mark.parametrize("connect", [create_conn, buffered])
def test_connection_that_is_let_go_of_warns_and_closes(setup: Setup, connect: Connect) -> None:
    """As the stock one: its transport doesn't keep it alive."""

    async def case(setup: Setup) -> None:
        async with listening(setup) as broker:
            accepting = asyncio.ensure_future(broker.accept())
            held = [await connect("127.0.0.1", broker.port, **options_of(setup))]
            peer = await accepting
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            transport = held[0]._writer.transport
            with pytest.warns(ResourceWarning, match="Unclosed AIOKafkaConnection"):
                held.clear()
            assert transport.is_closing()
            assert b"" == await peer.reader.read()

    setup.run(case)


# The change from one reader to the other.


def test_connection_lost_before_the_change_is_a_connection_error(setup: Setup) -> None:
    """Whether the loop has told of it yet or not."""

    async def case(setup: Setup) -> None:
        for told in (False, True):
            closings = Closings()
            async with linked(setup, streamed, on_close=closings) as (ours, _):
                lost = ours._closed_fut
                ours._writer.transport.abort()
                if told:
                    await lost
                with pytest.raises(KafkaConnectionError):
                    ours.read_into_buffer()
                assert [CloseReason.CONNECTION_BROKEN] == closings.reasons
                assert not ours.connected()

    setup.run(case)


@pytest.mark.parametrize("end", [*ENDS, "frame"])
def test_connection_lost_right_after_the_handshake_is_a_connection_error(setup: Setup, end: str) -> None:
    """At whichever step it is noticed; never another error, and nothing waits for the request's timeout.

    A frame that nobody asked for ends the stock reader as well, in the midst of the change.
    """

    async def case(setup: Setup) -> None:
        async with listening(setup) as broker:

            async def use() -> None:
                connection = await buffered("127.0.0.1", broker.port, **options_of(setup))
                try:
                    await connection.send(FETCH)
                finally:
                    await connection.close()

            for _ in range(10):
                using = asyncio.ensure_future(use())
                peer = await broker.accept(and_more=frame(7, fetched()) if end == "frame" else b"")
                if end in ENDS:
                    peer.end(end)
                with pytest.raises(KafkaConnectionError):
                    await using

    setup.run(case)


def test_absurd_size_closes_the_connection(clear: Setup) -> None:
    """A buffer is made as soon as a size is read: none is made for what no broker sends."""

    async def case(setup: Setup) -> None:
        async with linked(setup) as (ours, peer):
            tracemalloc.start()
            try:
                waiting = ask(ours)
                await peer.write(struct.pack(">i", 2**29 + 1))
                with pytest.raises(KafkaConnectionError):
                    await waiting
                assert tracemalloc.get_traced_memory()[1] < 2**24
            finally:
                tracemalloc.stop()

    clear.run(case)


def test_stock_connection_is_what_ours_was_written_for() -> None:
    """Our own names are none of its."""
    own = vars(Connection).keys() - {"connect", "send", "_handle_frame", "__module__", "__doc__"}
    assert {"_broken", "read_into_buffer"} == own
    assert not [name for name in own if hasattr(AIOKafkaConnection, name)]

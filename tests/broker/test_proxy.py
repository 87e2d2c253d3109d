"""The proxy that holds back a broker's answers."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.broker.proxy import DelayProxy
from tests.broker.settings import HOST, free_ports
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S = 20


@contextmanager
def _echo() -> Iterator[str]:
    """A server that sends back what it gets, and hangs up at an `x`; its address."""

    def serve(connection: socket.socket) -> None:
        with connection:
            while (data := connection.recv(65536)) and b"x" not in data:
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"{HOST}:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(_TIMEOUT_S)


@pytest.fixture
def front() -> str:
    """Where the proxy listens."""
    return f"{HOST}:{free_ports(1)[0]}"


def _connect(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), _TIMEOUT_S)


def _receive(client: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        data = client.recv(count - len(found))
        assert data
        found += data
    return found


def test_bytes_pass_unchanged(front: str) -> None:
    """More than any buffer holds comes back as it was, in its order."""
    sent = bytes(range(256)) * 8192
    sent = sent.replace(b"x", b"")
    with _echo() as echo, DelayProxy(front, echo), _connect(front) as client:
        threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
        assert sent == _receive(client, len(sent))


def test_answers_are_late_each_by_itself(front: str) -> None:
    """No answer is there before the delay is over, and many at once are no later than one."""
    with _echo() as echo, DelayProxy(front, echo, 0.2) as proxy, _connect(front) as client:
        began = time.monotonic()
        for _ in range(50):
            client.sendall(b"a")
        _receive(client, 1)
        assert 0.2 <= time.monotonic() - began
        _receive(client, 49)
        # One after the other they would have taken ten seconds.
        assert 5 > time.monotonic() - began
        proxy.delay = 0.0
        client.sendall(b"b")
        assert b"b" == _receive(client, 1)


def test_connection_ends_with_the_broker_s(front: str) -> None:
    """What the broker hangs up on is hung up on, after what it had answered."""
    with _echo() as echo, DelayProxy(front, echo, 0.05), _connect(front) as client:
        client.sendall(b"abc")
        assert b"abc" == _receive(client, 3)
        client.sendall(b"x")
        assert b"" == client.recv(1)


def test_client_is_hung_up_on_without_a_broker(front: str) -> None:
    """With nobody at the target a client is not left waiting."""
    nobody = f"{HOST}:{free_ports(1)[0]}"
    with DelayProxy(front, nobody), _connect(front) as client:
        assert b"" == client.recv(1)


def test_close_ends_connections(front: str) -> None:
    """After the end of the proxy a client sees its connection end, and nobody listens."""
    with _echo() as echo:
        proxy = DelayProxy(front, echo)
        proxy.start()
        with _connect(front) as client:
            client.sendall(b"a")
            _receive(client, 1)
            proxy.close()
            assert b"" == client.recv(1)
    host, port = front.split(":")

    def refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) != 0

    wait_until(refused, _TIMEOUT_S, "the port to close")

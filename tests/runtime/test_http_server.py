"""The worker's HTTP server, asked for real."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry, Gauge

from app.errors import SettingsError
from app.runtime.health import Health
from app.runtime.http_server import HttpServer
from app.tools.cli_health import ask


@contextmanager
def _served(live: Health | Exception = Health(True, {"status": "ok"})) -> Iterator[HttpServer]:  # noqa: B008 — frozen
    registry = CollectorRegistry()
    Gauge("answer", "The answer.", registry=registry).set(42)

    def answer() -> Health:
        if isinstance(live, Exception):
            raise live
        return live

    server = HttpServer(("127.0.0.1", 0), registry, answer, lambda: Health(False, {"status": "it starts"}))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _ask(server: HttpServer, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/livez", 200),
        ("HEAD", "/livez", 200),
        ("GET", "/readyz", 503),
        ("GET", "/", 404),
        ("GET", "/metrics/../livez", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/livez", 405),
    ],
)
def test_three_paths_are_answered_to_get_and_head(method: str, path: str, expected: int) -> None:
    """Everything else is refused."""
    with _served() as server:
        status, body = _ask(server, path, method)

        assert (expected, method == "HEAD") == (status, not body)


def test_health_is_json_with_its_status() -> None:
    """What is wrong stands in the answer, for a person."""
    with _served() as server:
        assert {"status": "it starts"} == json.loads(_ask(server, "/readyz")[1])


def test_metrics_come_compressed_where_that_is_understood() -> None:
    """A scraper saves traffic; one that does not ask for it gets text."""
    with _served() as server:
        _, plain = _ask(server, "/metrics")
        _, packed = _ask(server, "/metrics", **{"Accept-Encoding": "gzip"})

        assert b"answer 42.0" in plain
        assert plain == gzip.decompress(packed)


def test_client_that_says_nothing_holds_up_nobody() -> None:
    """Others are answered while it dawdles; over the bound of connections new ones are closed, not queued."""
    with _served() as server:
        idle = [socket.create_connection(server.address, timeout=10) for _ in range(10)]
        try:
            assert 200 == _ask(server, "/livez")[0]
            more = [socket.create_connection(server.address, timeout=10) for _ in range(10)]
            assert b"" in [each.recv(1) for each in more[-1:]]
        finally:
            for each in (*idle, *more):
                each.close()


def test_failure_of_an_answer_is_an_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """The next request is answered as ever."""
    caplog.set_level("CRITICAL")
    with _served(ValueError("broken")) as server:
        assert 500 == _ask(server, "/livez")[0]
        assert 200 == _ask(server, "/metrics")[0]


def test_address_in_use_is_refused_in_one_line() -> None:
    """Two workers on one machine need two ports."""
    with _served() as server, pytest.raises(SettingsError) as raised:
        HttpServer(server.address, CollectorRegistry(), lambda: Health(True, {}), lambda: Health(True, {}))

    assert f"127.0.0.1:{server.address[1]} can't be listened on (Address already in use)" in str(raised.value)
    assert "give each worker of a machine a port of its own, or none" in str(raised.value)


def test_health_is_asked_and_told_in_one_line() -> None:
    """For a container's health check: whether all is well, and what the worker says."""
    with _served() as server:
        found = [ask(server.address, path) for path in ("/livez", "/readyz")]
        address = server.address

    assert [(True, "status=ok"), (False, "status=it starts")] == found
    assert (False, f"http://127.0.0.1:{address[1]}/livez does not answer: [Errno 111] Connection refused") == ask(
        address, "/livez"
    )

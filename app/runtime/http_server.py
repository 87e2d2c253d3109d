"""The worker's HTTP server: `/metrics`, `/livez` and `/readyz`, from threads of its own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from app.errors import SettingsError
from app.runtime.health import Health
from app.runtime.log import logger

_CLIENT_S: Final = 5.0
"""How long a client may take to ask or to take its answer."""

_MAX_CLIENTS: Final = 16
"""Connections at once; more are closed unanswered. A handful of probes and scrapers is usual."""

_POLL_S: Final = 0.1
"""How often the server looks whether it is to end: what a stop waits for it at most."""

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_S

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: every probe would be a line."""

    def handle(self) -> None:
        """Serve one request; a client that goes away or dawdles is nobody's error."""
        with suppress(OSError):
            super().handle()


class _Server(WSGIServer):
    daemon_threads = True
    request_queue_size = _MAX_CLIENTS

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._room = threading.BoundedSemaphore(_MAX_CLIENTS)
        super().__init__(address, _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        """Bind, without the look-up of the host's name, which may take a resolver's patience."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 — as it is overridden
        """Serve it in a thread of its own, if there is room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        threading.Thread(target=self._serve, args=(request, client_address), name="http", daemon=True).start()

    def _serve(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 — a socket, and what it calls its peer
        try:
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001 — told, and the next one is answered
            logger.exception("a request to the worker's HTTP server failed")
        finally:
            self.shutdown_request(request)
            self._room.release()


class HttpServer:
    """Listens from `start` to `stop`.

    Attributes:
        address: Where, as it was bound.
    """

    def __init__(
        self,
        address: tuple[str, int],
        registry: CollectorRegistry,
        live: Callable[[], Health],
        ready: Callable[[], Health],
    ) -> None:
        """Bind; nothing is answered yet.

        Args:
            address: Host and port; port 0 takes a free one.
            registry: What `/metrics` shows.
            live: The answer of `/livez`.
            ready: The answer of `/readyz`.

        Raises:
            SettingsError: The address can't be had.
        """
        try:
            self._server = _Server(address, application(registry, live, ready))
        except OSError as error:
            raise SettingsError(
                f"setting http_listen (EXIMWATCH_HTTP_LISTEN): {address[0]}:{address[1]} can't be listened on "
                f"({error.strerror or error}): give each worker of a machine a port of its own, or none"
            ) from None
        host, port = self._server.server_address[:2]
        self.address: tuple[str, int] = (str(host), int(port))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="http server", daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        host, port = self.address
        shown = f"[{host}]" if ":" in host else host
        logger.info("metrics and health at {url}/metrics, /livez, /readyz", url=f"http://{shown}:{port}")

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_CLIENT_S)


def application(registry: CollectorRegistry, live: Callable[[], Health], ready: Callable[[], Health]) -> Application:
    """The three paths; all others are not found, and nothing but GET and HEAD is understood."""
    metrics = make_wsgi_app(registry)
    answers = {"/livez": live, "/readyz": ready}

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "")
        if method not in ("GET", "HEAD"):
            return _text(start_response, "405 Method Not Allowed", [("Allow", "GET, HEAD")])
        if path == "/metrics":
            shown: Iterable[bytes] = metrics({**environ, "REQUEST_METHOD": "GET"}, start_response)
            return shown if method == "GET" else []
        if path in answers:
            return _json(start_response, answers[path](), method)
        return _text(start_response, "404 Not Found", [])

    return answer


def _json(start_response: StartResponse, health: Health, method: str) -> Iterable[bytes]:
    body = json.dumps(health.body).encode() + b"\n"
    status = "200 OK" if health.ok else "503 Service Unavailable"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start_response(status, headers)
    return [body] if method == "GET" else []


def _text(start_response: StartResponse, status: str, headers: list[tuple[str, str]]) -> Iterable[bytes]:
    body = b"this server has /metrics, /livez and /readyz\n"
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers])
    return [body]


ServerHandler.server_software = "eximwatch"

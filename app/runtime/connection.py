"""A broker connection whose responses arrive in one buffer, and whose closed socket is an error like any other.

Two things differ from the stock connection:

- **Writing to a closed transport** is a `RuntimeError` in uvloop. The stock client expects an `OSError`; its task that
  keeps the metadata would die of the other, unseen, and with it every lookup of a coordinator: a worker that goes on
  reading and never commits again.
- **Responses are read into one buffer of their size** (`asyncio.BufferedProtocol`), and fetches are decoded as views
  of it. The stock path copies every byte several times. Over TLS as well: the transport is the same to its protocol.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
import weakref
from collections.abc import Awaitable
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import CorrelationIdError, KafkaConnectionError
from aiokafka.protocol.admin import SaslAuthenticateRequest_v0
from aiokafka.protocol.fetch import FetchRequest_v0

from app.runtime.log import logger

PRIVATE_NAMES: Final = (
    "aiokafka.conn.AIOKafkaConnection._handle_frame",
    "aiokafka.conn.AIOKafkaConnection._last_action",
    "aiokafka.conn.AIOKafkaConnection._protocol",
    "aiokafka.conn.AIOKafkaConnection._read_task",
    "aiokafka.conn.AIOKafkaConnection._requests",
    "aiokafka.conn.AIOKafkaConnection._writer",
)

_LOGIN: Final = SaslAuthenticateRequest_v0.API_KEY
_SIZE: Final = struct.Struct(">i")
_FETCH: Final = FetchRequest_v0.API_KEY
_MAX_SIZE: Final = 512 * 1024 * 1024
"""Bytes of a response, far beyond what a fetch asks for; more is a stream out of step, or no broker."""

_VIEW_FROM: Final = 4096
"""Bytes from which a read is given as a view: in a fetch response only record sets are that long."""


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka leaves it untyped
    """The stock connection, less what is said above."""

    async def connect(self) -> Any:  # noqa: ANN401 — the stock signature
        """Connect, and take the stock handshake; a transport that closes meanwhile is a connection error."""
        try:
            return await super().connect()
        except NotImplementedError:  # of a request that the broker has no version of
            raise
        except RuntimeError as error:
            raise self._broken(error) from error

    def send(self, request: Any, expect_response: bool = True) -> Awaitable[Any]:  # noqa: ANN401
        """Send a request; a closed transport is a connection error."""
        try:
            sent: Awaitable[Any] = super().send(request, expect_response)
        except NotImplementedError:
            raise
        except RuntimeError as error:
            raise self._broken(error) from error
        return sent

    def _broken(self, error: Exception) -> KafkaConnectionError:
        self.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
        return KafkaConnectionError(f"connection to {self.host}:{self.port} is closed: {error}")

    def read_into_buffer(self) -> None:
        """Change over from the stream reader. Nothing may be under way: call it before the first request.

        Raises:
            KafkaConnectionError: The connection was lost since the handshake, and the stock reader, which would have
                noticed, has had no turn yet.
        """
        if not self.connected() or self._writer.transport.is_closing():
            raise self._broken(EOFError("it was lost right after the handshake"))
        self._read_task.cancel()
        transport = self._writer.transport
        # uvloop chooses how to read when reading starts.
        transport.pause_reading()
        transport.set_protocol(_Frames(self, self._protocol))
        transport.resume_reading()

    def _handle_frame(self, resp: bytes | bytearray | memoryview) -> None:
        """Give a response to whoever waits for it."""
        if isinstance(resp, bytes) or not self._requests:
            super()._handle_frame(bytes(resp))
            return
        correlation_id, request, waiting = self._requests[0]
        if correlation_id is None or request.API_KEY != _FETCH:
            super()._handle_frame(bytes(resp))
            return
        body = _Views(resp)
        received = request.parse_response_header(body).correlation_id
        if received != correlation_id:
            error = CorrelationIdError(f"a response to request {received} came for request {correlation_id}")
            self.close(reason=CloseReason.OUT_OF_SYNC, exc=error)
            return
        if not waiting.done():
            waiting.set_result(request.RESPONSE_TYPE.decode(body))
        self._last_action = time.monotonic()
        self._requests.popleft()


async def create_connection(host: str, port: int, *, into_buffer: bool, **options: Any) -> Connection:  # noqa: ANN401
    """Connect as the stock `create_conn` does, with the responses read into a buffer or by the stock reader."""
    connection = Connection(host, port, **options)
    await connection.connect()
    if into_buffer:
        connection.read_into_buffer()
    return connection


def hide_logins(record: logging.LogRecord) -> bool:
    """A filter for the client's log, which at level debug shows every request whole: with PLAIN the password too."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(getattr(argument, "API_KEY", None) == _LOGIN for argument in arguments)


class _Views:
    """Reads like a file; long reads are views."""

    def __init__(self, data: bytearray | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    def read(self, size: int) -> bytes | memoryview:
        part = self._data[self._at : self._at + size]
        self._at += len(part)
        return part if size >= _VIEW_FROM else bytes(part)


class _Frames(asyncio.BufferedProtocol):
    """Cuts what arrives into responses: four bytes of size, then as many bytes."""

    def __init__(self, connection: Connection, stock: asyncio.StreamReaderProtocol) -> None:
        # Weak, as in the stock reader: a connection that nobody has any more warns of it and closes.
        self._connection = weakref.ref(connection)
        self._stock = stock
        self._head = bytearray(_SIZE.size)
        self._body = bytearray()
        self._target = memoryview(self._head)
        self._filled = 0

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._target[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled < len(self._target):
            return
        if self._target.obj is self._head:
            (size,) = _SIZE.unpack(self._head)
            if size > _MAX_SIZE:
                self._close(ValueError(f"a response of {size} bytes: is this a Kafka broker?"))
                return
            if size > 0:
                self._expect_body(size)
                return
        frame, self._target, self._filled = self._target, memoryview(self._head), 0
        connection = self._connection()
        if connection is None:
            return
        try:
            connection._handle_frame(frame)
        except Exception as error:  # noqa: BLE001 — as the stock reader
            # Whatever it is, the connection is of no use, and only the log has the cause.
            logger.error(
                "unreadable response from {broker}: {error}",
                broker=f"{connection.host}:{connection.port}",
                error=error,
                exc_info=error,
            )
            self._close(error)

    def _expect_body(self, size: int) -> None:
        if size > len(self._body) or not _is_free(self._body):
            self._body = bytearray(size)
        self._target, self._filled = memoryview(self._body)[:size], 0

    def eof_received(self) -> bool:
        # The transport would first write what it still has, to a broker that may not read it any more.
        self._close(EOFError("the broker closed the connection"))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._stock.connection_lost(error)
        self._close(error)

    def _close(self, error: Exception | None) -> None:
        connection = self._connection()
        if connection is not None:
            connection.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)

    def pause_writing(self) -> None:
        self._stock.pause_writing()

    def resume_writing(self) -> None:
        self._stock.resume_writing()


def _is_free(buffer: bytearray) -> bool:
    """Whether nobody looks at it any more: with a view alive its size can't be changed."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    buffer.pop()
    return True

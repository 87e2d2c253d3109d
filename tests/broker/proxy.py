"""A TCP proxy before a broker that holds back its answers, as a network with a longer way would."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

_CHUNK_BYTES: Final = 256 * 1024
_HELD_CHUNKS: Final = 4096
_START_S: Final = 10.0
_STOP_S: Final = 10.0


class DelayProxy:
    """Passes bytes on as they are; what the broker answers arrives `delay` seconds after it came, in its order.

    Every chunk is held for that long by itself, so that throughput stays what it was and only time is added.
    Connections end with the broker's, and none outlives `close`.

    Attributes:
        delay: Seconds; may be changed at any time, and holds for what comes from then on.
    """

    def __init__(self, listen: str, target: str, delay: float = 0.0) -> None:
        """Prepare only; see `start`.

        Args:
            listen: Where clients connect, `host:port`.
            target: Where the broker listens, `host:port`; it must advertise `listen` there.
            delay: Seconds by which answers are late at first.
        """
        self._listen = _address(listen)
        self._target = _address(target)
        self.delay = delay
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="delay proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it and its connections."""
        self.close()

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self._thread.start()
        self._run(self._open(), _START_S)

    def close(self) -> None:
        """End it and all its connections. May be called twice."""
        if self._loop.is_closed():
            return
        self._run(self._end(), _STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)
        self._loop.close()

    def _run(self, work: Coroutine[None, None, None], timeout: float) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._connected, *self._listen)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one of the two is gone, or the proxy ends: both are told by the close below
        finally:
            self._connections.discard(task)
            await _close(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(*self._target)
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_HELD_CHUNKS)
        ways = [
            asyncio.create_task(_pass_on(reader, requests)),
            asyncio.create_task(self._hold(answers, held)),
            asyncio.create_task(_let_go(held, writer)),
        ]
        try:
            # Each ends when its side does, and then nothing more can come of the others.
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _close(requests)

    async def _hold(self, answers: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while data := await answers.read(_CHUNK_BYTES):
            await held.put((loop.time() + self.delay, data))
        await held.put((loop.time() + self.delay, b""))
        await asyncio.Event().wait()  # the way to the client ends when it meets the empty chunk


async def _pass_on(reader: asyncio.StreamReader, requests: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        requests.write(data)
        await requests.drain()


async def _let_go(held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due, data = await held.get()
        if (early := due - loop.time()) > 0:
            await asyncio.sleep(early)
        if not data:
            return
        writer.write(data)
        await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)

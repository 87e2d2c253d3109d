"""The producing client: idempotent, and silent once the group has not heard of the worker for too long."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from aiokafka.protocol.produce import ProduceRequest
from faust.transport.drivers.aiokafka import Producer

from app.runtime.ending import end_with

if TYPE_CHECKING:
    from app.runtime.driver import SieveTransport

PRIVATE_NAMES: Final = (
    "aiokafka.client.AIOKafkaClient._sync_task",
    "faust.transport.drivers.aiokafka.Producer._ensure_producer",
    "faust.transport.drivers.aiokafka.Producer._settings_extra",
)


class IdempotentProducer(Producer):
    """Faust's producer, whose retries neither double nor reorder records."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def on_start(self) -> None:
        """Start the client, and watch the task of it that nobody waits for."""
        await super().on_start()
        client = self._ensure_producer().client
        end_with(client._sync_task)
        # What was queued before the worker was frozen would go out after it.
        client.send = functools.partial(self._send_if_alive, client.send)

    async def _send_if_alive(self, send: Callable[..., Awaitable[Any]], node: int, request: Any, **options: Any) -> Any:
        if isinstance(request, ProduceRequest):
            cast("SieveTransport", self.transport).heartbeat.require("a request to write")
        return await send(node, request, **options)

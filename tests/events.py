"""Events in the shape of Elastic Defend's process events: one builder for every test that needs one."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

JsonObject: TypeAlias = dict[str, Any]

TIME: Final = "2026-01-05T08:00:00.123456789Z"
"""The `@timestamp` of an event that is not told otherwise."""

ABSENT: Final = object()
"""As an override: the field is left out."""


def event(
    name: object = "sh", parent: object = "exim4", host: object = "mail01", time: object = TIME, **overrides: object
) -> JsonObject:
    """Build an execution as Defend 8.16 and later writes it, with nested keys.

    Args:
        name: `process.name`.
        parent: `process.parent.name`.
        host: `host.id`.
        time: `@timestamp`.
        overrides: More fields by their dotted path; `__` stands for a dot, so that keywords can name them.
    """
    document: JsonObject = {}
    fields = {
        "@timestamp": time,
        "agent.type": "endpoint",
        "agent.version": "8.17.0",
        "data_stream.type": "logs",
        "data_stream.dataset": "endpoint.events.process",
        "data_stream.namespace": "default",
        "ecs.version": "8.10.0",
        "event.action": ["fork", "exec", "end"],
        "event.category": ["process"],
        "event.id": "NP7QDF1Mn0XpDdgN+++++0d5",
        "event.kind": "event",
        "event.type": ["start", "end"],
        "host.id": host,
        "host.name": "mail01.example.org",
        "host.os.type": "linux",
        "process.args": [name, "-c", "id"],
        "process.entity_id": "ZW50aXR5",
        "process.executable": f"/usr/bin/{name}",
        "process.name": name,
        "process.parent.executable": f"/usr/sbin/{parent}",
        "process.parent.name": parent,
        "process.pid": 4711,
        "user.id": 105,
        "user.name": "Debian-exim",
    }
    fields |= {path.replace("__", "."): value for path, value in overrides.items()}
    for path, value in fields.items():
        if value is not ABSENT:
            _put(document, path, value)
    return document


def raw(document: object) -> bytes:
    """Write a document as the bytes of one record."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _put(document: JsonObject, path: str, value: object) -> None:
    *parents, key = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[key] = value

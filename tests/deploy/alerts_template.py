"""The alerts' index template as Elasticsearch would read it: which type a document's field has, and whether it fits."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

TEMPLATE: Final = Path(__file__).parents[2] / "deploy" / "connect" / "alerts-index-template.json"

Json = dict[str, Any]
Leaf = str | int | float | bool | None

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")
_IP = re.compile(r"[0-9.]+|[0-9a-fA-F:.]+")


@functools.cache
def mappings() -> Json:
    """The template's mappings."""
    found: Json = json.loads(TEMPLATE.read_bytes())["template"]["mappings"]
    return found


def leaves(value: object, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """The scalars of a document by their paths; Elasticsearch spells out dots, and sees no arrays."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, path)
    else:
        yield path, value  # type: ignore[misc]  # JSON has nothing else


@functools.cache
def declared(path: str) -> str | None:
    """The type that the template declares for a path; below a flattened object that; None where it has none."""
    node: Json = mappings()
    for name in path.split("."):
        node = node.get("properties", {}).get(name)
        if node is None:
            return None
        if node.get("type") == "flattened":
            return "flattened"
    return node.get("type")


def fits(kind: str | None, value: Leaf) -> bool:
    """Whether a value can be indexed in a field of that type; without one, by the template's dynamic keywords."""
    match kind:
        case None | "keyword" | "flattened" | "text":
            return True
        case "long":
            return type(value) is int
        case "float":
            return type(value) in (int, float)
        case "boolean":
            return type(value) is bool
        case "date" | "date_nanos":
            return isinstance(value, str) and _TIME.fullmatch(value) is not None
        case "ip":
            return isinstance(value, str) and _IP.fullmatch(value) is not None
    return False


def schema_fields(schema: Json) -> Iterator[tuple[str, Json]]:
    """Every field that the alerts' schema declares, with its schema: of ours all, of the event those that it names."""
    for name, member in schema["properties"].items():
        if member is not False:
            yield from _fields(schema, member, name)


def _fields(root: Json, node: Json, path: str) -> Iterator[tuple[str, Json]]:
    if "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]] | {key: node[key] for key in node if key != "$ref"}
    items = node.get("items")
    if items:
        yield from _fields(root, items, path)
        return
    members = dict(node.get("properties", {}))
    for choice in node.get("oneOf", ()):
        members |= choice.get("properties", {})
    if not members:
        yield path, node
    for name, member in members.items():
        if member is not False:
            yield from _fields(root, member, f"{path}.{name}")

"""Documents: one nested layout for all source fields, and cutting what is too large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from app.core.event import JsonObject

MAX_KEY_PARTS: Final = 20
"""A dotted key with more parts stays as it is; Elasticsearch refuses deeper objects too (its default limit)."""

CUT_TEXT: Final = 128
"""Characters that a cut string keeps."""

_encode = msgspec.json.Encoder().encode


def encode_document(document: JsonObject) -> bytes:
    """A document as compact JSON."""
    return _encode(document)


def nest(document: JsonObject) -> JsonObject:
    """A copy in which every dotted key is spelled out as objects and all values of one field stand together.

    Where a field has values in several places, they become one array; objects at the same place are merged.
    """
    nested: JsonObject = {}
    for key, value in document.items():
        parts = key.split(".")
        inner = _nest_value(value)
        if 1 < len(parts) <= MAX_KEY_PARTS and all(parts):
            for part in reversed(parts[1:]):
                inner = {part: inner}
            key = parts[0]
        nested[key] = _merge(nested[key], inner) if key in nested else inner
    return nested


def dotted(document: JsonObject, prefix: str) -> JsonObject:
    """A flat copy: each value that is no object under its whole path, behind a prefix."""
    flat: JsonObject = {}
    for key, value in document.items():
        path = f"{prefix}.{key}"
        if isinstance(value, dict):
            flat.update(dotted(value, path))
        else:
            flat[path] = value
    return flat


def fit(parts: Sequence[JsonObject], budget: int) -> list[str]:
    """Cut the largest fields, in place, until the parts together take no more than `budget` bytes as JSON.

    Strings keep their beginning, everything else is removed. What is cut depends on names and values alone,
    never on their order.

    Returns:
        The path of every cut field, in the order of cutting; a very long path is shortened itself.
    """
    size = _size(parts)
    cuts: list[str] = []
    leaves = sorted((leaf for part in parts for leaf in _leaves(part, "")), key=lambda leaf: (-leaf[0], leaf[1]))
    for taken, path, parent, key in leaves:
        if size <= budget:
            break
        value = parent[key]
        if isinstance(value, str) and len(value) > CUT_TEXT:
            parent[key] = value[:CUT_TEXT] + "…"
            size -= taken - len(_encode(parent[key]))
        else:
            del parent[key]
            size -= taken + len(_encode(key)) + 1
        cuts.append(path[:CUT_TEXT])
    # Only a document of very many empty objects is still too large here.
    for part in parts:
        for key in sorted(part, key=lambda name: (-len(_encode(part[name])), name)):
            if _size(parts) <= budget:
                return cuts
            del part[key]
            cuts.append(key[:CUT_TEXT])
    return cuts


def _size(parts: Sequence[JsonObject]) -> int:
    return sum(len(_encode(part)) for part in parts)


def _leaves(node: JsonObject, prefix: str) -> Iterator[tuple[int, str, JsonObject, str]]:
    """Size, path, parent and key of every value that is no object; an array counts as one value."""
    for key, value in node.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}.")
        else:
            yield len(_encode(value)), path, node, key


def as_object(value: Any) -> JsonObject:  # noqa: ANN401 — any JSON value
    """The one object that stands for a value: itself, or the objects of an array merged; else empty."""
    if isinstance(value, dict):
        return value
    merged: JsonObject = {}
    for item in _listed(value):
        if isinstance(item, dict):
            merged = _merge(merged, item)
    return merged


def _nest_value(value: Any) -> Any:  # noqa: ANN401 — any JSON value
    if isinstance(value, dict):
        return nest(value)
    if isinstance(value, list):
        return [_nest_value(item) for item in value]
    return value


def _merge(one: Any, other: Any) -> Any:  # noqa: ANN401 — any JSON value
    if isinstance(one, dict) and isinstance(other, dict):
        merged = dict(one)
        for key, value in other.items():
            merged[key] = _merge(merged[key], value) if key in merged else value
        return merged
    return [*_listed(one), *_listed(other)]


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 — any JSON value
    return value if isinstance(value, list) else [value]

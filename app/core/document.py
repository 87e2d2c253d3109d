"""Documents: one nested layout for all source fields, and cutting what is too large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from app.core.event import JsonObject

MAX_KEY_PARTS: Final = 20
"""A dotted key with more parts stays as it is; Elasticsearch refuses deeper objects too (its default limit)."""

MAX_LEVELS: Final = 50
"""Dotted keys are not spelled out below this level, so that an event's own nesting limit is not multiplied."""

MAX_PATH: Final = 256
"""Characters of a path below which objects are still flattened."""

MAX_MADE: Final = 20_000
"""Objects that long dotted keys of one event may be spelled out to; after that they stay as they are.

A megabyte of such keys would make hundreds of thousands, and take seconds. No sensor's event comes near it.
"""

SHORT_KEY: Final = 3
"""Dotted keys with no more parts are always spelled out: among them are those that an alert sets itself."""

CUT_TEXT: Final = 128
"""Characters that a cut string keeps."""

_SMALL = 1024  # bytes; an array up to this size is removed only where cutting all larger fields was not enough

_Leaf = tuple[int, str, JsonObject, str]

_encode = msgspec.json.Encoder().encode


def encode_document(document: JsonObject) -> bytes:
    """A document as compact JSON."""
    return _encode(document)


def nest(document: JsonObject) -> JsonObject:
    """A copy in which every dotted key is spelled out as objects and all values of one field stand together.

    Where a field has values in several places, they become one array; objects at the same place are merged.
    Dotted keys below MAX_LEVELS stay as they are, and long ones after MAX_MADE.
    """
    return _nest(document, 0, _Making())


class _Making:
    """How many more objects long keys may make."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_MADE

    def allows(self, parts: Sequence[str]) -> bool:
        """Whether a key may be spelled out; counts it if it is a long one."""
        if len(parts) <= SHORT_KEY:
            return True
        self.left -= len(parts) - 1
        return self.left >= 0


def _nest(document: JsonObject, level: int, making: _Making) -> JsonObject:
    nested: JsonObject = {}
    items: Iterable[tuple[str, Any]] = document.items()
    if any("." in key for key in document):
        # In the order in which an event's values are read, so that the alert tells them in the same.
        items = sorted(items, key=lambda item: item[0].count("."))
    for key, value in items:
        parts = key.split(".")
        spelled_out = 1 < len(parts) <= MAX_KEY_PARTS and all(parts) and level + len(parts) <= MAX_LEVELS
        if not (spelled_out and making.allows(parts)):
            parts = [key]
        _put(nested, parts, _nest_value(value, level + len(parts), making))
    return nested


def dotted(document: JsonObject, prefix: str) -> JsonObject:
    """A flat copy: each value that is no object under its whole path, behind a prefix.

    Below a very long path objects stay whole: repeated for each of their fields it would grow without measure.
    """
    flat: JsonObject = {}
    for key, value in document.items():
        path = f"{prefix}.{key}"
        if isinstance(value, dict) and len(path) <= MAX_PATH:
            flat.update(dotted(value, path))
        else:
            flat[path] = value
    return flat


def fit(parts: Sequence[JsonObject], budget: int) -> list[str]:
    """Cut the largest fields, in place, until the parts together take no more than `budget` bytes as JSON.

    First strings lose their ends and large arrays go, the largest first; where that is not enough, fields are
    removed, again the largest first. What is cut depends on names and values alone, never on their order.

    Returns:
        The path of every cut field, in the order of cutting; a very long path is shortened itself.
    """
    excess = sum(len(_encode(part)) for part in parts) - budget
    cuts: dict[str, None] = {}
    for shorten in (True, False):
        leaves = [leaf for part in parts for leaf in _leaves(part, "") if not shorten or _is_large(leaf)]
        leaves.sort(key=lambda leaf: (-leaf[0], leaf[1]))
        for size, path, parent, key in leaves:
            if excess <= 0:
                return list(cuts)
            value = parent[key]
            if shorten and isinstance(value, str):
                parent[key] = value[:CUT_TEXT] + "…"
                saved = size - len(_encode(parent[key]))
                if saved <= 0:
                    parent[key] = value
                    continue
                excess -= saved
            else:
                del parent[key]
                excess -= size + _key_size(key)
            cuts[path] = None
    # What is left are empty objects, very many of them.
    for part in parts:
        sizes = {key: len(_encode(value)) for key, value in part.items()}
        for key in sorted(part, key=lambda name: (-sizes[name], name)):
            if excess <= 0:
                return list(cuts)
            del part[key]
            excess -= sizes[key] + _key_size(key)
            cuts[key[:CUT_TEXT]] = None
    return list(cuts)


def _is_large(leaf: _Leaf) -> bool:
    """Whether it is cut before anything is removed: a long string, or an array that takes much."""
    size, _, parent, key = leaf
    value = parent[key]
    return len(value) > CUT_TEXT if isinstance(value, str) else size > _SMALL


def _key_size(key: str) -> int:
    """What a key adds, with its colon and, but for the last one, a comma: counted low."""
    return len(_encode(key)) + 1


def as_object(value: Any) -> JsonObject:  # noqa: ANN401 — any JSON value
    """The one object that stands for a value: itself, or a merged copy of an array's objects; else empty."""
    if isinstance(value, dict):
        return value
    merged: JsonObject = {}
    for item in _objects(value):
        for key, inner in _copied(item).items():
            _put(merged, [key], inner)
    return merged


def _copied(value: Any) -> Any:  # noqa: ANN401 — any JSON value
    """A copy that may be merged into; `copy.deepcopy` takes several times as long."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _objects(value: Any) -> Iterator[JsonObject]:  # noqa: ANN401 — any JSON value
    """The objects of an array, at any depth of arrays."""
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)


def _leaves(node: JsonObject, prefix: str) -> Iterator[_Leaf]:
    """Size, path, parent and key of every value that is no object; an array counts as one value."""
    for key, value in node.items():
        path = f"{prefix}{key}"[:CUT_TEXT]
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}.")
        else:
            yield len(_encode(value)), path, node, key


def _nest_value(value: Any, level: int, making: _Making) -> Any:  # noqa: ANN401 — any JSON value
    if isinstance(value, dict):
        return _nest(value, level, making)
    if isinstance(value, list):
        return [_nest_value(item, level, making) for item in value]
    return value


def _put(node: JsonObject, parts: Sequence[str], value: Any) -> None:  # noqa: ANN401 — any JSON value
    """Set a value in objects of our own, merging in place where something stands already."""
    for place, part in enumerate(parts[:-1], 1):
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            rest: JsonObject = {}
            _put(rest, parts[place:], value)
            node[part] = _joined(child, rest)
            return
        node = child
    key = parts[-1]
    if key not in node:
        node[key] = value
        return
    present = node[key]
    if isinstance(present, dict) and isinstance(value, dict):
        for name, inner in value.items():
            _put(present, [name], inner)
    else:
        node[key] = _joined(present, value)


def _joined(one: Any, other: Any) -> list[Any]:  # noqa: ANN401 — any JSON value
    """Both values in one array; the first is extended in place where it is an array."""
    joined = one if isinstance(one, list) else [one]
    joined.extend(other if isinstance(other, list) else [other])
    return joined

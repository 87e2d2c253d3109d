"""Process events: from the bytes of a record to fields that rules can ask for.

Strict where a record is no JSON object at all, lenient where an attacker could hide behind broken bytes:
invalid UTF-8 and repeated keys are judged and flagged, never discarded.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any, Final, Literal

import orjson
from msgspec import Raw
from stringzilla import count, find  # type: ignore[import-not-found, unused-ignore]  # it ships no stubs

from app.core.dead_letter import DeadLetter, Reason

MAX_DEPTH: Final = 200
"""Objects and arrays may nest this deep. Far above any sensor's events (Elasticsearch takes 20 levels), far
below the interpreter's recursion limit, so that the answer does not depend on how deep the caller stands."""

Flag = Literal["invalid_encoding", "duplicate_keys"]
JsonObject = dict[str, Any]

_Splits = tuple[tuple[str, str], ...]

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair: a character
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|.)",
    re.DOTALL,
)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
# White space before a colon, and a number that begins with -0 (orjson reads -0 as 0).
_UNCERTAIN = (b" :", b"\t:", b"\n:", b"\r:", b":-0", b",-0", b"[-0", b" -0", b"\t-0", b"\n-0", b"\r-0")
_BRACKET = re.compile(r"[\[\]{}]")


class UndecodableError(ValueError):
    """The bytes are not one JSON object. Carries the dead letter that says so."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the finding."""
        super().__init__(detail)
        self.dead_letter = DeadLetter(reason, detail)


class ProcessEvent:
    """One decoded event and the layouts it may come in.

    A field may stand nested (`{"process": {"name": …}}`), dotted (`{"process.name": …}`) or mixed; values from
    all places add up. Arrays flatten, also arrays of objects. A key that stands twice counts with all values.

    Attributes:
        document: The decoded object as it was written; a repeated key holds an array of its values.
            Integers of 64 bits are ints; every other number is a `msgspec.Raw` of its text, so nothing is rounded.
        flags: What was mended while decoding, in alphabetical order.
    """

    __slots__ = ("_texts", "document", "flags")

    def __init__(self, document: JsonObject, flags: tuple[Flag, ...] = ()) -> None:
        """Wrap a decoded document."""
        self.document = document
        self.flags = flags
        self._texts: dict[str, tuple[str, ...]] = {}

    def leaves(self, field: str) -> list[Any]:
        """Everything that stands at a field, arrays flattened: scalars, None and objects, in lookup order."""
        found: list[Any] = []
        _collect(self.document, _splits(field), found)
        return found

    def values(self, field: str) -> tuple[str, ...]:
        """The text of every scalar value of a field; null and objects are left out.

        Numbers and booleans give their JSON text.
        """
        texts = self._texts.get(field)
        if texts is None:
            texts = _plain(self.document, field)
            if texts is None:
                leaves = self.leaves(field)
                texts = tuple(text_of(leaf) for leaf in leaves if leaf is not None and type(leaf) is not dict)
            self._texts[field] = texts
        return texts

    def first(self, field: str) -> str | None:
        """The text of the first scalar value, or None."""
        texts = self.values(field)
        return texts[0] if texts else None

    def has_value(self, field: str) -> bool:
        """Whether anything but null stands at the field: false for null, `[]`, `{}` or missing; true for ""."""
        return bool(self.values(field)) or any(_has_leaf(leaf) for leaf in self.leaves(field) if type(leaf) is dict)


def decode(raw: bytes) -> ProcessEvent:
    """Read one record.

    Args:
        raw: The record's value as it came from the topic or the line of a file.

    Raises:
        UndecodableError: The bytes are not one JSON object, also after mending their encoding.
    """
    quick = _quick(raw)
    return decode_exactly(raw) if quick is None else ProcessEvent(quick)


def decode_exactly(raw: bytes) -> ProcessEvent:
    """As `decode`, without the attempt to be quick: for what is known to be beyond it.

    Raises:
        UndecodableError: As there.
    """
    text, mended = _text(raw)
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise UndecodableError("too_deep", f"nested deeper than {MAX_DEPTH} levels")
    flags: list[Flag] = []
    try:
        try:
            document = _DECODER.decode(text)
        except _RepeatedKeyError:
            document = _MERGING_DECODER.decode(text)
            flags.append("duplicate_keys")
    except ValueError as error:
        raise UndecodableError("not_json", str(error)) from None
    if not isinstance(document, dict):
        raise UndecodableError("not_an_object", f"a JSON {_kind(document)} at the top, not an object")
    if mended:
        flags.append("invalid_encoding")
    return ProcessEvent(document, tuple(flags))


def text_of(scalar: str | int | bool | Raw) -> str:
    """The text by which a scalar compares: strings as they are, all else as written in JSON."""
    if isinstance(scalar, str):
        return scalar
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    if isinstance(scalar, int):
        return str(scalar)
    return bytes(scalar).decode("ascii")


def _quick(raw: bytes) -> JsonObject | None:
    """The same document as the exact decoder's, at two thirds of its cost, where that can be proven; else None.

    orjson shows neither repeated keys nor the text of numbers. So no number but a 64-bit integer may occur, and
    the keys in the bytes must be no more than those in the document: each is followed by `":`, as long as no
    colon has white space before it. Strings that begin with a colon look the same; those that begin with two (as the
    address `::1`) can be told apart, since no key is followed by two.
    """
    for part in _UNCERTAIN:
        if find(raw, part) >= 0:
            return None
    if count(raw, b"{") + count(raw, b"[") > MAX_DEPTH:
        return None
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if type(document) is not dict:
        return None
    keys = 0
    nodes: list[Any] = [document]
    while nodes:
        node = nodes.pop()
        if type(node) is dict:
            keys += len(node)
            node = node.values()
        for value in node:
            kind = type(value)
            if kind is str or kind is int:
                continue
            if kind is dict or kind is list:
                nodes.append(value)
            elif kind is float:
                return None
    return document if keys == count(raw, b'":') - count(raw, b'"::') else None


def _text(raw: bytes) -> tuple[str, bool]:
    """Decode the bytes as UTF-8; what is no character becomes U+FFFD, and the flag says so."""
    mended = False
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "replace")
        mended = True
    if "\\ud" in text or "\\uD" in text:
        whole = text
        text = _ESCAPE.sub(lambda found: "\\ufffd" if found["lone"] else found[0], whole)
        mended = mended or text != whole
    return text.removeprefix("\ufeff"), mended


def _depth(text: str) -> int:
    """The deepest nesting of a JSON text; of broken text an upper bound."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "array"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "boolean" if isinstance(value, bool) else "number"


class _RepeatedKeyError(Exception):
    """A key stands twice in an object: decode again, with the hook that keeps every value."""


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        raise _RepeatedKeyError
    return decoded


def _merged(pairs: list[tuple[str, Any]]) -> JsonObject:
    decoded: JsonObject = {}
    repeated: set[str] = set()
    for key, value in pairs:
        if key not in decoded:
            decoded[key] = value
            continue
        if key not in repeated:
            repeated.add(key)
            first = decoded[key]
            decoded[key] = [*first] if isinstance(first, list) else [first]
        decoded[key].extend(value if isinstance(value, list) else [value])
    return decoded


def _integer(text: str) -> int | Raw:
    return int(text) if len(text) < _EXACT_DIGITS and text != "-0" else Raw(text.encode())


def _number(text: str) -> Raw:
    return Raw(text.encode())


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not JSON")


_EXACT_DIGITS = 19  # fewer digits than this fit into 64 bits, the most that the alert's encoder writes
_DECODER, _MERGING_DECODER = (
    json.JSONDecoder(
        object_pairs_hook=hook,
        parse_int=_integer,
        parse_float=_number,
        parse_constant=_no_constant,
    )
    for hook in (_unique, _merged)
)


@functools.lru_cache(maxsize=1024)
def _splits(field: str) -> _Splits:
    """All ways to read a field's first key: `a.b.c` is `a` + `b.c`, `a.b` + `c`, or `a.b.c` with nothing left."""
    parts = field.split(".")
    return tuple((".".join(parts[:n]), ".".join(parts[n:])) for n in range(1, len(parts) + 1))


@functools.lru_cache(maxsize=1024)
def _steps(field: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """A field's keys, and with each the longer ones, dotted, that may stand in its place."""
    return tuple((splits[0][0], tuple(key for key, _ in splits[1:])) for splits in map(_splits, _tails(field)))


def _tails(field: str) -> list[str]:
    parts = field.split(".")
    return [".".join(parts[n:]) for n in range(len(parts))]


def _plain(document: JsonObject, field: str) -> tuple[str, ...] | None:
    """A field's texts where it stands nested, nowhere dotted, without arrays of objects; None where that is not so.

    Nearly every field of nearly every event does, and the general way takes several times as long.
    """
    node: Any = document
    for key, longer in _steps(field):
        if type(node) is not dict:
            # Nothing stands below a scalar; what stands below an array is not for here.
            return None if type(node) is list else ()
        for other in longer:
            if other in node:
                return None
        if key not in node:
            return ()
        node = node[key]
    if type(node) is str:
        return (node,)
    if type(node) is list:
        return tuple(node) if all(type(item) is str for item in node) else None
    return (str(node),) if type(node) is int else None


def _collect(node: JsonObject, splits: _Splits, found: list[Any]) -> None:
    for key, rest in splits:
        if key in node:
            if rest:
                _descend(node[key], _splits(rest), found)
            else:
                _flatten(node[key], found)


def _descend(value: Any, splits: _Splits, found: list[Any]) -> None:  # noqa: ANN401 — any JSON value
    if isinstance(value, dict):
        _collect(value, splits, found)
    elif isinstance(value, list):
        for item in value:
            _descend(item, splits, found)


def _flatten(value: Any, found: list[Any]) -> None:  # noqa: ANN401 — any JSON value
    if isinstance(value, list):
        for item in value:
            _flatten(item, found)
    else:
        found.append(value)


def _has_leaf(value: Any) -> bool:  # noqa: ANN401 — any JSON value
    if isinstance(value, dict):
        return any(map(_has_leaf, value.values()))
    if isinstance(value, list):
        return any(map(_has_leaf, value))
    return value is not None

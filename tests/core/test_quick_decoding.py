"""The quick decoder gives the exact decoder's answer or none."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core import event
from app.core.event import UndecodableError, decode

_TEXTS = st.one_of(st.text(max_size=6), st.sampled_from(["::1", ":", '":', "a :", "-0", "\\", "exim4", " :-0"]))
_NUMBERS = st.sampled_from(
    ["0", "-0", "1.50", "1e3", "-0.0", "12345678901234567890", "18446744073709551616", "-9223372036854775809", "7"]
)
_SPACE = st.sampled_from(["", "", "", " ", "\n", "\t"])


@st.composite
def _json_texts(draw: st.DrawFn, depth: int = 3) -> str:
    """JSON text with repeated keys, odd numbers and white space in odd places."""
    kind = draw(st.integers(0, 5 if depth else 2))
    space = draw(_SPACE)
    if kind == 0:
        return draw(_NUMBERS) + space
    if kind in (1, 2):
        return json.dumps(draw(_TEXTS), ensure_ascii=draw(st.booleans())) + space
    parts = draw(st.lists(_json_texts(depth=depth - 1), max_size=4))
    if kind == 3:
        return f"[{space}{','.join(parts)}]"
    keys = [json.dumps(draw(st.sampled_from(["a", "b", "a.b", "", "::1", ":"]))) for _ in parts]
    colons = [draw(_SPACE) + ":" + draw(_SPACE) for _ in parts]
    members = [key + colon + part for key, colon, part in zip(keys, colons, parts, strict=True)]
    return f"{{{','.join(members)}}}{space}"


def _exact(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[object, tuple[str, ...]] | str:
    with monkeypatch.context() as patch:
        patch.setattr(event, "_quick", lambda _: None)
        return _outcome(raw)


def _outcome(raw: bytes) -> tuple[object, tuple[str, ...]] | str:
    try:
        decoded = decode(raw)
    except UndecodableError as error:
        return error.dead_letter.reason
    return msgspec.json.encode(decoded.document), decoded.flags


@given(_json_texts())
@example('{"a":1,"a" :1,"b":"::"}')
@example('{"a":1,"a":1,"b":":"}')
@example('{"a":{"b":"\\u0022:"},"a":1}')
@example('{"a":-0}')
@example('{"ip":["127.0.0.1","::1"]}')
def test_quick_decoding_is_exact(text: str) -> None:
    """Whatever the text, `decode` answers as it would without the quick decoder."""
    raw = text.encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        expected = _exact(raw, patch)
    assert expected == _outcome(raw)


def test_ordinary_events_take_the_quick_way() -> None:
    """An event with an IPv6 loopback address, as sensors send them, is decoded quickly."""
    raw = b'{"host":{"ip":["127.0.0.1","::1"],"id":"h"},"process":{"pid":1,"name":"sh"}}'
    assert {"host": {"ip": ["127.0.0.1", "::1"], "id": "h"}, "process": {"pid": 1, "name": "sh"}} == event._quick(raw)

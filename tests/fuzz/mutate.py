"""Mutations of records, of their bytes and of what they mean; every choice comes from the random numbers given."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from tests.fuzz.corpus import Corpus

_NUMBERS: Final = (
    *("0", "-0", "-0.0", "1e999", "-1E-999", "0.1000000000000000055511151231257827", "1e2", "100", "7.0"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "9" * 400, "1" * 5000, "1e5000000"),
    *("1767600000000", "999999999999999", "253402300800000"),
)
_TOKENS: Final = (
    *(b"exim4", b"\\u0065xim4", b"\\u0045xim4", b"exim\\u0034", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\\u0000"),
    *(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\x00", b"\x1b[2J"),
    *(
        b"NaN",
        b"-Infinity",
        b"null",
        b"true",
        b"{}",
        b"[]",
        b"[[",
        b"{{",
        b"}",
        b"]",
        b'"',
        b'":',
        b'"::',
        b" :",
        b":-0",
    ),
    *(
        b",",
        b"\\",
        b'\\"',
        b"\\u",
        b"/*",
        b"\n",
        b"\t",
        b'"event":{},',
        b'"host":[{"id":"x"}],',
        b'"process.name":"x",',
    ),
)
_SPELLINGS: Final = ("\\u0065xim4", "e\\u0078im\\u0034", "\\u0065\\u0078\\u0069\\u006D\\u0034")
_TEXTS: Final = (
    *(
        "",
        "exim4",
        "sh",
        "grep",
        "\x00",
        "\x1b[31m",
        "\u202egnp",
        "é",
        "e\u0301",
        "\U0001f600",
        "\ud800",
        "\udfff\ud800",
    ),
    *("a.b", "..", ".", "*", "?", "true", "null", "/usr/sbin/exim4", "linux", "start", "exec", "\u2028", "x" * 1024),
    *("x" * 1025, "\uffff", "NaN", "::", ":", '":', "\\", '"', "kibana.alert.uuid", "@metadata"),
)
_TIMES: Final = (
    *("2026-01-05T08:00:00Z", "2026-01-05", "9999-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z", "0000-01-01"),
    *("2026-02-30T00:00:00Z", "2026-01-05T08:00:00+23:59", "2026-01-05T08:00:00,1Z", "1767600000000", "yesterday", ""),
    *("\u0662\u0660\u0662\u0666-01-05T08:00:00Z", "2026-01-05T08:00:00.1234567890Z", "253402300800000"),
)
_PATHS: Final = (
    *(
        "process.name",
        "process.parent.name",
        "process.executable",
        "host.id",
        "host.os.type",
        "event.action",
        "user.id",
    ),
    *(
        "event.type",
        "@timestamp",
        "event.ingested",
        "event.id",
        "process.args",
        "host.name",
        "user.name",
        "data_stream",
    ),
    *("process", "host", "event", "process.parent", "kibana", "kibana.alert.uuid", "signal", "detector", "@metadata"),
    *("event.kind", "data_stream.type", "process.group_leader.name", "process.parent.executable", "a.b.c", "", "a..b"),
)
_MANY: Final = (*(2, 3) * 12, 10, 11, 10, 11, 99, 100, 101, 300)
_DEPTHS: Final = (1, 5, 20, 21, 49, 50, 51, 196, 199, 200, 201, 1000, 5000)
_RUNS: Final = (8, 128, 129, 1024, 5000, 70_000)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_PLAIN_STRING = re.compile(r'"([A-Za-z_@][A-Za-z0-9_.@]{0,40})":("(?:[^"\\]|\\.)*")')
_HELD = "\u0001N{}\u0001"  # stands for a number that json can't write
_HELD_TEXT = re.compile(r'"\\u0001N(\d+)\\u0001"')

Document = dict[str, Any]


def mutated(corpus: Corpus, random: Random) -> bytes:
    """A record of the corpus, mutated in what it means, in its bytes, or both."""
    raw = corpus.pick(random)
    way = random.random()
    if len(raw) < 100_000 and way < 0.8:
        raw = mutate_document(raw, random)
    if way >= 0.65:
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            raw = random.choice(_BYTE_WAYS)(raw, random, corpus)
    return raw


def mutate_document(raw: bytes, random: Random) -> bytes:
    """Fields that are set, moved, multiplied or taken away, and other spellings; what is no JSON object is left."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    if not isinstance(document, dict):
        return raw
    for _ in range(random.choice((1, 1, 2, 3))):
        random.choice(_DOCUMENT_WAYS)(document, random)
    try:
        separators = random.choice(((",", ":"), (", ", ": "), (",", " :")))
        text = json.dumps(document, ensure_ascii=random.random() < 0.5, separators=separators)
    except RecursionError:
        return raw
    if "\\u0001N" in text:
        text = _HELD_TEXT.sub(lambda found: _NUMBERS[int(found[1])], text)
    if random.random() < 0.15:
        text = _doubled(text, random)
    if random.random() < 0.1:
        text = text.replace("exim4", random.choice(_SPELLINGS))
    return text.encode("utf-8", "surrogatepass")


def _doubled(text: str, random: Random) -> str:
    """A key that stands twice, with another value or the same."""
    found = list(_PLAIN_STRING.finditer(text))
    if not found:
        return text
    member = random.choice(found)
    value = random.choice((member[2], json.dumps(random.choice(_TEXTS)), "null", "[]", '{"a":1}', "7"))
    return f'{text[: member.start()]}"{member[1]}":{value},{text[member.start() :]}'


def _value(random: Random, depth: int = 0) -> Any:
    kind = random.randrange(12)
    if kind < 4:
        return random.choice(_TEXTS)
    if kind == 4:
        return _HELD.format(random.randrange(len(_NUMBERS)))
    if kind == 5:
        return random.choice((None, True, False, 0, -1, 2**63, 1.5))
    if kind == 6:
        return random.choice(_TIMES)
    if kind == 7:
        return "".join(map(chr, (random.choice((0x20, 0x7F, 0x300, 0xD7FF, 0xE000, 0x10FFFF, 0x41)) for _ in range(9))))
    if kind == 8 or depth > 2:
        return random.choice(([], {}, [None], [[]], {"a": {}}, [{}]))
    if kind == 9:
        return [_value(random, depth + 1) for _ in range(random.choice((1, 2, 3, 9)))]
    return {random.choice(_PATHS): _value(random, depth + 1) for _ in range(random.choice((1, 2, 3)))}


def _walk(node: Document, path: Sequence[str]) -> tuple[Document, str]:
    """The object and key of a path, made where it is missing; what is in the way is replaced."""
    for key in path[:-1]:
        inner = node.get(key)
        if not isinstance(inner, dict):
            inner = node[key] = {}
        node = inner
    return node, path[-1]


def _somewhere(document: Document, random: Random) -> tuple[Document, str] | None:
    """Any object and one of its keys."""
    node = document
    while node:
        key = random.choice(list(node))
        inner = node[key]
        if not isinstance(inner, dict) or random.random() < 0.2:
            return node, key
        node = inner
    return None


def _set(document: Document, random: Random) -> None:
    node, key = _walk(document, random.choice(_PATHS).split("."))
    node[key] = _value(random)


def _set_dotted(document: Document, random: Random) -> None:
    document[random.choice(_PATHS)] = _value(random)


def _set_time(document: Document, random: Random) -> None:
    node, key = _walk(document, random.choice(("@timestamp", "event.ingested")).split("."))
    node[key] = random.choice((random.choice(_TIMES), [random.choice(_TIMES), random.choice(_TIMES)]))


def _drop(document: Document, random: Random) -> None:
    if place := _somewhere(document, random):
        del place[0][place[1]]


def _replace(document: Document, random: Random) -> None:
    if place := _somewhere(document, random):
        place[0][place[1]] = _value(random)


def _in_array(document: Document, random: Random) -> None:
    if place := _somewhere(document, random):
        value = place[0][place[1]]
        place[0][place[1]] = random.choice(([value], [[value]], [value, _value(random)], [None, value], [value] * 3))


def _many(document: Document, random: Random) -> None:
    node, key = _walk(document, random.choice(("process.name", "host.id", "process.args", "user.id")).split("."))
    node[key] = [f"{key}{number}" for number in range(random.choice(_MANY))]


def _dotted(document: Document, random: Random) -> None:
    """A nested part under dotted keys, or beside them."""
    if place := _somewhere(document, random):
        node, key = place
        value = node[key]
        if isinstance(value, dict):
            for inner, content in value.items():
                node[f"{key}.{inner}"] = content
            if random.random() < 0.7:
                del node[key]
        else:
            node[f"{key}.{random.choice(_PATHS)}"] = value


def _split(document: Document, random: Random) -> None:
    """An object as an array of objects with one field each."""
    if place := _somewhere(document, random):
        value = place[0][place[1]]
        if isinstance(value, dict):
            place[0][place[1]] = [{key: inner} for key, inner in value.items()]


def _deep(document: Document, random: Random) -> None:
    levels = random.choice(_DEPTHS) if random.random() < 0.1 else random.choice(_DEPTHS[:8])
    value: Any = random.choice(("exim4", None, [], {}))
    wrap: Callable[[Any], Any] = random.choice((lambda v: [v], lambda v: {"a": v}, lambda v: {"a.b": v}))
    for _ in range(min(levels, 800)):
        value = wrap(value)
    document[random.choice(("deep", "event", "process", "host", "data_stream"))] = value


def _long(document: Document, random: Random) -> None:
    node, key = _walk(document, random.choice(_PATHS).split("."))
    size = random.choice(_RUNS[:4]) if random.random() < 0.95 else random.choice(_RUNS)
    node[key] = random.choice(("a", "é", "\ud800", "\x00", "exim4", ".", "\U0001f600")) * size


def _rename(document: Document, random: Random) -> None:
    if place := _somewhere(document, random):
        place[0][random.choice(_PATHS)] = place[0].pop(place[1])


_DOCUMENT_WAYS: Final[Sequence[Callable[[Document, Random], None]]] = (
    *(_set, _set_dotted, _set_time, _drop, _replace, _in_array, _many, _dotted, _split, _deep, _long, _rename),
    *(_in_array, _dotted, _set_time, _replace),
)


def _flip(raw: bytes, random: Random, _: Corpus) -> bytes:
    data = bytearray(raw)
    for _step in range(random.choice((1, 1, 2, 8)) if data else 0):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def _overwrite(raw: bytes, random: Random, _: Corpus) -> bytes:
    at = random.randrange(len(raw) + 1)
    noise = random.randbytes(random.choice((1, 2, 8)))
    return raw[:at] + noise + raw[at + len(noise) :]


def _insert(raw: bytes, random: Random, _: Corpus) -> bytes:
    at = random.randrange(len(raw) + 1)
    return raw[:at] + random.choice(_TOKENS) + raw[at:]


def _insert_in_text(raw: bytes, random: Random, _: Corpus) -> bytes:
    """Where a string begins: most records stay whole."""
    at = raw.find(b':"', random.randrange(len(raw) + 1)) + 2
    return raw[:at] + random.choice(_TOKENS) + raw[at:]


def _truncate(raw: bytes, random: Random, _: Corpus) -> bytes:
    return raw[: random.randrange(len(raw) + 1)]


def _cut_out(raw: bytes, random: Random, _: Corpus) -> bytes:
    at = random.randrange(len(raw) + 1)
    return raw[:at] + raw[at + random.choice((1, 2, 16, 200)) :]


def _repeat(raw: bytes, random: Random, _: Corpus) -> bytes:
    begin = random.randrange(len(raw) + 1)
    part = raw[begin : begin + random.choice((1, 2, 16, 200))]
    return raw[:begin] + part * random.choice((2, 3, 50)) + raw[begin:]


def _splice(raw: bytes, random: Random, corpus: Corpus) -> bytes:
    other = random.choice(corpus.hostile if random.random() < 0.3 else corpus.built)
    return raw[: random.randrange(len(raw) + 1)] + other[random.randrange(len(other) + 1) :]


def _number(raw: bytes, random: Random, _: Corpus) -> bytes:
    found = _NUMBER.search(raw, random.randrange(len(raw) + 1))
    number = random.choice(_NUMBERS).encode()
    return raw if found is None else raw[: found.start()] + number + raw[found.end() :]


def _member(raw: bytes, random: Random, _: Corpus) -> bytes:
    """A member more at the end, whose value may be no JSON."""
    value = random.choice((*_TOKENS, *(number.encode() for number in _NUMBERS)))
    return raw[:-1] + b',"' + random.choice(_PATHS).encode() + b'":' + value + b"}"


def _wrap(raw: bytes, random: Random, _: Corpus) -> bytes:
    """Something else than an object at the top."""
    before, after = random.choice(((b"[", b"]"), (b"[[", b",1]]"), (b'"', b'"'), (b" ", b"\n"), (b'{"a":', b"}")))
    return before + raw + after


def _run(raw: bytes, random: Random, _: Corpus) -> bytes:
    at = random.randrange(len(raw) + 1)
    run = random.choice((b"[", b'{"a":', b"a", b"9", b" ", b"\\", b"\xff", b'"', b"\\ud800"))
    return raw[:at] + run * random.choice(_RUNS[:5]) + raw[at:]


_BYTE_WAYS: Final[Sequence[Callable[[bytes, Random, Corpus], bytes]]] = (
    *(_flip, _overwrite, _insert, _insert_in_text, _truncate, _cut_out, _repeat, _splice, _number, _member, _run),
    *(_wrap, _insert_in_text, _number, _member, _insert_in_text),
)

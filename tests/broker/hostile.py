"""Hostile and broken records, each with what must become of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.events import ABSENT, event, raw

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_VALUE: Final = 1_048_588 - 128
"""Bytes of a value that a topic of Kafka's default size still takes, with its batch and record headers."""

_NEEDLE: Final = b"exim4"
_WRONG: Final[tuple[object, ...]] = (5, 2.5, True, None, "", [], {}, {"a": 1}, [["x"]], [[]], [None], [{"a": "x"}])
_QUERIED: Final = {
    "host.os.type": "linux",
    "event.type": "start",
    "event.action": "exec",
    "process.parent.name": "exim4",
}
_ANY_TYPE: Final = (
    "@timestamp",
    "event.ingested",
    "event.id",
    "event.kind",
    "host.name",
    "process.args",
    "process.executable",
    "process.parent.executable",
    "user.id",
    "user.name",
    "user",
    "data_stream.type",
    "data_stream",
    "agent",
    "kibana",
    "detector",
    "signal",
    "@metadata",
)
_OBJECTS: Final = ("host", "host.os", "event", "process", "process.parent")


class Case(NamedTuple):
    """A record and its fate.

    Attributes:
        name: What is wrong with it.
        value: Its bytes.
        alerts: How many alerts it raises; each case has hosts of its own, so that all it brings is new.
        reasons: Reasons of its dead letters.
    """

    name: str
    value: bytes | None
    alerts: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """How the first step counts it."""
        if self.value is None:
            return "scanned"  # the sieve drops it unseen
        return "candidates" if _NEEDLE in self.value else "scanned"


def cases() -> list[Case]:
    """All of them."""
    return [*_no_objects(), *_mended(), *_lacking(), *_wrong_types(), *_large(), *_wide()]


def _no_objects() -> Iterator[Case]:
    """Records that are not one JSON object."""
    good = raw(event(host="no-object"))
    yield Case("null value", None)
    yield Case("empty value", b"")
    yield Case("no candidate and no JSON", b'{"a": exim')
    yield Case("UTF-16", good.decode().encode("utf-16"))
    yield Case("random bytes", bytes(range(256)) * 8)
    yield Case("text", b"exim4 is no JSON", reasons=("not_json",))
    yield Case("cut off", good[:-2], reasons=("not_json",))
    yield Case("two objects", good + good, reasons=("not_json",))
    yield Case("NUL bytes", good + b"\x00\x00", reasons=("not_json",))
    yield Case("NaN", good[:-1] + b',"a":NaN}', reasons=("not_json",))
    yield Case("Infinity", good[:-1] + b',"a":-Infinity}', reasons=("not_json",))
    yield Case("array at the top", b"[" + good + b"]", reasons=("not_an_object",))
    yield Case("string at the top", b'"exim4"', reasons=("not_an_object",))
    for brackets in (b"[]", b"{}"):
        opening = b"[" if brackets == b"[]" else b'{"a":'
        deep = opening * 10_000 + b"1" + brackets[1:] * 10_000
        yield Case(f"10,000 deep {brackets.decode()}", good[:-1] + b',"a":' + deep + b"}", reasons=("too_deep",))
        yield Case(f"10,000 open {brackets.decode()}", good[:-1] + b',"a":' + opening * 10_000, reasons=("too_deep",))


def _mended() -> Iterator[Case]:
    """Records that are judged although their bytes are broken."""
    for name, bad in (("invalid UTF-8", b"\xff\xfe"), ("CESU surrogate", b"\xed\xa0\x80"), ("lone", b"\\ud800")):
        yield Case(name, raw(event("s#h", host=f"mended {name}")).replace(b"s#h", b"s" + bad + b"h"), 1)
    for name, bad in (("key", b"exim4\xff"), ("host", b"\\udfff")):
        yield Case(f"broken {name}", raw(event(host=f"#{name}", a={"#": 1})).replace(b"#", bad), 1)
    yield Case("escaped NUL", raw(event("s\x00h", host="escaped NUL")), 1)
    yield Case("two names", raw(event(host="two names"))[:-1] + b',"process.name":"perl"}', 2)
    twice = raw(event(host="twice")).replace(b'"name":"sh"', b'"name":"sh","name":"perl"')
    yield Case("duplicate keys", twice, 2)
    yield Case("huge numbers", raw(event(host="numbers"))[:-1] + b',"a":1e99999,"b":' + b"9" * 4000 + b"}", 1)
    yield Case("number as host", raw(event(host="#")).replace(b'"#"', b"-1.50e+3"), 1)


def _lacking() -> Iterator[Case]:
    """Matches without a term, and events that are no matches."""
    for field in ("host.id", "process.name"):
        yield Case(f"without {field}", raw(_with(field, ABSENT)), reasons=("missing_term_field",))
    for field in _QUERIED:
        yield Case(f"without {field}", raw(_with(field, ABSENT)))
    yield Case("1,000 hosts", raw(event(host=[f"many {n}" for n in range(1000)])), 100, ("too_many_terms",))
    yield Case("32 x 32 terms", raw(event([f"p{n}" for n in range(32)], host=[f"32 {n}" for n in range(32)])), 100,
               ("too_many_terms",))  # fmt: skip


def _wrong_types() -> Iterator[Case]:
    """Each field as something else."""
    for wrong in _WRONG:
        shown = json.dumps(wrong)
        texts = _texts(wrong)
        for field in _QUERIED:
            # Beside the right value in an array, all else is harmless.
            yield Case(f"{field} is {shown}", raw(_with(field, wrong)))
            host = f"{field} has {shown}"
            yield Case(host, raw(_with(field, [[wrong], _QUERIED[field]], host)), 1)
        for field in _ANY_TYPE:
            host = f"{field} is {shown}"
            yield Case(host, raw(_with(field, wrong, host)), 1)
        for field in _OBJECTS:
            yield Case(f"{field} is {shown}", raw(_with(field, wrong)))
        name = f"name {shown}"
        found, reasons = (len(texts), ()) if texts else (0, ("missing_term_field",))
        yield Case(name, raw(_with("process.name", wrong, name)), found, reasons)
        # An empty host.id names no host; each other one needs a program of its own, as hosts repeat.
        hosts = [text for text in texts if text]
        found, reasons = (len(hosts), ()) if hosts else (0, ("missing_term_field",))
        document = _with("host.id", wrong) | {"process.name": f"on {shown}"}
        del document["process"]["name"]
        yield Case(f"host.id is {shown}", raw(document), found, reasons)


def _large() -> Iterator[Case]:
    """Values as large as the source topic takes."""
    filled = _filled(event(host="large args", process__args=["#"]), b"a")
    yield Case("args of 1 MB", filled, 1)
    yield Case("event.reason of 1 MB, which stands twice in an alert",
               _filled(event(host="large reason", event__reason="#"), b"r"), 1)  # fmt: skip
    yield Case("1 MB that triples as UTF-8", _filled(event("#", host="large name"), b"\xff"), 1)
    yield Case("host.id of 1 MB", _filled(event(host="#"), b"h"), 1)
    yield Case("1 MB that is no JSON", filled[:-1] + b"]", reasons=("not_json",))
    yield Case("1 MB without a host", _filled(_with("host.id", ABSENT) | {"a": "#"}, b"a"),
               reasons=("missing_term_field",))  # fmt: skip
    yield Case("1 MB for 3 hosts", _filled(event(host=["3a", "3b", "3c"], a="#"), b"a"), 3)


def _wide() -> Iterator[Case]:
    """Objects of very many keys, whose handling must not take time that grows with their square."""
    yield Case("100,000 keys", _wider("wide", "", 100_000, ":1"), 1)
    yield Case("dotted keys of one root", _wider("dotted", "a.", 80_000, ":1"), 1)
    parts = [{"type": "start", "action": "exec"}, *({f"k{number}": 1} for number in range(70_000))]
    yield Case("an event in 70,000 objects", raw(event(host="parts") | {"event": parts}), 1)
    yield Case("empty objects", _wider("empty", "", 80_000, ":{}"), 1)
    yield Case("keys that unfold", _wider("unfold", "", 20_000, f'.{".".join("abcdefghijklmnopqrs")}":{{}}'), 1)


def _wider(host: str, before: str, count: int, after: str) -> bytes:
    closing = "" if '"' in after else '"'
    members = ",".join(f'"{before}{number}{closing}{after}' for number in range(count))
    return raw(event(host=host))[:-1] + b"," + members.encode() + b"}"


def _filled(document: dict[str, Any], filling: bytes) -> bytes:
    """The document with filling in place of its `#`, as large as the topic takes."""
    small = raw(document)
    rest = LARGEST_VALUE - len(small) + small.count(b"#")
    return small.replace(b"#", filling * (rest // small.count(b"#")))


def _with(field: str, value: object, host: str = "wrong types") -> dict[str, Any]:
    """A match with one field changed; the needle stays, so that it is decoded whatever the field."""
    document = event(host=host, note="exim4")
    *parents, key = field.split(".")
    node = document
    for parent in parents:
        node = node.setdefault(parent, {})
    if value is ABSENT:
        del node[key]
    else:
        node[key] = value
    return document


def _texts(value: object) -> set[str]:
    """The texts of a value's scalars, objects left out."""
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return (
        set() if value is None or isinstance(value, dict) else {value if isinstance(value, str) else json.dumps(value)}
    )

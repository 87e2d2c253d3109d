"""Random histories of process events: mostly matches of few terms, in all the shapes a record may take.

The first choice everywhere is the plain one, so that a failing history shrinks to plain nested matches and the one
oddity that matters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeAlias

from hypothesis import strategies as st

from tests.oracle import DAY, SECOND, SKEW, WINDOW, Record

NOW = 1_700_000_000 * SECOND + 123_456_789
"""What the histories take for the present."""

LATEST = NOW + SKEW
"""The latest clock that is believed."""


@dataclass(frozen=True)
class Literal:
    """JSON text to be written as it stands: a number, or something that is no JSON."""

    text: str


@dataclass
class Node:
    """A JSON object whose keys may stand twice."""

    members: list[tuple[str, Json]] = field(default_factory=list)

    def child(self, key: str) -> Node | None:
        """The last member of that name that is an object, or that is an array and ends with one."""
        for name, value in reversed(self.members):
            last = value[-1] if isinstance(value, list) and value else value
            if name == key and isinstance(last, Node):
                return last
        return None


Json: TypeAlias = "str | bool | Literal | Node | list[Json] | None"
Draft: TypeAlias = Mapping[str, Json]


@dataclass(frozen=True)
class Spelling:
    """How JSON is written: the characters that become escapes, and the space between tokens."""

    escaped: str = ""
    capitals: bool = False
    space: str = ""

    def write(self, value: Json) -> bytes:
        """Write a value.

        In strings, U+DC80 to U+DCFF stand for the raw bytes 80 to FF, which are no UTF-8; other surrogates become
        escapes, alone as they are.
        """
        return self._text(value).encode("utf-8", "surrogateescape")

    def _text(self, value: Json) -> str:
        if isinstance(value, Literal):
            return value.text
        if isinstance(value, Node):
            members = (
                f"{self._string(key)}{self.space}:{self.space}{self._text(member)}" for key, member in value.members
            )
            return "{" + f",{self.space}".join(members) + "}"
        if isinstance(value, list):
            return f"[{self.space}" + f"{self.space},".join(map(self._text, value)) + "]"
        return self._string(value) if isinstance(value, str) else json.dumps(value)

    def _string(self, text: str) -> str:
        return '"' + "".join(map(self._character, text)) + '"'

    def _character(self, character: str) -> str:
        code = ord(character)
        if character in self.escaped or 0xD800 <= code < 0xDC80 or 0xDD00 <= code < 0xE000:
            return "\\u" + (f"{code:04X}" if self.capitals else f"{code:04x}")
        return character if character >= "\x80" else json.dumps(character)[1:-1]


def time_text(moment: int, digits: int = 9, offset: int | None = None) -> str:
    """Write nanoseconds since 1970 as an ISO time, with an offset in minutes or as UTC."""
    seconds, rest = divmod(moment, SECOND)
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, minutes=offset or 0)
    fraction = "." + f"{rest:09d}"[:digits] if digits else ""
    sign, minutes = "-" if (offset or 0) < 0 else "+", abs(offset or 0)
    zone = "Z" if offset is None else f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    return local.replace(tzinfo=None, microsecond=0).isoformat() + fraction + zone


HOSTS = ("h1", "h2")
NAMES = ("sh", "perl", "id")

EDGES = (
    LATEST - 2 * WINDOW,
    *(LATEST - WINDOW + off for off in (0, 1, -1)),
    *(LATEST - 2 * WINDOW + off for off in (-1, 1)),
)
"""Times that lie a window, or a nanosecond more or less, from each other."""

FUTURES = (
    *(LATEST + off for off in (0, 1, -1, -SECOND)),
    NOW,
    *(LATEST + WINDOW + off for off in (0, 1)),
    5_000_000_000 * SECOND,
    253_402_214_400 * SECOND,
)
"""Times at the bound and beyond."""

MOMENTS = (
    *EDGES,
    *FUTURES,
    *(LATEST - 3 * WINDOW + off for off in (0, -1, 1)),
    *(NOW - WINDOW + off for off in (0, -1)),
    *(LATEST - WINDOW // 2 + off for off in (0, 1)),
    0,
    -1,
    -62_135_510_400 * SECOND,
)
"""Those, others in between, and absurd ones."""

UNPARSABLE: Sequence[Json] = (
    "yesterday",
    "",
    "2023-02-30T00:00:00Z",
    "2023-13-01T00:00:00.5Z",
    "2023-11-14T25:00:00Z",
    "0000-01-01T00:00:00Z",
    "2023-11-14T22:13:20.Z",
    "2023-11-14T22:13:20.1234567890Z",
    "2023-11-14T22:13:20+25:00",
    "\u0662\u0660\u0662\u0663-11-14T22:13:20Z",
    "2023-11-14T22:13:20Z\udcff",
    True,
    Node([("time", "2023-11-14T22:13:20Z")]),
)
ABSENT: Sequence[Json] = (None, [], [None], Node(), [Node()], [[]])
ORDINARY: Sequence[Json] = ("", "grep", "exim4", "sshd", "update-exim4.conf", "sh ", "n" * 1024, "n" * 1025)
LOOKALIKES: Sequence[Json] = (
    *("*", "s*", "exim*", "gre?", "Exim4", "GREP", "true", "null", "7", "\\u0065xim4"),
    *("é", "e\u0301", "\U0001f600", 'q"\\/\b\t', "nul\x00"),
)
BROKEN: Sequence[Json] = (
    *("sh\udcff", "sh\udcfe", "\udced\udca0\udc80", "\udce2\udc82"),
    *("sh\ud800", "sh\udc00", "\ufffd", "sh\ufffd"),
)
NO_TEXTS: Sequence[Json] = (
    *map(Literal, ("7", "7.0", "1e2", "100", "-0", "1e999")),
    *map(Literal, ("12345678901234567890123", "0.1000000000000000055511151231257827")),
    True,
    False,
)

MANY: Sequence[int] = (101, 100, 11, 10, 12)
ACTIONS: Sequence[Json] = ("exec", ["fork", "exec", "end"], ["exec"], ["fork", "exec"], ["exec", "end"])
OTHER_ACTIONS: Sequence[Json] = ("fork", "end", ["fork", "end"], "EXEC", "exec*", "*", ["execve"], True)
ODD_NAMES: Sequence[Draft] = ({"process..name": "odd"}, {"": "odd"}, {".process.name": "odd"}, {"process.name.": "odd"})

# Strategies are made once: to make them anew in each draw costs several times what the draw itself costs.
Values: TypeAlias = st.SearchStrategy[Json]
_YES_NO = st.booleans()
_UP_TO_11 = st.integers(0, 11)


def _time(moment: int, short: bool, offset: int | None) -> Json:
    digits = len(f"{moment % SECOND:09d}".rstrip("0")) if short else 9
    try:
        return time_text(moment, digits, offset)
    except OverflowError:
        return time_text(moment, digits)


_ONE_OF_THESE = st.sampled_from((*[st.sampled_from(EDGES)] * 3, st.sampled_from(MOMENTS)))
TIMES: Values = st.builds(
    _time,
    _ONE_OF_THESE.flatmap(lambda moments: moments),
    _YES_NO,
    st.sampled_from((None, None, None, 0, 60, -210, 825, -1439, 1439)),
)
"""A parsable time, in UTC or with an offset, with nine digits or as few as it needs."""

_CLOCKS: Values = st.one_of(
    TIMES,
    st.sampled_from(UNPARSABLE),
    st.sampled_from(ABSENT),
    st.lists(st.one_of(TIMES, st.sampled_from(UNPARSABLE)), min_size=1, max_size=3).map(list),
)


def _values(*usual: Json) -> Values:
    """A field's value: usual or not, alone, in arrays and arrays in them, with nulls and objects, or absent."""
    scalar: Values = st.one_of(*map(st.sampled_from, (usual, usual, ORDINARY, LOOKALIKES, BROKEN, NO_TEXTS)))
    odd: Values = st.one_of(st.sampled_from(ABSENT), st.just(Node([("name", "sh")])))
    pair: Values = st.tuples(scalar, scalar).map(list)
    return st.one_of(
        scalar,
        odd,
        st.lists(st.sampled_from(usual), max_size=3).map(list),
        st.lists(scalar, max_size=3).map(list),
        st.lists(st.one_of(scalar, odd, pair), max_size=3).map(list),
    )


def _many(prefix: str) -> Values:
    """Enough elements to reach the bound of terms, with repetitions."""

    def elements(count: int, repeated: int) -> Json:
        return [*(f"{prefix}{number}" for number in range(1, count + 1)), *[f"{prefix}1"] * repeated]

    return st.builds(elements, st.sampled_from(MANY), st.integers(0, 2))


def _field(path: str, values: Values) -> st.SearchStrategy[Draft]:
    return values.map(lambda value: {path: value})


_SOME_NAMES: Sequence[Json] = (*NAMES, "grep", "", Literal("7"), "7", "SH")
ODDITIES: Sequence[st.SearchStrategy[Draft]] = (
    _field("process.name", _values(*NAMES, "grep")),
    _field("process.name", st.lists(st.sampled_from(_SOME_NAMES), min_size=2, max_size=3).map(list)),
    _field("host.id", _values(*HOSTS, "")),
    _field("host.id", st.lists(st.sampled_from((*HOSTS, "")), min_size=1, max_size=2).map(list)),
    _field("event.ingested", _CLOCKS),
    _field("event.ingested", TIMES),
    _field("@timestamp", _CLOCKS),
    st.fixed_dictionaries({"event.ingested": _CLOCKS, "@timestamp": st.sampled_from((*UNPARSABLE, *ABSENT))}),
    _field("process.parent.name", _values("exim4", "sh")),
    _field("event.action", st.sampled_from(OTHER_ACTIONS)),
    _field("event.action", _values("exec", "fork", "end")),
    _field("event.type", _values("start", "end", "change")),
    _field("host.os.type", _values("linux", "windows")),
    _field("process", _values("exim4")),
    _field("host", _values("h1")),
    st.one_of(
        _field("process.args", _values("exim4", "sh")),
        _field("user.id", _values(Literal("0"))),
        st.sampled_from(ODD_NAMES),
    ),
)
"""One field, or two that belong together, with a value out of the ordinary."""

_CROWD: st.SearchStrategy[list[Draft]] = st.fixed_dictionaries(
    {"process.name": _many("n"), "host.id": st.one_of(_many("h"), st.just("h1"))}
).map(lambda crowd: [crowd])

_HOST = st.sampled_from(HOSTS)
_NAME = st.sampled_from(NAMES)
_TYPE: Values = st.sampled_from(("start", ["start"], ["start", "end"]))
_ACTION = st.sampled_from(ACTIONS)
_ODDITY = st.sampled_from(ODDITIES).flatmap(lambda oddity: oddity)
_SOME_ODDITIES: st.SearchStrategy[list[Draft]] = st.one_of(
    st.just([]), st.lists(_ODDITY, min_size=1, max_size=1), st.lists(_ODDITY, min_size=2, max_size=2)
)
_EXTRAS = st.sampled_from((*[_SOME_ODDITIES] * 30, _CROWD))
_LEFT_OUT = st.sampled_from((0,) * 12 + tuple(range(1, 8)))


@st.composite
def drafts(draw: st.DrawFn) -> dict[str, Json]:
    """An event as its fields: a match, then up to two oddities, and perhaps a field that is left out."""
    draft: dict[str, Json] = {
        "host.id": draw(_HOST),
        "host.os.type": "linux",
        "event.type": draw(_TYPE),
        "event.action": draw(_ACTION),
        "process.parent.name": "exim4",
        "process.name": draw(_NAME),
        "@timestamp": draw(TIMES),
    }
    for oddity in draw(draw(_EXTRAS)):
        draft |= oddity
    left_out = draw(_LEFT_OUT)
    if left_out:
        del draft[tuple(draft)[left_out - 1]]
    return draft


_STYLES = st.sampled_from(("nested", "mixed", "dotted"))
_PLAIN_STYLES = st.sampled_from(("nested", "dotted"))


@st.composite
def layouts(draw: st.DrawFn, draft: Draft) -> Node:
    """Fields as one object: nested, dotted or mixed, with repeated keys and arrays of objects where drawn.

    Which of a field's values comes first is only defined for values of one place: where it matters, because there are
    more terms than are judged or the first time counts, they stay in one place.
    """
    root = Node()
    crowd = any(isinstance(value, list) and len(value) >= min(MANY) for value in draft.values())
    style = draw(_PLAIN_STYLES if crowd else _STYLES)
    paths = list(draft)
    if style == "mixed":
        turned = draw(_UP_TO_11) % len(paths)
        paths = paths[turned:] + paths[:turned]
    for path in paths:
        value = deepcopy(draft[path])  # its objects and arrays may grow
        if style != "mixed":
            _place(draw, root, [path] if style == "dotted" else path.split("."), value, plain=True)
            continue
        parts = [value]
        if path != "event.ingested" and isinstance(value, list) and len(value) > 1 and draw(_YES_NO):
            parts = [value[:1], value[1:]]
        for part in parts:
            _place(draw, root, draw(_groupings(path)), part, plain=False)
    return root


@cache
def _groupings(path: str) -> st.SearchStrategy[list[str]]:
    """The keys that may make up a path: each of its dots parts two keys, or stands in one."""
    names = path.split(".")

    def keys(glued: int) -> list[str]:
        found = names[:1]
        for number, name in enumerate(names[1:]):
            if glued >> number & 1:
                found[-1] += f".{name}"
            else:
                found.append(name)
        return found

    return st.integers(0, 2 ** (len(names) - 1) - 1).map(keys)


def _place(draw: st.DrawFn, root: Node, keys: Sequence[str], value: Json, *, plain: bool) -> None:
    """Put a value under its keys: in the object that is there, in a key of the same name, or in an array's next."""
    node = root
    for key in keys[:-1]:
        found = node.child(key)
        way = 0 if plain else draw(_UP_TO_11)
        if found is not None and way < 8:
            node = found
            continue
        fresh = Node()
        array = next((member for name, member in node.members if name == key and isinstance(member, list)), None)
        if array is not None and way % 4:
            array.append(fresh)
        else:
            node.members.append((key, [fresh] if way % 2 else fresh))
        node = fresh
    node.members.append((keys[-1], value))


SPELLINGS = st.builds(
    Spelling,
    escaped=st.sampled_from(("", "", "", "m", "4", "e", "exim4", "mlsn./:-é", "<>")),
    capitals=_YES_NO,
    space=st.sampled_from(("", " ", "\t\r ")),
)
"""Plain JSON, letters of the needle as escapes in either case, and space between tokens."""

_DEPTHS = st.sampled_from((200, 201, 199, 201, 200, 500))


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """A record that is one JSON object."""
    return draw(SPELLINGS).write(draw(layouts(draw(drafts()))))


@st.composite
def deep_events(draw: st.DrawFn) -> bytes:
    """An event that is nested as deep as it may be, or deeper."""
    root = draw(layouts(draw(drafts())))
    root.members.append(("deep", Literal(_deep(draw(_DEPTHS) - 1, objects=draw(_YES_NO)))))
    return draw(SPELLINGS).write(root)


def _deep(levels: int, *, objects: bool) -> str:
    return '{"a":' * levels + "0" + "}" * levels if objects else "[" * levels + "]" * levels


DAMAGES: Sequence[Callable[[bytes, int], bytes]] = (
    lambda raw, at: raw[:at],
    lambda raw, _: raw + b"}",
    lambda raw, _: raw + raw,
    lambda raw, _: raw[:-1] + b',"x":NaN}',
    lambda raw, _: raw[:-1] + b',"x":-Infinity}',
    lambda raw, _: raw[:-1] + b',"x":[1,]}',
    lambda raw, _: raw[:-1] + b',"x":01}',
    lambda raw, _: raw[:-1] + b',"x":"\t"}',
    lambda raw, _: raw[:-1] + b',"x":"\\x"}',
    lambda raw, _: raw[:-1] + b",}",
    lambda raw, _: b"[" + raw + b"]",
    lambda raw, _: b"[" + raw + b",1]",
    lambda raw, _: b"\xef\xbb\xbf" + raw,
    lambda raw, _: b" \t" + raw + b"\t ",
    lambda raw, at: raw[:at] + b"\xff" + raw[at:],
    lambda raw, at: raw[:at] + b"\xc3" + raw[at + 1 :],
    lambda raw, at: raw[:at] + b"\x00" + raw[at:],
    lambda raw, _: raw.replace(b"exim4", b"exim3"),
    lambda raw, _: raw.replace(b"exim4", b"EXIM4"),
)
"""What may happen to an event on its way; some of it is harmless."""


def _damage(raw: bytes, how: Callable[[bytes, int], bytes], where: float) -> bytes:
    return how(raw, int(where * len(raw)))


OTHERS = (
    b"{}",
    b"",
    b"not json",
    b'{"process":{"parent":{"name":"exim"}}}',
    b'{"process":{"parent":{"name":"ex\\u0069m"}}}',
    b'{"process":{"name":"exim4"}}',
    b"exim4",
    b'"exim4"',
    b'["exim4"]',
    b'{"exim4"',
    b"{'a':'exim4'}",
    b'{"a":"exim4",}',
    b'{"a":"\\u0065xi\\u006D\\u0034"}',
    b'{"a":"\\u0065xim4"',
    b'{"a":"\\u0045xim4"',
    b'{"a":"\\\\u0065xim4"',
    b'{"a":"ex\\u0069m5"',
    b"NaN exim4",
    b'"exim4" \xff',
    b"null exim4",
    b'{"exim4":{"process":null}}',
    b'{"a":"exim4","b":' + b"[" * 300 + b"]" * 300 + b"}",
    b'{"a":"' + b"[" * 300 + b'exim4"}',
)
"""Records that are no candidates, or candidates of little content, broken ones among them."""


_DAMAGED = st.builds(_damage, events(), st.sampled_from(DAMAGES), st.sampled_from((0.5, 0.1, 0.3, 0.7, 0.9)))
_KINDS = st.sampled_from((*[events()] * 26, *[_DAMAGED] * 2, *[st.sampled_from(OTHERS)] * 2, *[deep_events()] * 2))


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """One record of a source, without a line feed; most are events as they were sent."""
    return draw(draw(_KINDS))


@st.composite
def sightings(draw: st.DrawFn) -> bytes:
    """A match of one and the same term, at a time that is near an edge or the bound."""
    fields: dict[str, Json] = {"host.id": "h1", "host.os.type": "linux", "event.type": "start", "event.action": "exec"}
    fields |= {"process.parent.name": "exim4", "process.name": "sh", "@timestamp": draw(_SIGHTED)}
    return Spelling().write(Node(list(fields.items())))


_SIGHTED = st.sampled_from((*EDGES, *FUTURES)).map(time_text)
_SOME_RECORDS = st.one_of(
    st.lists(records(), min_size=1, max_size=8),
    st.lists(records(), min_size=8, max_size=16),
    st.lists(sightings(), min_size=2, max_size=8),
)


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """Records in the order of their arrival, some of them twice."""
    found = draw(_SOME_RECORDS)
    return found + draw(st.lists(st.sampled_from(found), max_size=2))


_STEPS = st.sampled_from((0, 1, SECOND, DAY, WINDOW // 2, WINDOW))
_WRITTEN = st.sampled_from((None, *(moment for moment in MOMENTS if moment >= 0)))
_ROUTES = st.sampled_from((None, *HOSTS))


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Records of a partition of the matches topic: in the order of their append times, within two windows."""
    taken_at = NOW - 2 * WINDOW
    log: list[Record] = []
    for raw in draw(histories()):
        taken_at = min(taken_at + draw(_STEPS), NOW)
        log.append(Record(raw, taken_at, draw(_WRITTEN), draw(_ROUTES)))
    return log


_ALERT_FROMS: st.SearchStrategy[int | None] = st.one_of(st.none(), st.sampled_from((*MOMENTS[:14], NOW)))


def alert_froms() -> st.SearchStrategy[int | None]:
    """A time before which matches raise no alert, or none."""
    return _ALERT_FROMS

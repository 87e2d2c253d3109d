"""Random queries, and random events that are likely to match them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from hypothesis import strategies as st

from app.core.kql import And, Equals, Exists, Not, Or, Query, Wildcard

FIELDS = ("process.name", "process.parent.name", "event.type", "user.id", "odd name:é")
_TEXTS = (
    "exim4",
    "EXIM4",
    "sh",
    "run-parts",
    "/usr/bin/x",
    "a b",
    "*",
    "",
    "and",
    'q"\\',
    "1000",
    "1e3",
    "true",
    "é",
)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")

EXIM4_CHILD = """
host.os.type:linux and event.type:start and event.action:exec and process.parent.name:exim4 and
  not process.name:(
    exim4 or start-stop-daemon or run-parts or systemctl or update-exim4.conf or install or plymouth
    or readlink or grep or stat or cmake or gcc or cppcheck or sort or sshd
  )
"""


@dataclass(frozen=True)
class Number:
    """A JSON number, as written."""

    text: str


Scalar: TypeAlias = str | bool | Number | None


@dataclass(frozen=True)
class Event:
    """An event's fields and their elements."""

    elements: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def values(self, field: str) -> list[str]:
        """Give the text of each scalar."""
        return [text_of(value) for value in self.elements.get(field, ()) if value is not None]

    def has_value(self, field: str) -> bool:
        """Tell whether any element is not null."""
        return any(value is not None for value in self.elements.get(field, ()))


def event(**elements: Scalar | list[Scalar]) -> Event:
    """Build an event; `__` in a name stands for a dot, a list for an array."""
    return Event(
        {name.replace("__", "."): value if isinstance(value, list) else [value] for name, value in elements.items()}
    )


def text_of(value: str | bool | Number) -> str:
    """Give the text by which a scalar compares."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.text if isinstance(value, Number) else value


def texts() -> st.SearchStrategy[str]:
    """Draw values: telling ones, and any text at all."""
    return st.sampled_from(_TEXTS) | st.text(st.characters(codec="utf-8"), max_size=8)


def queries() -> st.SearchStrategy[Query]:
    """Draw query trees of every shape that the parser can give."""
    names = st.sampled_from(FIELDS)
    inner = st.lists(texts().filter(bool), max_size=2)
    pieces = st.tuples(texts(), inner, texts()).map(lambda drawn: (drawn[0], *drawn[1], drawn[2]))
    leaves: st.SearchStrategy[Query] = (
        st.builds(Equals, names, texts()) | st.builds(Wildcard, names, pieces.filter(any)) | st.builds(Exists, names)
    )
    return st.recursive(leaves, _combined, max_leaves=8)


def _combined(children: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    several = st.lists(children, min_size=2, max_size=4).map(tuple)
    return st.builds(Not, children) | st.builds(And, several) | st.builds(Or, several)


def event_for(query: Query, random: Random) -> Event:
    """Build an event that holds what most of the query's clauses ask for, so that it often matches."""
    elements: dict[str, list[Scalar]] = {}
    for leaf in leaves(query):
        if random.random() < 0.7:
            elements.setdefault(leaf.field, []).append(_satisfying(leaf, random))
    return Event(elements)


def leaves(query: Query) -> Iterator[Equals | Wildcard | Exists]:
    """Yield the clauses from left to right."""
    if isinstance(query, Not):
        yield from leaves(query.child)
    elif isinstance(query, And | Or):
        for child in query.children:
            yield from leaves(child)
    else:
        yield query


def _satisfying(leaf: Equals | Wildcard | Exists, random: Random) -> Scalar:
    if isinstance(leaf, Exists):
        return "anything"
    parts = leaf.pieces if isinstance(leaf, Wildcard) else (leaf.value,)
    text = "".join(part + random.choice(("", "0", "x*")) for part in parts[:-1]) + parts[-1]
    if text in {"true", "false"}:
        return text == "true"
    return Number(text) if _NUMBER.fullmatch(text) and random.random() < 0.5 else text


def holds(query: Query, event: Event) -> bool:
    """Judge in the slow and obvious way, as a measure for the compiled predicate."""
    match query:
        case And(children):
            return all(holds(child, event) for child in children)
        case Or(children):
            return any(holds(child, event) for child in children)
        case Not(child):
            return not holds(child, event)
        case Equals(name, wanted):
            return any(value == wanted for value in event.values(name))
        case Wildcard(name, pieces):
            pattern = re.compile(".*".join(map(re.escape, pieces)), re.DOTALL)
            return any(pattern.fullmatch(value) for value in event.values(name))
        case Exists(name):
            return event.has_value(name)

"""Clauses of a query: which of them hold for an event, and the values that they saw.

`app.core.kql` does not import this module: it stands above the events, that one below them. The text of a clause is
`str()` of its tree, which parses back to an equal tree.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from app.core.document import encode_document
from app.core.event import JsonObject
from app.core.kql.ast import And, Equals, Exists, Not, Or, Query, Wildcard
from app.core.kql.predicate import Fields, Predicate, compile_query
from app.core.shown import shown

MAX_VALUES: Final = 5
"""Distinct values that a clause keeps of each field; those that decide come first, so that they are among them."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause as it was judged.

    Attributes:
        text: The clause as KQL, on one line, whatever its length.
        result: Whether it holds.
        values: The distinct values that the event has in each of its fields, in the event's order; at most
            MAX_VALUES, each cut like every text in an alert. Empty where the field has none; no fields where there
            are parts.
        omitted: How many distinct values of a field are not among them; no entry for none.
        objects: Fields that have no value to compare with but hold an object, which `field:*` takes for one.
        parts: What it is made of, where it was asked for.
        needs: How many of the parts must hold: all, any, or with a negation none; "" without parts.
    """

    text: str
    result: bool
    values: Mapping[str, tuple[str, ...]]
    omitted: Mapping[str, int] = field(default_factory=dict)
    objects: frozenset[str] = frozenset()
    parts: tuple[Clause, ...] = ()
    needs: Literal["", "all", "any", "none"] = ""


def clauses(query: Query) -> tuple[Query, ...]:
    """The clauses that must all hold: those of the `and` at the top, or the query as a whole."""
    return query.children if isinstance(query, And) else (query,)


def judge_clauses(query: Query, event: Fields) -> tuple[Clause, ...]:
    """Judge every clause, also those after one that fails; the query holds if all of them do.

    Raises only what the event's own `values` and `has_value` raise.
    """
    return tuple(_judge(clause, event) for clause in clauses(query))


def judge_tree(query: Query, event: Fields) -> Clause:
    """Judge a query and all that it is made of, down to the clauses about one field; those alone have values."""
    parts = tuple(judge_tree(part, event) for part in _parts(query))
    if not parts:
        return _judge(query, event)
    needs: Literal["all", "any", "none"] = (
        "none" if isinstance(query, Not) else "all" if isinstance(query, And) else "any"
    )
    plan = _plan(query)
    return Clause(plan.text, plan.holds(event), {}, parts=parts, needs=needs)


def listed(judged: Sequence[Clause], room: int) -> tuple[list[JsonObject], bool]:
    """Clauses as an alert lists them, in no more than `room` bytes of JSON and a few for brackets.

    Where room ends, clauses lose their values first; those for which there is none at all are left out.

    Returns:
        The list, and whether it is complete.
    """
    complete = True
    documents: list[JsonObject] = []
    for clause in judged:
        brief: JsonObject = {"clause": shown(clause.text), "result": clause.result}
        whole = brief | {"values": {name: list(values) for name, values in clause.values.items()}}
        if clause.omitted:
            whole["omitted"] = dict(clause.omitted)
        for document in (whole, brief):
            size = len(encode_document(document)) + 1
            if size <= room:
                documents.append(document)
                room -= size
                break
            complete = False
    return documents, complete


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a clause asks of one field: a value decides if it is among the texts or fits a pattern."""

    texts: frozenset[str]
    patterns: tuple[Wildcard, ...]

    def accepts(self, value: str) -> bool:
        return value in self.texts or any(pattern.matches(value) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What of a clause does not depend on the event."""

    text: str
    holds: Predicate
    choices: tuple[tuple[str, _Choice], ...]


@functools.lru_cache(maxsize=1024)
def _plan(query: Query) -> _Plan:
    asked: dict[str, list[Equals | Wildcard | Exists]] = {}
    for leaf in _leaves(query):
        asked.setdefault(leaf.field, []).append(leaf)
    choices = (
        (
            name,
            _Choice(
                frozenset(leaf.value for leaf in leaves if isinstance(leaf, Equals)),
                tuple(leaf for leaf in leaves if isinstance(leaf, Wildcard)),
            ),
        )
        for name, leaves in asked.items()
    )
    return _Plan(str(query), compile_query(query), tuple(choices))


def _judge(query: Query, event: Fields) -> Clause:
    plan = _plan(query)
    values: dict[str, tuple[str, ...]] = {}
    omitted: dict[str, int] = {}
    objects: set[str] = set()
    for name, choice in plan.choices:
        distinct = dict.fromkeys(event.values(name))
        kept = _kept(distinct, choice)
        values[name] = tuple(map(shown, kept))
        if len(distinct) > len(kept):
            omitted[name] = len(distinct) - len(kept)
        if not distinct and event.has_value(name):
            objects.add(name)
    return Clause(plan.text, plan.holds(event), values, omitted, frozenset(objects))


def _kept(distinct: Mapping[str, None], choice: _Choice) -> Sequence[str]:
    if len(distinct) <= MAX_VALUES:
        return list(distinct)
    deciding = filter(choice.accepts, distinct)
    first = [value for value, _ in zip(deciding, range(MAX_VALUES), strict=False)]
    return list(dict.fromkeys([*first, *list(distinct)[:MAX_VALUES]]))[:MAX_VALUES]


def _leaves(query: Query) -> Iterator[Equals | Wildcard | Exists]:
    if isinstance(query, Not):
        yield from _leaves(query.child)
    elif isinstance(query, And | Or):
        for child in query.children:
            yield from _leaves(child)
    else:
        yield query


def _parts(query: Query) -> tuple[Query, ...]:
    """What is worth judging apart: a leaf, a list of one field's values and the negation of either are whole."""
    if isinstance(query, Not):
        return () if _is_whole(query.child) else (query.child,)
    return () if _is_whole(query) else query.children if isinstance(query, And | Or) else ()


def _is_whole(query: Query) -> bool:
    return query.is_group() if isinstance(query, Or) else not isinstance(query, And | Not)

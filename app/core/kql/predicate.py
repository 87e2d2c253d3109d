"""From a query's tree to a function that judges an event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

from app.core.kql.ast import And, Equals, Exists, Not, Or, Query, Wildcard


class Fields(Protocol):
    """An event as a query sees it; how its keys are laid out is already dealt with."""

    def values(self, field: str) -> Sequence[str]:
        """Give the text of every scalar value of the field: arrays flattened, null left out, else ()."""
        ...

    def has_value(self, field: str) -> bool:
        """Tell whether the field has a value: false for null, [] and a missing field; true for ""."""
        ...


Predicate: TypeAlias = Callable[[Fields], bool]


def compile_query(query: Query) -> Predicate:
    """Make the predicate once, to be called for every candidate; it has no state and may be shared.

    It raises only what the event's own `values` and `has_value` raise.
    """
    match query:
        case And(children):
            return _all([compile_query(child) for child in children])
        case Or():
            return _any(_alternatives(query))
        case Not(child):
            return _negation(child)
        case Equals(field, value):
            return _equals(field, value)
        case Wildcard():
            return _wildcard(query)
        case _:
            return _exists(query)


def _equals(field: str, value: str) -> Predicate:
    return lambda fields: value in fields.values(field)


def _one_of(field: str, wanted: frozenset[str]) -> Predicate:
    return lambda fields: not wanted.isdisjoint(fields.values(field))


def _none_of(field: str, unwanted: frozenset[str]) -> Predicate:
    return lambda fields: unwanted.isdisjoint(fields.values(field))


def _exists(leaf: Exists) -> Predicate:
    field = leaf.field
    return lambda fields: fields.has_value(field)


def _wildcard(leaf: Wildcard) -> Predicate:
    field, matches = leaf.field, leaf.matches
    return lambda fields: any(map(matches, fields.values(field)))


def _negation(child: Query) -> Predicate:
    """Negate; an exclusion list, the usual shape, becomes one look-up."""
    if isinstance(child, Not):
        return compile_query(child.child)
    leaves = list(_flat(child))
    values = frozenset(leaf.value for leaf in leaves if isinstance(leaf, Equals))
    if all(isinstance(leaf, Equals) for leaf in leaves) and len(child.fields()) == 1:
        return _none_of(next(iter(child.fields())), values)
    inner = compile_query(child)
    return lambda fields: not inner(fields)


def _alternatives(query: Or) -> Iterator[Predicate]:
    """Yield the branches; the texts that one field may equal become a single look-up, however many."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    others: list[Query] = []
    for child in _flat(query):
        if isinstance(child, Equals):
            wanted[child.field].add(child.value)
        else:
            others.append(child)
    for field, values in wanted.items():
        yield _one_of(field, frozenset(values))
    yield from map(compile_query, others)


def _flat(query: Query) -> Iterator[Query]:
    """Yield the branches of a disjunction and of those inside it; anything else is its own only branch."""
    if isinstance(query, Or):
        for child in query.children:
            yield from _flat(child)
    else:
        yield query


def _all(parts: Iterable[Predicate]) -> Predicate:
    conditions = tuple(parts)

    def holds(fields: Fields) -> bool:
        for condition in conditions:  # noqa: SIM110 - all() over a generator costs twice as much a call
            if not condition(fields):
                return False
        return True

    return holds


def _any(parts: Iterable[Predicate]) -> Predicate:
    conditions = tuple(parts)
    if len(conditions) == 1:
        return conditions[0]

    def holds(fields: Fields) -> bool:
        for condition in conditions:  # noqa: SIM110 - as above
            if condition(fields):
                return True
        return False

    return holds

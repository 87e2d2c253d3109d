"""The tree of a query: plain values that compare by meaning and print as KQL.

`str()` of a tree is canonical: it parses back to an equal tree, on one line.
Line and column say where a leaf's value stands in the text; they take no part in equality.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

from app.core.kql.literal import write_literal, write_pattern


class _Leaf(ABC):
    """One clause about one field."""

    __slots__ = ()

    field: str

    @property
    @abstractmethod
    def value_text(self) -> str:
        """The value as a query writes it."""

    def fields(self) -> frozenset[str]:
        """Give the names of the fields that the query reads."""
        return frozenset((self.field,))

    def __str__(self) -> str:
        """Write the clause as KQL."""
        return f"{write_literal(self.field)}:{self.value_text}"


@dataclass(frozen=True, slots=True)
class Equals(_Leaf):
    """True if any element of the field is this text, case-sensitively."""

    field: str
    value: str
    line: int = dataclasses.field(default=1, compare=False)
    column: int = dataclasses.field(default=1, compare=False)

    @property
    def value_text(self) -> str:
        """The value as a query writes it."""
        return write_literal(self.value)


@dataclass(frozen=True, slots=True)
class Wildcard(_Leaf):
    """True if any element of the field is the pieces in their order, with anything or nothing between them.

    There are two pieces or more, the first and the last may be empty, those between are not.
    """

    field: str
    pieces: tuple[str, ...]
    line: int = dataclasses.field(default=1, compare=False)
    column: int = dataclasses.field(default=1, compare=False)

    @property
    def value(self) -> str:
        """The pattern, its literal stars escaped."""
        return write_pattern(self.pieces)

    @property
    def value_text(self) -> str:
        """The value as a query writes it."""
        return write_pattern(self.pieces)

    def matches(self, text: str) -> bool:
        """Tell whether the whole text fits the pattern.

        Taking each piece at its first possible place is enough, since only the last is tied to the end.
        So no place is tried twice: time grows with the text's length, whatever an attacker puts into it.
        """
        first, last = self.pieces[0], self.pieces[-1]
        at, end = len(first), len(text) - len(last)
        if at > end or not text.startswith(first) or not text.endswith(last):
            return False
        for piece in self.pieces[1:-1]:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True


@dataclass(frozen=True, slots=True)
class Exists(_Leaf):
    """True if the field has a value: "" is one; null, [] and a missing field are not."""

    field: str
    line: int = dataclasses.field(default=1, compare=False)
    column: int = dataclasses.field(default=1, compare=False)

    @property
    def value_text(self) -> str:
        """The value as a query writes it."""
        return "*"


@dataclass(frozen=True, slots=True)
class Not:
    """True if the child is false, so also where the child's field is missing."""

    child: Query

    def fields(self) -> frozenset[str]:
        """Give the names of the fields that the query reads."""
        return self.child.fields()

    def __str__(self) -> str:
        """Write the negation as KQL."""
        return f"not {_within(self.child, And, Or, Not)}"


@dataclass(frozen=True, slots=True)
class And:
    """True if every child is; two children or more, evaluated from the left until one is false."""

    children: tuple[Query, ...]

    def fields(self) -> frozenset[str]:
        """Give the names of the fields that the query reads."""
        return frozenset().union(*(child.fields() for child in self.children))

    def __str__(self) -> str:
        """Write the conjunction as KQL."""
        return " and ".join(_within(child, And, Or) for child in self.children)


@dataclass(frozen=True, slots=True)
class Or:
    """True if any child is; two children or more."""

    children: tuple[Query, ...]

    def fields(self) -> frozenset[str]:
        """Give the names of the fields that the query reads."""
        return frozenset().union(*(child.fields() for child in self.children))

    def is_group(self) -> bool:
        """Tell whether it lists values of one field and nothing else, so that it prints as `f:(a or b)`."""
        return all(isinstance(child, _Leaf) for child in self.children) and len(self.fields()) == 1

    def __str__(self) -> str:
        """Write the disjunction as KQL; values of one field as a group, the way an author would."""
        if not self.is_group():
            return " or ".join(_within(child, Or) for child in self.children)
        leaves = [child for child in self.children if isinstance(child, _Leaf)]
        return f"{write_literal(leaves[0].field)}:({' or '.join(leaf.value_text for leaf in leaves)})"


Query: TypeAlias = And | Or | Not | Equals | Wildcard | Exists


def _within(child: Query, *loose: type[Query]) -> str:
    """Write a child, in parentheses where it would bind otherwise or melt into its parent."""
    if isinstance(child, loose) and not (isinstance(child, Or) and child.is_group()):
        return f"({child})"
    return str(child)

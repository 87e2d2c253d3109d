"""The KQL subset that rules are written in: parse a query, then compile it to a predicate.

A text accepted here means in Kibana what it means here, for keyword fields.
Whatever this subset leaves out is refused with its name and its place, never read in some other way.
"""

from __future__ import annotations

from app.core.kql.ast import And, Equals, Exists, Not, Or, Query, Wildcard
from app.core.kql.error import QueryError
from app.core.kql.predicate import Fields, Predicate, compile_query

__all__ = [
    "And",
    "Equals",
    "Exists",
    "Fields",
    "Not",
    "Or",
    "Predicate",
    "Query",
    "QueryError",
    "Wildcard",
    "compile_query",
    "parse",
]


def parse(text: str) -> Query:
    """Read a query.

    Args:
        text: The query as the rule's author wrote it; it may span lines.

    Raises:
        QueryError: The text is not a query of the subset, is longer than `grammar.MAX_LENGTH`
            or nests deeper than `grammar.MAX_DEPTH`. No other exception leaves this function.
    """
    # Lark takes some 50 ms to import: only what reads a query pays for it, `--help` does not.
    from app.core.kql.grammar import read

    return read(text)

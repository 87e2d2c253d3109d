"""The grammar of the subset, and the way from its parse tree to the query's tree."""

from __future__ import annotations

import functools
from typing import TypeAlias, cast

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

from app.core.kql import diagnosis
from app.core.kql.ast import And, Equals, Exists, Not, Or, Query, Wildcard
from app.core.kql.error import QueryError
from app.core.kql.literal import SPACES, read_literal

# Far beyond any rule a person maintains, and far below what Python's stack or a second of parsing can hold.
MAX_LENGTH = 65_536
MAX_DEPTH = 50

# A keyword is a word of its own, so what may follow it is what ends a word. Everything else that is not
# special is a word: a word with a star in it is a wildcard, which the words' reader sees, not the grammar.
# Clauses and the values of a group have the same precedence, and the aliases give both one shape.
# _field and _value read alike but stay two rules: so the parser knows, after a word, which of the two it was.
_GRAMMAR = r"""
?clauses: all_clauses (_OR all_clauses)+ -> any | all_clauses
?all_clauses: one_clause (_AND one_clause)+ -> all | one_clause
?one_clause: _NOT one_clause -> negation | _LPAR clauses _RPAR | clause
clause: _field _COLON values
?values: _value | _LPAR any_value _RPAR
?any_value: all_values (_OR all_values)+ -> any | all_values
?all_values: one_value (_AND one_value)+ -> all | one_value
?one_value: _NOT one_value -> negation | values
_field: WORD | QUOTED
_value: WORD | QUOTED

_AND.2: /and(?![^ \t\r\n\u00a0():<>"{}])/i
_OR.2: /or(?![^ \t\r\n\u00a0():<>"{}])/i
_NOT.2: /not(?![^ \t\r\n\u00a0():<>"{}])/i
_LPAR: "("
_RPAR: ")"
_COLON: ":"
QUOTED: /"(?:[^"\\]|\\[\s\S])*"/
WORD: /(?:[^ \t\r\n\u00a0():<>"{}\\]|\\[\s\S])+/
_SPACE: /[ \t\r\n\u00a0]+/
%ignore _SPACE
"""

_Node: TypeAlias = "Tree[Token] | Token"


def read(text: str) -> Query:
    """Read a query; `app.core.kql.parse` is the public name and states the contract."""
    if len(text) > MAX_LENGTH:
        reason = f"the query has {len(text)} characters, more than {MAX_LENGTH}; split it into several rules"
        raise QueryError.at(text, MAX_LENGTH, reason)
    if not text.strip(SPACES):
        raise QueryError(f"an empty query matches nothing; {diagnosis.EXAMPLE}", 1, 1)
    parser = _parser()
    try:
        root = parser.parse(text)
    except UnexpectedCharacters as error:
        # Lark annotates the offset as None and always sets it.
        raise diagnosis.of_character(text, cast("int", error.pos_in_stream)) from None
    except UnexpectedToken as error:
        raise diagnosis.of_token(text, parser, error) from None
    return _build(text, root, "", 1)


@functools.cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="basic", start="clauses")


def _build(text: str, node: _Node, field: str, depth: int) -> Query:
    """Turn a parse tree into a query.

    The parser keeps a stack of its own. This is the first recursion, and `depth` bounds it before it happens,
    so that everything that walks the tree later may recurse as well.
    """
    if isinstance(node, Token):
        return _leaf(text, node, field)
    if node.data == "clause":
        name, value = node.children
        return _build(text, value, _name(text, name), depth)
    if depth > MAX_DEPTH:
        reason = f"and, or, not are nested deeper than {MAX_DEPTH} levels; split the query into several rules"
        raise QueryError.at(text, _start(_first_token(node)), reason)
    children = tuple(_build(text, child, field, depth + 1) for child in node.children)
    if node.data == "negation":
        return Not(children[0])
    return And(children) if node.data == "all" else Or(children)


def _leaf(text: str, token: Token, field: str) -> Query:
    line, column = int(token.line or 1), int(token.column or 1)
    pieces = read_literal(text, _start(token), _start(token) + len(token))
    if len(pieces) == 1:
        return Equals(field, pieces[0], line, column)
    if not any(pieces):
        return Exists(field, line, column)
    return Wildcard(field, pieces, line, column)


def _name(text: str, token: _Node) -> str:
    first = _first_token(token)
    pieces = read_literal(text, _start(first), _start(first) + len(first))
    if len(pieces) > 1:
        raise QueryError.at(text, _start(first), diagnosis.wildcard_field(first))
    return pieces[0]


def _first_token(node: _Node) -> Token:
    while not isinstance(node, Token):
        node = node.children[0]
    return node


def _start(token: Token) -> int:
    return int(token.start_pos or 0)

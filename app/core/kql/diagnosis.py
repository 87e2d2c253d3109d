"""The parser's complaints in an author's words: the construct by name, its place, what to write instead."""

from __future__ import annotations

from lark import Lark, Token, UnexpectedToken

from app.core.kql.error import QueryError
from app.core.kql.literal import SPACES, printable

EXAMPLE = "write clauses such as process.name:exim4 or event.type:(start or end)"

_OUTSIDE = "not part of the supported KQL subset"
_OPERATORS = frozenset({"_AND", "_OR", "_NOT"})
_LITERALS = frozenset({"WORD", "QUOTED"})
_SHOWN = 40  # characters of the author's own text that a message repeats


def of_character(text: str, offset: int) -> QueryError:
    """Explain a character that begins no token."""
    char = text[offset]
    if char in "<>":
        operator = char + "=" * text.startswith("=", offset + 1)
        reason = f"range operators ({operator}) are {_OUTSIDE}; list the wanted values, or quote the value"
    elif char in "{}":
        reason = f"nested queries ({char}) are {_OUTSIDE}; write the full field name, or quote the value"
    elif char == '"':
        reason = 'this quote has no end; close it with a second ", and write \\" for a quote inside'
    else:
        reason = "a backslash at the end escapes nothing; write \\\\ for a backslash"
    return QueryError.at(text, offset, reason)


def of_token(text: str, parser: Lark, error: UnexpectedToken) -> QueryError:
    """Explain a token that can't stand where it does, seen together with the one before it."""
    token = error.token
    at_end = token.type == "$END"
    # The parser has forgotten the tokens it took in. Reading them again costs nothing that matters here.
    before = list(parser.lex(text if at_end else text[: _start(token)]))
    last = before[-1] if before else Token("$START", "")
    if "_COLON" in error.expected:
        place, reason = last, _free_text(last)
    elif last.type == "_COLON":
        place, reason = _without_value(token, last)
    elif last.type in _OPERATORS and (at_end or token.type in {"_RPAR", "_COLON"}):
        place, reason = last, f"the operator {last} has nothing after it; add a clause or take {last} out"
    elif at_end:
        place, reason = _unclosed(before), "this parenthesis is never closed; add the missing )"
    else:
        place, reason = token, _misplaced(text, token, last)
    return QueryError.at(text, _start(place), reason)


def wildcard_field(name: str) -> str:
    """Explain a field name with a star in it."""
    return f"wildcards in field names ({_shown(name)}) are {_OUTSIDE}; join a clause for each field by or"


def _free_text(last: Token) -> str:
    shown = _shown(last)
    return f"free text without a field ({shown}) is {_OUTSIDE}; put the field before it, as in field:{shown}"


def _without_value(token: Token, colon: Token) -> tuple[Token, str]:
    """Explain what follows a colon and is no value."""
    if token.type in _OPERATORS:
        return token, f'the keyword {token} stands where a value should; to mean the word write "{token}"'
    if token.type == "_COLON":
        return token, "a second : follows the first; quote a value that begins with a colon"
    return colon, "the value is missing after this colon; write field:value, or field:* for any value"


def _misplaced(text: str, token: Token, last: Token) -> str:
    """Explain what follows the start, a parenthesis, an operator or a whole clause, and can't."""
    if token.type == "_COLON" and last.type in _LITERALS:
        return "a : follows a value; quote a value that holds a colon, or begin a clause of its own"
    if token.type == "_COLON":
        return "a : has no field before it; write field:value"
    if token.type in {"_AND", "_OR"}:
        return f"the operator {token} has nothing before it; add a clause or take {token} out"
    if token.type == "_RPAR" and last.type == "_LPAR":
        return "these parentheses are empty; fill them or take them out"
    if token.type == "_RPAR":
        return "no ( belongs to this ); take it out, or open one"
    begins_clause = text[int(token.end_pos or 0) :].lstrip(SPACES).startswith(":")
    if token.type == "WORD" and token.startswith("#"):
        return "a query has no comments; write it above the query, as a comment of the rule file"
    if token.type == last.type == "WORD" and not begins_clause:
        words = f"{_shown(last)} {_shown(token)}"
        return f'values with spaces are {_OUTSIDE} unless quoted; write "{words}", or join the words with or'
    return f"an operator is missing before {_shown(token)}; join clauses with and or with or"


def _unclosed(tokens: list[Token]) -> Token:
    """Find the innermost parenthesis that was opened and not closed; the caller knows that there is one."""
    opened: list[Token] = []
    for token in tokens:
        if token.type == "_LPAR":
            opened.append(token)
        elif token.type == "_RPAR":
            opened.pop()
    return opened[-1]


def _start(token: Token) -> int:
    return int(token.start_pos or 0)


def _shown(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"

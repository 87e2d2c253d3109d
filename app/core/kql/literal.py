r"""Names and values as KQL writes them: escapes read, and written again.

Kibana's own escapes and no more. An unquoted literal may hold `\t \r \n`, `\uXXXX`, a backslash before
a special character, and a backslash before a keyword; a quoted one `\t \r \n`, `\uXXXX`, `\\` and `\"`.
Kibana keeps any other backslash inside quotes as it is. Here it is an error, because `"\*"` and
`"C:\Temp"` read like escapes: whoever means a backslash writes two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.core.kql.error import QueryError

SPACES = " \t\r\n\u00a0"
SPECIAL = '\\():<>"*{}'
KEYWORDS = frozenset({"and", "or", "not"})

_CONTROL = {"t": "\t", "r": "\r", "n": "\n"}
_SHARED = r"\\u(?P<code>[0-9a-fA-F]{4})|\\(?P<control>[trn])|\\(?P<bad>[\s\S])"
# A keyword is tried first: `\not` would otherwise begin with a line feed.
# It is one only where the literal ends after it, so that `\note` stays a line feed and "ote".
_UNQUOTED = re.compile(
    r"(?P<plain>[^\\*]+)|(?P<star>\*+)|\\(?P<keyword>(?i:and|or|not))\Z|"
    rf"\\(?P<special>[{re.escape(SPECIAL)}])|{_SHARED}"
)
_QUOTED = re.compile(rf"(?P<plain>[^\\]+)|\\(?P<special>[\\\"])|{_SHARED}")
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9_.@/-]+")


def read_literal(text: str, start: int, end: int) -> tuple[str, ...]:
    r"""Read the literal that stands at `text[start:end]`, quotes included.

    Returns:
        Its literal pieces, between which any characters may stand: one piece where there is no wildcard.

    Raises:
        QueryError: An escape is unknown, or a `\uXXXX` is half of a surrogate pair, which no event can hold.
    """
    quoted = text[start] == '"'
    pieces = [""]
    for kind, part, offset in _parts(text, start + quoted, end - quoted, _QUOTED if quoted else _UNQUOTED):
        if kind == "star":
            pieces.append("")
        elif kind == "bad":
            raise QueryError.at(text, offset, _unknown_escape(part, quoted=quoted))
        else:
            pieces[-1] += part
    try:
        return tuple(_join_surrogates(piece) for piece in pieces)
    except UnicodeError:
        reason = "half of a surrogate pair is not a character; write both halves, or the character itself"
        raise QueryError.at(text, start, reason) from None


def write_literal(value: str) -> str:
    """Write a literal without wildcards: bare where that is plain, else in quotes; always on one line."""
    if _NEEDS_NO_QUOTES.fullmatch(value) and value.lower() not in KEYWORDS:
        return value
    return '"' + "".join("\\" + char if char in '\\"' else printable(char) for char in value) + '"'


def write_pattern(pieces: tuple[str, ...]) -> str:
    """Write a wildcard value, which can't be quoted: every space becomes an escape."""
    return "*".join("".join(map(_write_bare, piece)) for piece in pieces)


def printable(text: str) -> str:
    r"""Give the text with every character that would break a line or hide itself as `\uXXXX`."""
    return "".join(char if char.isprintable() else _code_units(char) for char in text)


def _write_bare(char: str) -> str:
    if char in SPECIAL:
        return "\\" + char
    return _code_units(char) if char == " " else printable(char)


def _code_units(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _parts(text: str, start: int, end: int, pattern: re.Pattern[str]) -> Iterator[tuple[str, str, int]]:
    """Yield each part's kind, the text it stands for and its offset."""
    for match in pattern.finditer(text, start, end):
        kind, part = str(match.lastgroup), match[match.lastgroup or 0]
        if kind == "code":
            part = chr(int(part, 16))
        elif kind == "control":
            part = _CONTROL[part]
        yield kind, part, match.start()


def _join_surrogates(piece: str) -> str:
    r"""Make one character of `\ud83d\ude00`; a half left alone raises UnicodeDecodeError."""
    return piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _unknown_escape(char: str, *, quoted: bool) -> str:
    escape = "\\" + printable(char)
    if char == "u":
        return f"the escape {escape} needs four hexadecimal digits, as in \\u0041"
    if quoted:
        return f"the escape {escape} has no meaning in quotes; write \\\\ for a backslash, and a * as it is"
    return f"the escape {escape} has no meaning; write \\\\ for a backslash, or put the value in quotes"

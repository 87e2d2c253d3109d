"""Text from events on its way to a terminal: attackers choose process names, so nothing of theirs may act there."""

from __future__ import annotations

import re
import sys
from typing import IO

from rich.text import Text

_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 and C1 control characters, ANSI's escape among them
    "\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # bidirectional and invisible
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001343f"  # other format characters
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\ud800-\udfff\ufff0-\ufff8\U000e0000-\U000e0fff"  # lone surrogates, specials, tags
    "]"
)


def visible(text: str) -> str:
    r"""The text with every character that could act on a terminal, or hide there, spelled out as `\uXXXX`."""
    return _UNSAFE.sub(lambda found: _escape(found[0]), text)


def plain(text: str, style: str = "") -> Text:
    """The text for rich: safe for a terminal, its brackets never read as markup."""
    return Text(visible(text), style=style)


def json_line(encoded: bytes, out: IO[bytes]) -> bytes:
    """One JSON text as a line for `out`: as it is for a file or pipe, for a terminal with escapes in its strings.

    Both are the same JSON: in valid JSON such characters stand in strings only.
    """
    if not out.isatty():
        return encoded + b"\n"
    return visible(encoded.decode("utf-8", "replace")).encode() + b"\n"


def say(message: str) -> None:
    """One line for the person, on standard error."""
    sys.stderr.write(visible(message) + "\n")
    sys.stderr.flush()


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"

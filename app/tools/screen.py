"""Text from events on its way to a terminal: attackers choose process names, so nothing of theirs may act there."""

from __future__ import annotations

import sys
from typing import IO

from rich.text import Text

from app.core.visible import visible


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

"""What a sieve is given to search with, in the simplest form that is right."""

from __future__ import annotations

from typing import Final

from app.core.needles import Needles
from app.sieve.sift import Search
from tests.sieve.logs import NEEDLES

ESCAPES: Final = Needles(frozenset(needle.decode() for needle in NEEDLES))
"""The search of the product: raw needles, and escapes of their letters."""

NEEDLE: Final = NEEDLES[0]


def plain(needle: bytes = NEEDLE) -> Search:
    """The search for one needle as it stands."""

    def search(buffer: memoryview, start: int, end: int) -> int:
        at = bytes(buffer[start:end]).find(needle)
        return at if at < 0 else start + at

    return search


def everything(_buffer: memoryview, start: int, end: int) -> int:
    """The search of a sieve that is switched off: all there is matters."""
    return start if start < end else -1


def nothing(_buffer: memoryview, _start: int, _end: int) -> int:
    """The search to which nothing matters."""
    return -1

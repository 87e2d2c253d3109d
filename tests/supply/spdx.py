"""Licences: which ones may be shipped with the program, and whether an SPDX expression is among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

ALLOWED: Final = {
    "0BSD": "permissive, asks nothing",
    "Apache-2.0": "permissive; text and NOTICE go with copies",
    "Apache-2.0 WITH LLVM-exception": "as Apache-2.0, and less is asked of compiled copies",
    "BSD-2-Clause": "permissive; text goes with copies",
    "BSD-3-Clause": "permissive; text goes with copies",
    "BSD-3-Clause-Modification": "as BSD-3-Clause; changed files say so",
    "BSL-1.0": "permissive; source copies carry the text",
    "LicenseRef-Public-Domain": "xz's liblzma before 5.6: no licence is needed",
    "MIT": "permissive; text goes with copies",
    "MPL-2.0": "copyleft by file: used unchanged, its source is at the registry; changed files are to be published",
    "PSF-2.0": "permissive; text goes with copies",
    "Unicode-3.0": "permissive; text goes with copies",
    "Unicode-DFS-2016": "permissive; text goes with copies",
    "Unlicense": "public domain",
    "Zlib": "permissive; changed copies say so",
    "bzip2-1.0.6": "permissive; changed copies say so",
    "curl": "permissive; text goes with copies",
}
"""With what follows. GPL and AGPL are not there: the program could not be handed on under other terms. LGPL is not
either: nothing needs it, and compiled into a wheel it asks for a way to link anew."""

_TOKEN: Final = re.compile(r"\(|\)|[A-Za-z0-9.+-]+(?: WITH [A-Za-z0-9.+-]+)?")


def is_allowed(expression: str) -> bool:
    """Whether what it says can be complied with by allowed licences alone.

    Args:
        expression: SPDX: `and` needs both, `or` leaves the choice.

    Raises:
        ValueError: It is no expression.
    """
    tokens = _TOKEN.findall(expression)
    if "".join(tokens).replace(" ", "") != expression.replace(" ", ""):
        raise ValueError(f"no SPDX expression: {expression}")
    rest = iter([*tokens, ""])
    answer, after = _any(rest, next(rest))
    if after:
        raise ValueError(f"no SPDX expression: {expression}")
    return answer


def _any(rest: Iterator[str], token: str) -> tuple[bool, str]:
    answer, token = _all(rest, token)
    while token == "OR":
        other, token = _all(rest, next(rest))
        answer = answer or other
    return answer, token


def _all(rest: Iterator[str], token: str) -> tuple[bool, str]:
    answer, token = _one(rest, token)
    while token == "AND":
        other, token = _one(rest, next(rest))
        answer = answer and other
    return answer, token


def _one(rest: Iterator[str], token: str) -> tuple[bool, str]:
    if token != "(":
        if token in ("", ")", "AND", "OR"):
            raise ValueError(f"no licence where one belongs: {token or 'the end'}")
        return token in ALLOWED, next(rest)
    answer, token = _any(rest, next(rest))
    if token != ")":
        raise ValueError("a parenthesis is not closed")
    return answer, next(rest)

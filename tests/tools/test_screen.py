"""Text on its way to a terminal: nothing of an attacker's acts there."""

from __future__ import annotations

import io
import json
import unicodedata
from typing import IO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from app.core.visible import visible
from app.tools.screen import json_line, plain, say

_BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_HOSTILE = st.sampled_from(
    [
        *(
            "\x1b[31m",
            "\x1b]0;title\x07",
            "\x1b[2J",
            "\x9b1m",
            "\r",
            "\n",
            "\x08",
            "\x7f",
            "\u202e",
            "\u2066",
            "\u200f",
        ),
        *(
            "\u2028",
            "\u00ad",
            "\u200b",
            "\ufeff",
            "\ud800",
            "\U000e0041",
            "[red]",
            "[/]",
            "[link=x]",
            ":bomb:",
            "\\u001b",
        ),
    ]
)
TEXTS = st.lists(_HOSTILE | st.text(max_size=6), max_size=12).map("".join)


class Terminal(io.BytesIO):
    """A file of bytes that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def acts(text: str) -> list[str]:
    """The characters of a text that could act on a terminal or hide there."""
    return [
        char
        for char in text
        if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(char) in _BIDI
        or char in "\u200b\u200c\u200d\u200e\u200f\u061c\u00ad\u2060\ufeff"
    ]


@settings(deadline=None)
@given(TEXTS)
def test_no_character_acts(text: str) -> None:
    """No control, escape, bidirectional, invisible or lone surrogate character is left; it can be encoded."""
    shown = visible(text)

    assert [] == acts(shown)
    assert shown.encode().decode() == shown


@settings(deadline=None)
@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S"), codec="utf-8")))
def test_harmless_text_is_left_alone(text: str) -> None:
    """Letters, digits, punctuation and symbols of any script stay as they are."""
    assert text == visible(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[0mb", "a\\u001b[0mb"),
        ("a\nb\tc", "a\\u000ab\\u0009c"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\ud800", "\\ud800"),
        ("café 日本 😀", "café 日本 😀"),
    ],
)
def test_character_is_spelled_out(text: str, expected: str) -> None:
    """It can still be read what was there."""
    assert expected == visible(text)


@settings(deadline=None)
@given(TEXTS)
def test_no_markup_is_read(text: str) -> None:
    """Rich neither colours nor replaces anything: brackets, links and emoji names are text."""
    out = io.StringIO()
    Console(file=out, force_terminal=True, color_system="truecolor", width=10_000, soft_wrap=True).print(plain(text))

    assert visible(text) + "\n" == out.getvalue()


@settings(deadline=None)
@given(st.dictionaries(TEXTS.map(lambda text: text.replace("\ud800", "")), TEXTS.map(lambda text: text[:20])))
def test_json_on_a_terminal_is_the_same_json(document: dict[str, str]) -> None:
    """One line, safe, and equal when it is read again."""
    document = {key: value.replace("\ud800", "") for key, value in document.items()}
    line = json_line(json.dumps(document, ensure_ascii=False).encode(), Terminal())

    assert b"\n" == line[-1:]
    assert [] == acts(line[:-1].decode())
    assert document == json.loads(line)


def test_json_in_a_file_is_left_alone() -> None:
    """A file or a pipe gets the bytes as they are."""
    assert b'{"a":"\xe2\x80\xae"}\n' == json_line(b'{"a":"\xe2\x80\xae"}', cast(IO[bytes], io.BytesIO()))


@settings(deadline=None)
@given(text=TEXTS)
def test_message_is_one_safe_line(text: str) -> None:
    """A message may quote an event or a file's name: it stays one line."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", out)
        say(text)

    assert [] == acts(out.getvalue()[:-1])
    assert "\n" == out.getvalue()[-1]

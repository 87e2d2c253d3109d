"""Rules: one TOML file each, checked to the last key before anything is judged."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from app.core.duration import parse_duration
from app.core.kql import Fields, Query, QueryError, compile_query, parse
from app.errors import RuleError

Scope = Literal["host", "fleet"]
"""Whose history a term belongs to: with `host.id` among its fields one host's, else the whole fleet's."""

MAX_FILE_BYTES: Final = 65_536
"""A rule file may not be larger: its text goes into every alert, whose size is bounded."""

_Text = Annotated[str, Meta(min_length=1, pattern=r"\S")]  # more than blanks
_FieldName = Annotated[str, Meta(pattern=r"^[A-Za-z_@][A-Za-z0-9_\-]*(\.[A-Za-z0-9_\-]+)*\Z")]


class Subtechnique(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ATT&CK sub-technique."""

    id: _Text
    name: _Text
    reference: _Text


class Technique(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ATT&CK technique."""

    id: _Text
    name: _Text
    reference: _Text
    subtechnique: tuple[Subtechnique, ...] = ()


class Tactic(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ATT&CK tactic."""

    id: _Text
    name: _Text
    reference: _Text


class Threat(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an alert means in ATT&CK's words, in the shape of ECS's `threat` of a detection rule."""

    framework: Literal["MITRE ATT&CK"]
    tactic: Tactic
    technique: tuple[Technique, ...] = ()


class NewTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is remembered, and for how long."""

    fields: Annotated[tuple[_FieldName, ...], Meta(min_length=1, max_length=3)]
    history_window: str


class RuleFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule file as it is written; schemas/rule.schema.json describes the same."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}\Z")]
    name: _Text
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    severity: Literal["low", "medium", "high", "critical"]
    risk_score: Annotated[int, Meta(ge=0, le=100)]
    description: _Text
    query: _Text
    new_terms: NewTerms
    references: tuple[_Text, ...] = ()
    tags: tuple[_Text, ...] = ()
    false_positives: tuple[_Text, ...] = ()
    triage: tuple[_Text, ...] = ()
    response: tuple[_Text, ...] = ()
    threat: tuple[Threat, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule ready to judge.

    Attributes:
        spec: The file's content.
        query: Its query, parsed.
        matches: The query as a predicate over an event.
        history_window: Nanoseconds.
        digest: SHA-256 of the file's bytes, in hex.
        file: Where it was read, for messages.
    """

    spec: RuleFile
    query: Query
    matches: Callable[[Fields], bool]
    history_window: int
    digest: str
    file: str

    @property
    def id(self) -> str:
        """The rule's id."""
        return self.spec.id

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that make its term."""
        return self.spec.new_terms.fields

    @property
    def scope(self) -> Scope:
        """Whose history its terms belong to."""
        return "host" if "host.id" in self.fields else "fleet"


def parse_rule(content: bytes, file: str) -> Rule:
    """Read a rule file.

    Args:
        content: The file's bytes.
        file: Its name, for messages.

    Raises:
        RuleError: It can't be used; says the line and the reason.
    """
    if len(content) > MAX_FILE_BYTES:
        raise RuleError(file, 1, f"larger than {MAX_FILE_BYTES} bytes")
    try:
        text = content.decode("utf-8")
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise RuleError(file, content[: error.start].count(b"\n") + 1, "not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise RuleError(file, _toml_line(str(error), text), f"not TOML: {error}") from None
    try:
        spec = msgspec.convert(table, RuleFile)
    except msgspec.ValidationError as error:
        message = str(error)
        raise RuleError(file, _invalid_line(message, text), message) from None
    if len(set(spec.new_terms.fields)) != len(spec.new_terms.fields):
        raise RuleError(file, _key_line(text, "new_terms.fields"), "new_terms.fields names a field twice")
    try:
        history_window = parse_duration(spec.new_terms.history_window)
    except ValueError as error:
        raise RuleError(file, _key_line(text, "new_terms.history_window"), str(error)) from None
    if not history_window:
        raise RuleError(file, _key_line(text, "new_terms.history_window"), "history_window must not be zero")
    try:
        query = parse(spec.query)
    except QueryError as error:
        line = _key_line(text, "query") + error.line - 1 + _starts_on_next_line(text, "query")
        raise RuleError(file, line, f"query, column {error.column}: {error.reason}") from None
    digest = hashlib.sha256(content).hexdigest()
    return Rule(spec, query, compile_query(query), history_window, digest, file)


def check_rules(rules: Sequence[Rule]) -> None:
    """Hold what only several rules together can break.

    Raises:
        RuleError: Two rules have one id.
    """
    seen: dict[str, str] = {}
    for rule in rules:
        if rule.id in seen:
            raise RuleError(rule.file, 1, f"the rule id {rule.id!r} is taken by {seen[rule.id]}")
        seen[rule.id] = rule.file


def longest_window(rules: Iterable[Rule]) -> int:
    """The longest history window, in nanoseconds; 0 without rules."""
    return max((rule.history_window for rule in rules), default=0)


def _toml_line(message: str, text: str) -> int:
    found = re.search(r"line (\d+)", message)
    return int(found[1]) if found else text.count("\n") + 1


def _invalid_line(message: str, text: str) -> int:
    """The line a validation message speaks of: of the key at its path, or of the section that lacks one."""
    place = re.search(r"at `\$\.?([^`]*)`", message)
    path = place[1] if place else ""
    unknown = re.search(r"unknown field `([^`]*)`", message)
    if unknown:
        path = f"{path}.{unknown[1]}".lstrip(".")
    return _key_line(text, path)


def _key_line(text: str, path: str) -> int:
    """The line of the key at a path such as `threat[0].technique[1].id`, of its section's header, or 1."""
    header, section, open_string = 1, "", ""
    tables = _ArrayTables()
    for number, line in enumerate(text.splitlines(), 1):
        if open_string:
            open_string = "" if open_string in line else open_string
            continue
        if found := re.match(r"\s*(\[\[?)\s*([\w.\- ]+?)\s*\]", line):
            section = tables.enter(found[2], is_array=found[1] == "[[")
            if section == path or path.startswith(f"{section}."):
                header = number
        elif found := re.match(r"\s*[\"']?([\w\-]+)[\"']?\s*[=.]", line):
            key = f"{section}.{found[1]}".lstrip(".")
            if path == key or path.startswith((f"{key}[", f"{key}.")):
                return number
        for quote in ('"""', "'''"):
            if line.count(quote) == 1:
                open_string = quote
    return header


class _ArrayTables:
    """Which element of each array of tables a line of a TOML file belongs to."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    def enter(self, name: str, *, is_array: bool) -> str:
        """The path of the section whose header was met, indices included."""
        if is_array:
            self._index[name] = self._index.get(name, -1) + 1
            self._index = {other: n for other, n in self._index.items() if not other.startswith(f"{name}.")}
        parts = name.split(".")
        prefixes = [".".join(parts[: n + 1]) for n in range(len(parts))]
        indices = [f"[{self._index[prefix]}]" if prefix in self._index else "" for prefix in prefixes]
        return ".".join(part + index for part, index in zip(parts, indices, strict=True))


def _starts_on_next_line(text: str, key: str) -> int:
    """1 where a multi-line string's text begins below its key (TOML drops that first newline), else 0."""
    return 1 if re.search(rf"^\s*{key}\s*=\s*(\"\"\"|''')[ \t]*\r?\n", text, re.MULTILINE) else 0

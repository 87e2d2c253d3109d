"""Records of our topics: their headers, written and read in one place. schemas/ describes the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast, get_args

from app.core.dead_letter import DeadLetter
from app.core.engine import Route
from app.core.event import JsonObject
from app.core.rule import Scope
from app.core.source_format import SOURCE_FORMATS, SourceFormat

OLDEST: Final = 1
"""The oldest format of the headers that is read."""

FORMAT: Final = 1
"""The format of the headers that is written. The next one is this one with headers added, which may be left out."""

READABLE: Final = range(OLDEST, FORMAT + 2)

MAX_DETAIL: Final = 1024
"""Bytes that a dead letter's detail may have; cut between characters."""

CUT_RECORD: Final = 65_536
"""Bytes that a dead letter keeps of a record too large to carry whole."""

Headers = list[tuple[str, bytes]]
ReadHeaders = list[tuple[str, bytes | None]]

_MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Where a source record stands, and its own time in milliseconds since 1970 (None: it has none)."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None

    @property
    def nanoseconds(self) -> int | None:
        """The record's own time in nanoseconds since 1970."""
        return None if self.timestamp is None else self.timestamp * _MILLISECOND

    def shown(self) -> JsonObject:
        """As it stands in an alert's `detector.source`."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class MatchHeaders:
    """What a record of the matches topic says of itself.

    Attributes:
        route: Where it leads.
        source: Where the source record stands.
        source_format: How its bytes, which are the source record's, carry the event.
    """

    route: Route
    source: SourcePosition
    source_format: SourceFormat = "ecs"


class NotAMatchError(ValueError):
    """A record of the matches topic lacks the headers of a format that is known here."""


@dataclass(frozen=True, slots=True)
class DeadLetterHeaders:
    """What a record of the dead-letters topic says of itself.

    Attributes:
        reason: Why it could not be judged; a newer version may have reasons that are not known here.
        detail: One sentence; may quote bytes of the event, so escape it before showing it.
        source: Where the source record stands.
        rule_id: The rule that could not be judged, None for the whole record.
        cut_from: Length and hex SHA-256 of the source record where only its beginning was kept; else None.
    """

    reason: str
    detail: str
    source: SourcePosition
    rule_id: str | None
    cut_from: tuple[int, str] | None


class NotADeadLetterError(ValueError):
    """A record of the dead-letters topic lacks the headers of a format that is known here."""


def match_headers(route: Route, source: SourcePosition, source_format: SourceFormat = "ecs") -> Headers:
    """The headers of a match; the route's key is the record's key, and its value the source record's bytes.

    The match itself says how it is to be read, so that a change of the setting concerns later records only. Of the
    ordinary format nothing is said: these are the headers of old.
    """
    headers = [
        ("eximwatch.format", str(FORMAT).encode()),
        ("eximwatch.scope", route.scope.encode()),
        *_position_headers(source),
    ]
    if source_format != "ecs":
        headers.append(("eximwatch.source.format", source_format.encode()))
    return headers


def read_match_headers(key: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> MatchHeaders:
    """Read a match's headers.

    Raises:
        NotAMatchError: Something is missing or not of a known format; says what.
    """
    found = {name: value for name, value in headers if value is not None}
    try:
        version = int(found["eximwatch.format"])
        scope = found["eximwatch.scope"].decode("ascii")
        source_format = found.get("eximwatch.source.format", b"ecs").decode("ascii")
        source = _read_position(found)
    except KeyError as error:
        raise NotAMatchError(f"the header {error.args[0]} is missing") from None
    except ValueError as error:
        raise NotAMatchError(f"a header is malformed: {error}") from None
    if version not in READABLE:
        raise NotAMatchError(_unknown_format(version))
    if scope not in get_args(Scope) or key is None:
        raise NotAMatchError(f"scope {scope!r} with {'a' if key else 'no'} key leads nowhere")
    if source_format not in SOURCE_FORMATS:
        raise NotAMatchError(f"the source format {source_format!r} is not known here")
    return MatchHeaders(Route(cast(Scope, scope), key), source, source_format)


def dead_letter_headers(letter: DeadLetter, source: SourcePosition) -> Headers:
    """The headers of a dead letter; its value is the source record's bytes as they were."""
    headers = [
        ("eximwatch.format", str(FORMAT).encode()),
        ("eximwatch.reason", letter.reason.encode()),
        ("eximwatch.detail", letter.detail.encode()[:MAX_DETAIL].decode("utf-8", "ignore").encode()),
        *_position_headers(source),
    ]
    if letter.rule_id is not None:
        headers.append(("eximwatch.rule", letter.rule_id.encode()))
    return headers


def cut_headers(size: int, sha256: str) -> Headers:
    """What is added where a dead letter's value had to be cut: the whole record's length and SHA-256."""
    return [("eximwatch.cut.length", str(size).encode()), ("eximwatch.cut.sha256", sha256.encode())]


def read_dead_letter_headers(headers: Iterable[tuple[str, bytes | None]]) -> DeadLetterHeaders:
    """Read a dead letter's headers.

    Raises:
        NotADeadLetterError: Something is missing or not of a known format; says what.
    """
    found = {name: value for name, value in headers if value is not None}
    try:
        version = int(found["eximwatch.format"])
        rule_id, length = found.get("eximwatch.rule"), found.get("eximwatch.cut.length")
        read = DeadLetterHeaders(
            found["eximwatch.reason"].decode("ascii"),
            found["eximwatch.detail"].decode("utf-8", "replace"),
            _read_position(found),
            None if rule_id is None else rule_id.decode("ascii"),
            None if length is None else (int(length), found["eximwatch.cut.sha256"].decode("ascii")),
        )
    except KeyError as error:
        raise NotADeadLetterError(f"the header {error.args[0]} is missing") from None
    except ValueError as error:
        raise NotADeadLetterError(f"a header is malformed: {error}") from None
    if version not in READABLE:
        raise NotADeadLetterError(_unknown_format(version))
    return read


def _unknown_format(version: int) -> str:
    return f"format {version} is not known here, only {READABLE[0]} to {READABLE[-1]}"


def _read_position(found: Mapping[str, bytes]) -> SourcePosition:
    timestamp = found.get("eximwatch.source.timestamp")
    return SourcePosition(
        found["eximwatch.source.topic"].decode("ascii"),
        int(found["eximwatch.source.partition"]),
        int(found["eximwatch.source.offset"]),
        None if timestamp is None else int(timestamp),
    )


def _position_headers(source: SourcePosition) -> Headers:
    headers = [
        ("eximwatch.source.topic", source.topic.encode()),
        ("eximwatch.source.partition", str(source.partition).encode()),
        ("eximwatch.source.offset", str(source.offset).encode()),
    ]
    if source.timestamp is not None:
        headers.append(("eximwatch.source.timestamp", str(source.timestamp).encode()))
    return headers

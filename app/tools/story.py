"""The demo's story: a recorded exim4 on three hosts, first at ordinary work, then exploited, among other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, NamedTuple

import msgspec

from app.core.clock import format_time, parse_time
from app.core.duration import SECOND
from app.core.event import JsonObject
from app.tools.generator import Host, ordinary_event

_PACKAGED: Final = Path(__file__).parent.parent / "recordings"
_CHECKOUT: Final = Path(__file__).parent.parent.parent / "tests" / "recordings"

_TIMES: Final = frozenset({"@timestamp", "created", "start", "end"})
_ORDINARY_BEFORE: Final = 24 * 3600 * SECOND
_ORDINARY_SPREAD: Final = 3.0
_ATTACK_STAGGER: Final = 2.5
_NOISE_PER_SECOND: Final = 100
_NOISE_HOSTS: Final = 40


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the recording: lines `first` to `last`, counted from 1."""

    name: str
    kind: Literal["ordinary", "attack"]
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Recording:
    """The recording: its events in order, its phases, and the alerts that were worked out by hand from the trace.

    `first_seen` holds, by line, what raises an alert by a rule that knows nothing yet: (rule id, process name).
    """

    events: tuple[JsonObject, ...]
    phases: tuple[Phase, ...]
    first_seen: dict[int, list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class MailHost:
    """A host of the story, and whether the attack reaches it."""

    name: str
    attacked: bool

    @property
    def id(self) -> str:
        """Its machine id: 32 hex digits."""
        return Random(self.name).randbytes(16).hex()


MAIL_HOSTS: Final = (
    MailHost("mail01.example.test", attacked=True),
    MailHost("mail02.example.test", attacked=True),
    MailHost("mail03.example.test", attacked=False),
)


class Sighting(NamedTuple):
    """The first time that a rule sees a program on a host: host name, rule id, process name."""

    host: str
    rule: str
    process: str


@dataclass(frozen=True, slots=True)
class Cue:
    """A record to send `at` seconds after the story's beginning, by the key of its host."""

    at: float
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Story:
    """What is played, when the attack begins, which alerts must come, and which first sightings must stay silent."""

    cues: tuple[Cue, ...]
    attack_at: int
    expected: frozenset[Sighting]
    learned: frozenset[Sighting]


def load_recording() -> Recording:
    """Read the recording that is shipped, or the checkout's."""
    place = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    events = tuple(map(msgspec.json.decode, (place / "events.ndjson").read_bytes().splitlines()))
    phases = msgspec.json.decode((place / "phases.json").read_bytes(), type=tuple[Phase, ...])
    expected: Any = msgspec.json.decode((place / "expected-alerts.json").read_bytes())
    first_seen: dict[int, list[tuple[str, str]]] = {}
    for alert in expected["alerts"]:
        first_seen.setdefault(alert["line"], []).append((alert["rule"], alert["process_name"]))
    return Recording(events, phases, first_seen)


def tell(
    recording: Recording,
    begin: int,
    random: Random,
    hosts: Sequence[MailHost] = MAIL_HOSTS,
    *,
    noise: int = _NOISE_PER_SECOND,
    ordinary_before: int = _ORDINARY_BEFORE,
) -> Story:
    """Lay the recording out on the hosts.

    The ordinary part is dated back and played quickly; the attack begins `attack_at` and keeps its pace.

    Args:
        recording: What was recorded.
        begin: When the story is played from, nanoseconds since 1970.
        random: For the events of other programs.
        hosts: Who is in it.
        noise: Events of other programs a second.
        ordinary_before: How far the ordinary part is dated back, nanoseconds.
    """
    ordinary, attack = (
        [line for phase in recording.phases if phase.kind == kind for line in range(phase.first, phase.last + 1)]
        for kind in ("ordinary", "attack")
    )
    starts = [_time(recording.events[lines[0] - 1]) for lines in (ordinary, attack)]
    attack_delay = _ORDINARY_SPREAD + 1.0
    cues: list[Cue] = []
    for number, host in enumerate(hosts):
        for place, line in enumerate(ordinary):
            event = recording.events[line - 1]
            at = _ORDINARY_SPREAD * place / len(ordinary)
            cues.append(_cue(event, host, at, begin - ordinary_before - starts[0]))
        delay = attack_delay + number * _ATTACK_STAGGER
        for line in attack if host.attacked else ():
            event = recording.events[line - 1]
            at = delay + (_time(event) - starts[1]) / SECOND
            cues.append(_cue(event, host, at, begin + round(delay * SECOND) - starts[1]))
    cues += _noise(random, begin, max(cue.at for cue in cues), noise)
    return Story(
        cues=tuple(sorted(cues, key=lambda cue: cue.at)),
        attack_at=begin + round(attack_delay * SECOND),
        expected=_seen_first(recording, attack, [host for host in hosts if host.attacked]),
        learned=_seen_first(recording, ordinary, hosts),
    )


def _seen_first(recording: Recording, lines: Sequence[int], hosts: Sequence[MailHost]) -> frozenset[Sighting]:
    seen = [one for line in lines for one in recording.first_seen.get(line, ())]
    return frozenset(Sighting(host.name, *one) for host in hosts for one in seen)


def _cue(event: JsonObject, host: MailHost, at: float, shift: int) -> Cue:
    document = _shifted(event, shift)
    document["host"] = {**document["host"], "id": host.id, "name": host.name, "hostname": host.name}
    return Cue(at, host.id.encode(), msgspec.json.encode(document))


def _noise(random: Random, begin: int, seconds: float, rate: int) -> Iterator[Cue]:
    for place in range(int(seconds * rate)):
        at = place / rate
        host = Host(random.randrange(_NOISE_HOSTS))
        yield Cue(at, host.id.encode(), ordinary_event(random, host, begin + round(at * SECOND)))


def _time(event: JsonObject) -> int:
    time = parse_time(event["@timestamp"])
    if time is None:
        raise ValueError("an event of the recording has no time")
    return time


def _shifted(value: Any, shift: int, key: str = "") -> Any:  # noqa: ANN401 — any JSON value
    """A copy with every time moved by so many nanoseconds."""
    if isinstance(value, dict):
        return {name: _shifted(inner, shift, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shifted(inner, shift) for inner in value]
    if key in _TIMES and isinstance(value, str):
        time = parse_time(value)
        return value if time is None else format_time(time + shift)
    return value

"""What the shipped rules cost on a mail host where nothing happens: alerts on the first day, and on the same day again.

python -m tests.recordings.noise             print it
python -m tests.recordings.noise --write     put it into the README
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from app.core.alert import Maker
from app.core.clock import format_time, parse_time
from app.core.duration import SECOND
from app.core.engine import Engine, Standards
from app.core.rule import Rule, longest_window, parse_rule
from app.runtime.settings import PACKAGED_RULES
from app.tools.replay import replay_files
from tests.readme_part import README, written
from tests.recordings.ordinary_days import Day, ordinary_days

BEGIN: Final = "<!-- noise: begin -->"
END: Final = "<!-- noise: end -->"
RULES: Final = ("exim4_child", "exim4_descendant", "exim4_unusual_path")
CHILD, DESCENDANT, PATH = RULES

_DAY: Final = 24 * 3600 * SECOND
_NEXT_YEAR: Final = 1_798_761_600 * SECOND  # 2027-01-01, later than all that is played
_FEW: Final = "grep or readlink or sort or stat"
_MORE: Final = (
    f"{_FEW} or cmake or cppcheck or gcc or install or plymouth or run-parts or sshd or start-stop-daemon or systemctl"
    " or update-exim4.conf"
)
_HELPER: Final = "process.parent.executable:/usr/sbin/update-exim4.conf"
_STARTERS: Final = "process.parent.name:(run-parts or start-stop-daemon or systemctl or sshd)"


class Change(NamedTuple):
    """Another form of a rule: what is said of it, and the text of the query that is replaced, and by what."""

    said: str
    rule: str
    old: str
    new: str


CHANGES: Final = (
    Change("without: exim4 and its init script", DESCENDANT, "/usr/sbin/exim4 or /etc/init.d/exim4", "/ or /"),
    Change(f"without: {_FEW.replace(' or', ',')}", DESCENDANT, f"process.name:({_FEW})", "process.name:/"),
    Change("without: what update-exim4.conf calls", DESCENDANT, _HELPER, "process.parent.executable:/"),
    Change("with the other names of the child rule's list", DESCENDANT, _FEW, _MORE),
    Change(
        "with all children of run-parts, start-stop-daemon, systemctl, sshd",
        DESCENDANT,
        _HELPER,
        f"{_STARTERS} or {_HELPER}",
    ),
    Change(
        "with /usr/local and /opt as system directories", PATH, "/usr/bin/*", "/usr/bin/* or /usr/local/* or /opt/*"
    ),
)


@dataclass(frozen=True, slots=True)
class Noise:
    """What came of days: executions of exim4's family, and by rule matches and alerts, first and when played again."""

    family: int
    matches: Counter[str]
    first: Counter[str]
    again: Counter[str]


def measure(days: Iterable[Day], rules: Sequence[Rule]) -> Noise:
    """Play days, each on a host of its own, and the same 24 hours later."""
    engine = Engine(rules, Standards(Maker("0", 1_000_000), 2 * longest_window(rules), 300 * SECOND))
    records = [
        [
            msgspec.json.encode(_moved(document, f"host-{number}", later))
            for number, day in enumerate(days)
            for document in day.events
        ]
        for later in (0, _DAY)
    ]
    found = [engine.examine(record, None) for record in records[0]]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("first", "again")]
        for file, values in zip(files, records, strict=True):
            file.write_bytes(b"".join(value + b"\n" for value in values))
        alerts, dead_letters, _ = replay_files(engine, list(map(str, files)), _NEXT_YEAR)
        if dead_letters:
            raise ValueError(f"{len(dead_letters)} events could not be judged")
        counts = {str(file): Counter[str]() for file in files}
        for alert in map(msgspec.json.decode, alerts):
            counts[alert["detector"]["source"]["file"]][alert["kibana.alert.rule.rule_id"]] += 1
    return Noise(
        family=sum(one.is_member for one in found),
        matches=Counter(match.rule.id for one in found for match in one.matches),
        first=counts[str(files[0])],
        again=counts[str(files[1])],
    )


def render() -> str:
    """Both tables: each day by the shipped rules, and other forms of the rules by all days."""
    days = ordinary_days()
    shipped = _shipped()
    rows = [(day.title, measure([day], list(shipped.values()))) for day in days]
    lines = [
        "| an ordinary day | executions of exim4's family | matches: child, descendant, path | alerts on the first day "
        "| alerts when it comes again |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {title} | {one.family} | {_by_rule(one.matches)} | {_by_rule(one.first)} | {_by_rule(one.again)} |"
            for title, one in rows
        ),
        "",
        "| the same days, with a rule of another form | matches | alerts on the first day |",
        "| --- | --- | --- |",
    ]
    for change in CHANGES:
        before, after = (measure(days, [rule]) for rule in (shipped[change.rule], changed(change)))
        matches, first = (
            _from_to(one[change.rule], other[change.rule])
            for one, other in ((before.matches, after.matches), (before.first, after.first))
        )
        lines.append(f"| {change.rule}, {change.said} | {matches} | {first} |")
    return "\n".join(lines)


def changed(change: Change) -> Rule:
    """A shipped rule in another form.

    Raises:
        ValueError: Its query no longer has the text to replace.
    """
    before = _text(change.rule)
    query = before.index('query = """')
    if before.count(change.old, query) != 1:
        raise ValueError(f"{change.rule}: not once in the query: {change.old}")
    after = before[:query] + before[query:].replace(change.old, change.new)
    return parse_rule(after.encode(), f"{change.rule}.toml")


def _shipped() -> dict[str, Rule]:
    return {name: parse_rule(_text(name).encode(), f"{name}.toml") for name in RULES}


def _text(rule: str) -> str:
    return (PACKAGED_RULES / f"{rule}.toml").read_text(encoding="utf-8")


def _by_rule(counts: Counter[str]) -> str:
    return ", ".join(str(counts[rule]) for rule in RULES)


def _from_to(before: int, after: int) -> str:
    return f"{before} → {after}" if before != after else f"{before}, no other"


def _moved(document: dict[str, Any], host: str, later: int) -> dict[str, Any]:
    at = parse_time(document["@timestamp"])
    if at is None:
        raise ValueError(f"an event has no time: {document['@timestamp']}")
    return {**document, "@timestamp": format_time(at + later), "host": {**document["host"], "id": host}}


def main(arguments: Sequence[str]) -> int:
    """Print the tables, or with `--write` put them into the README."""
    text = render()
    if "--write" in arguments:
        README.write_text(written(README.read_text(encoding="utf-8"), BEGIN, END, text), encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

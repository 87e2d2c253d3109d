"""What came of runs, as it stands in results.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tests.broker.jars import REPOSITORY

FOLDER: Final = REPOSITORY / "build" / "chaos"
FILE: Final = FOLDER / "results.json"


class Outcome(msgspec.Struct):
    """One run.

    Attributes:
        kind: Of its faults.
        seed: With the kind and the number of faults it makes the same run again.
        asked: How many faults it was to have.
        injected: How many there were.
        events: Records that had to be judged.
        expected: Alerts that had to come.
        seen: Alerts that came, repeated ones too.
        lost: Ids of alerts that did not come, and dead letters.
        unknown: Alerts and dead letters that nobody expects.
        duplicates: Alerts whose id is that of another one.
        overtaken: Commits past something that was not finished.
        catch_up_s: From each fault until all that was sent by then was judged, where the next fault waited for it.
        exits: How often each exit code was seen.
        wrong: Ends of workers that must not be, by code or time; terms of which the table remembers what is not so.
        remarks: What else is to be told.
        error: What ended the run before its time.
        seconds: The whole run.
    """

    kind: str
    seed: str
    asked: int
    injected: int = 0
    events: int = 0
    expected: int = 0
    seen: int = 0
    lost: list[str] = msgspec.field(default_factory=list)
    unknown: list[str] = msgspec.field(default_factory=list)
    duplicates: int = 0
    overtaken: list[str] = msgspec.field(default_factory=list)
    catch_up_s: list[float] = msgspec.field(default_factory=list)
    exits: dict[str, int] = msgspec.field(default_factory=dict)
    wrong: list[str] = msgspec.field(default_factory=list)
    remarks: list[str] = msgspec.field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether something is there that must not be."""
        return bool(self.error or self.lost or self.unknown or self.overtaken or self.wrong)


class Results(msgspec.Struct):
    """A whole `make chaos`."""

    machine: dict[str, str]
    options: dict[str, str]
    seconds: float
    outcomes: list[Outcome]

    def save(self) -> None:
        """Write the file."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        FILE.write_bytes(msgspec.json.format(msgspec.json.encode(self)))

    @classmethod
    def load(cls) -> Results:
        """Read the file."""
        return msgspec.json.decode(FILE.read_bytes(), type=cls)


_SHARE: Final = 0.9


def shortfalls(outcomes: Sequence[Outcome], least: int = 0) -> list[str]:
    """Where too few faults were injected to say anything, one sentence each.

    Args:
        outcomes: All runs.
        least: How many there must be over all kinds.
    """
    found = []
    for kind in dict.fromkeys(one.kind for one in outcomes):
        asked = sum(one.asked for one in outcomes if one.kind == kind)
        injected = sum(one.injected for one in outcomes if one.kind == kind)
        if injected < _SHARE * asked:
            found.append(f"{kind}: only {injected} of {asked} faults were injected")
    total = sum(one.injected for one in outcomes)
    if total < least:
        found.append(f"only {total} faults were injected, {least} are the least")
    return found

"""The lock file: what is installed, with the hashes of the files that may be, and who asked for it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
LOCK: Final = ROOT / "requirements.lock"
PROJECT: Final = "eximwatch"

_ENTRY: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)(?: ; (?P<marker>[^\\\n]+?))? \\\n"
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA: Final = re.compile(r"^ +#(?: via)? +([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of the lock.

    Attributes:
        name: Normalised.
        version: The only one that is installed.
        marker: Where it is installed; empty for everywhere.
        hashes: SHA-256 of each file that the registry has of this version; an install must be one of them.
        wanted_by: Names of packages that need it; `eximwatch` itself among them.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    wanted_by: frozenset[str]


def normalised(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(text: str) -> tuple[Locked, ...]:
    """All packages of a lock, by name.

    Raises:
        ValueError: An entry is no pin with hashes.
    """
    found = []
    for entry in re.split(r"\n(?=[^\s#])", text.strip()):
        pin = _ENTRY.match(entry)
        hashes = tuple(sorted(_HASH.findall(entry)))
        if pin is None or not hashes:
            raise ValueError(f"no version with hashes: {entry.splitlines()[0]}")
        wanted_by = frozenset(normalised(name) for name in _VIA.findall(entry) if name != "via")
        found.append(Locked(normalised(pin["name"]), pin["version"], pin["marker"] or "", hashes, wanted_by))
    return tuple(sorted(found, key=lambda one: one.name))


def locked() -> tuple[Locked, ...]:
    """What the project's own lock holds."""
    return parse(LOCK.read_text(encoding="utf-8"))


def runtime(packages: Iterable[Locked]) -> frozenset[str]:
    """Names of those that a running worker needs; the others only build the wheel."""
    packages = tuple(packages)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {normalised(re.split(r"[=\[ ;]", one)[0]) for one in declared}
    while more := {one.name for one in packages if one.wanted_by & names} - names:
        names |= more
    return frozenset(names)

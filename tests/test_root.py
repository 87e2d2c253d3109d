"""The repository's root holds what it may, and its pinned versions agree."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = [ROOT / "requirements.lock", ROOT / "tests" / "requirements.lock"]
ALLOWED = {
    "pyproject.toml",
    "README.md",
    "app",
    "tests",
    "deploy",
    "schemas",
    "Makefile",
    "CHANGELOG.md",
    "requirements.lock",
}

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)")


def pins(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name, normalised, and version of every line that pins one."""
    for line in lines:
        if found := _PIN.match(line):
            yield re.sub(r"[-_.]+", "-", found[1]).lower(), found[2]


def entries() -> set[str]:
    """The root's entries that belong to the repository: what runs and builds leave behind does not count."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return {path.name for path in ROOT.iterdir()}
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {name.split("/")[0] for name in listed.split("\0") if name}


def project() -> dict[str, Any]:
    """The project's own declaration."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_root_holds_only_what_it_may() -> None:
    """Six fixed entries, what tools insist on, and dot files."""
    assert set() == {name for name in entries() if not name.startswith(".")} - ALLOWED


def test_fixed_entries_are_there() -> None:
    """The six that make the project."""
    assert {"pyproject.toml", "README.md", "app", "tests", "deploy", "schemas"} <= {
        path.name for path in ROOT.iterdir()
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_lock_names_no_address(lock: Path) -> None:
    """No index, link or URL: who installs decides from where."""
    text = lock.read_text(encoding="utf-8")

    assert not re.findall(r"\w+://\S*|--(?:extra-)?index-url.*|--find-links.*|--trusted-host.*|^-i .*", text)
    assert not re.findall(r"^.* @ .*$", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_lock_pins_and_hashes_every_package(lock: Path) -> None:
    """Every entry is one version with at least one SHA-256."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8").strip())
    entries = [entry for entry in entries if not entry.startswith(("#", "-"))]

    assert entries
    for entry in entries:
        assert _PIN.match(entry), entry.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]


def test_pinned_versions_equal_those_of_the_lock() -> None:
    """pyproject.toml pins each of its dependencies, to the version that the lock installs."""
    declared = project()
    requirements = [
        *declared["project"]["dependencies"],
        *(one for extra in declared["project"].get("optional-dependencies", {}).values() for one in extra),
        *declared["build-system"]["requires"],
    ]
    locked = dict(pins(LOCKS[0].read_text(encoding="utf-8").splitlines()))

    pinned = list(pins(requirements))
    assert len(requirements) == len(pinned)
    assert {name: locked.get(name) for name, _ in pinned} == dict(pinned)


def test_test_tools_equal_those_of_their_lock() -> None:
    """What tests/requirements.in pins is what its lock installs, and no package has two versions."""
    wanted = dict(pins((ROOT / "tests" / "requirements.in").read_text(encoding="utf-8").splitlines()))
    main, tests = (dict(pins(lock.read_text(encoding="utf-8").splitlines())) for lock in LOCKS)

    assert wanted.items() <= tests.items()
    assert {name: main[name] for name in main.keys() & tests.keys()} == {
        name: tests[name] for name in main.keys() & tests.keys()
    }

"""A data directory belongs to one life of both changelogs on one cluster."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from app.runtime.data_dir import Installation
from app.runtime.database import tables_folder

if TYPE_CHECKING:
    from pathlib import Path

INSTALLATION: Final = Installation(
    prefix="mail", cluster_id="a-cluster", changelog_id="terms", lineage_changelog_id="processes"
)
_PROGRAM: Final = """
import os
import sys
from pathlib import Path
import msgspec
from app.errors import SettingsError
from app.runtime.data_dir import Installation, claim
try:
    claim(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Installation), None)
except SettingsError as error:
    sys.exit(str(error))
if sys.argv[3] == "hard":
    os._exit(6)
if sys.argv[3] == "wait":
    print(flush=True)
    sys.stdin.readline()
"""


def _command(path: Path, installation: Installation, end: str) -> list[str]:
    return [sys.executable, "-c", _PROGRAM, str(path), msgspec.json.encode(installation).decode(), end]


def _claimed(path: Path, installation: Installation = INSTALLATION, end: str = "in order") -> str:
    """What a process is told that claims the directory and ends; a claim is held until then."""
    command = _command(path, installation, end)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr.strip()


def test_directory_is_known_again(tmp_path: Path) -> None:
    """By the same installation."""
    assert ["", ""] == [_claimed(tmp_path / "data", INSTALLATION) for _ in range(2)]


@pytest.mark.parametrize("field", ["prefix", "cluster_id", "changelog_id", "lineage_changelog_id"])
def test_directory_of_something_else_is_refused(tmp_path: Path, field: str) -> None:
    """A topic that was created anew is something else too: its offsets say nothing of what the databases hold."""
    _claimed(tmp_path, INSTALLATION)
    told = _claimed(tmp_path, msgspec.structs.replace(INSTALLATION, **{field: "another"}))

    assert "belongs to mail on cluster a-cluster (changelogs terms and processes), this worker to " in told
    assert "another" in told
    assert "set another EXIMWATCH_DATA_DIR" in told


def test_tables_survive_every_end_and_a_move_after_an_end_in_order(tmp_path: Path) -> None:
    """A hard end leaves the directory as it is, and a copy after an ordinary one is as good as the original."""
    old, new = tmp_path / "old", tmp_path / "new"
    _claimed(old)
    _entry_in(old)
    for end in ("hard", "hard", "in order"):
        assert "" == _claimed(old, end=end)
        assert _entry_in(old).exists()
    shutil.copytree(old, new)

    assert "" == _claimed(new)
    assert ["installation.json", "lock", "v1"] == sorted(file.name for file in new.iterdir())


@pytest.mark.parametrize("end", ["hard", "wait"])
def test_tables_of_a_copy_in_mid_write_are_deleted(tmp_path: Path, end: str) -> None:
    """It is told once, whether the worker ran then or had been killed; the original keeps its tables."""
    old, new = tmp_path / "old", tmp_path / "new"
    _claimed(old)
    entry = _entry_in(old)
    holder = subprocess.Popen(_command(old, INSTALLATION, end), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    shutil.copytree(old, new)
    holder.communicate(b"")

    assert f"data_dir {new} is a copy that was made while its worker ran" in _claimed(new)
    assert not tables_folder(new).exists()
    assert "" == _claimed(new)
    assert ("", True) == (_claimed(old), entry.exists())


def _entry_in(data_dir: Path) -> Path:
    """A file of a table."""
    file = tables_folder(data_dir) / "new_terms-0.db" / "CURRENT"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file

"""A data directory belongs to one life of both changelogs on one cluster."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from app.runtime.data_dir import Installation

if TYPE_CHECKING:
    from pathlib import Path

INSTALLATION: Final = Installation(
    prefix="mail", cluster_id="a-cluster", changelog_id="terms", lineage_changelog_id="processes"
)
_PROGRAM: Final = """
import sys
from pathlib import Path
import msgspec
from app.errors import SettingsError
from app.runtime.data_dir import Installation, claim
try:
    claim(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Installation), None)
except SettingsError as error:
    sys.exit(str(error))
"""


def _claimed(path: Path, installation: Installation) -> str:
    """What a process is told that claims the directory and ends; a claim is held until then."""
    command = [sys.executable, "-c", _PROGRAM, str(path), msgspec.json.encode(installation).decode()]
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

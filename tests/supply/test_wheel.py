"""What the wheel ships."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.supply.lock import ROOT

_BESIDE = {"events.ndjson", "expected-alerts.json", "phases.json"}
"""Of the recording, for the demo."""


def test_wheel_holds_the_program_and_the_recording_and_nothing_else(tmp_path: Path) -> None:
    """No test, no sample of a deployment, no setting, no file that lies about."""
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *command], check=True)
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    files = {path.relative_to(ROOT) for path in (ROOT / "app").rglob("*") if path.is_file()}
    program = {str(path) for path in files if "__pycache__" not in path.parts}

    assert program | {f"app/recordings/{name}" for name in _BESIDE} == names
    assert {".py", ".toml", ".md", ".lark"} >= {Path(name).suffix for name in program}

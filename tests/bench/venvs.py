"""Virtual environments of the bench's own, for peers that the product does not depend on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.bench.results import FOLDER

_REQUIREMENTS: Final = Path(__file__).with_name("requirements")
_DEADLINE_S: Final = 600


class InstallError(Exception):
    """A peer can't be had here; the message has pip's last line."""


def python(name: str) -> str:
    """The Python of a peer's environment, made from `requirements/NAME.txt` if it is not there or of another one.

    Raises:
        InstallError: It can't be made.
    """
    folder = FOLDER / "venv" / name
    wanted = _REQUIREMENTS / f"{name}.txt"
    installed = folder / "requirements.txt"
    interpreter = folder / "bin" / "python"
    if installed.is_file() and installed.read_bytes() == wanted.read_bytes():
        return str(interpreter)
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    # Wheels only: building one would need compilers that few have.
    pip = [str(interpreter), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, "--only-binary=:all:", "-r", str(wanted)])
    shutil.copyfile(wanted, installed)
    return str(interpreter)


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines() or ["no word"]
        raise InstallError(f"not to be had: {lines[-1][-300:]}")

"""What is checked of the machine before a worker starts."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from app.errors import VersionsError
from app.runtime.start_checks import PINNED, SPACE, require_versions, space_warning

ROOT = Path(__file__).parents[2]


def test_pinned_versions_are_those_of_the_project() -> None:
    """What is refused at the start is what an installation asks for, and what the lock file installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = (ROOT / "requirements.lock").read_text()
    for name, version in PINNED.items():
        assert f"{name}=={version}" in project["dependencies"]
        assert f"\n{name}=={version}" in f"\n{locked}"


def test_installed_versions_are_the_pinned_ones() -> None:
    """Those that the tests run with."""
    require_versions()


def test_versions_that_differ_are_refused_by_name() -> None:
    """All of them in one line, with what installs the right ones."""
    installed = {**PINNED, "aiokafka": "0.15.0"}
    del installed["rocksdict"]
    with pytest.raises(VersionsError) as caught:
        require_versions(installed.get)

    assert (
        f"installed versions differ: aiokafka 0.15.0 (needs {PINNED['aiokafka']}), rocksdict missing (needs "
        f"{PINNED['rocksdict']}); install from the lock: pip install --require-hashes --no-deps -r requirements.lock"
    ) == str(caught.value)
    assert 2 == caught.value.exit_code


@pytest.mark.parametrize(
    ("free", "said"), [(SPACE, None), (SPACE - 1, "1023 MiB free"), (0, "0 MiB free"), (10 * SPACE, None)]
)
def test_little_room_is_warned_of(free: int, said: str | None) -> None:
    """Under a gibibyte, with the directory and what is left."""
    warning = space_warning(Path("/var/lib/mail"), free)

    assert (said is None) == (warning is None)
    assert warning is None or (said or "") in warning
    assert warning is None or warning.startswith("data_dir /var/lib/mail has ")

"""The lock as the bill of materials reads it."""

from __future__ import annotations

import pytest

from tests.supply.lock import PROJECT, locked, parse, runtime

_DIGEST = "a" * 64


def test_entry_is_read_with_marker_hashes_and_who_wants_it() -> None:
    """All forms that the lock has."""
    (one,) = parse(
        f"Some_Name==1.2 ; sys_platform == 'win32' \\\n    --hash=sha256:{_DIGEST}\n    # via\n    #   a.b\n"
    )

    assert ("some-name", "1.2", "sys_platform == 'win32'") == (one.name, one.version, one.marker)
    assert ((_DIGEST,), frozenset({"a-b"})) == (one.hashes, one.wanted_by)


@pytest.mark.parametrize("text", ["some==1.2\n    # via x", "some>=1.2 \\\n", "some @ file.whl \\\n"])
def test_entry_without_version_or_hash_is_refused(text: str) -> None:
    """Nothing that pip would install unchecked passes."""
    with pytest.raises(ValueError, match="no version with hashes"):
        parse(text)


def test_everybody_in_the_lock_is_wanted_by_somebody_in_it() -> None:
    """A package that nobody needs, or one that is needed and missing, is an error of the lock."""
    packages = locked()
    names = {one.name for one in packages}

    assert len(names) == len(packages)
    assert all(one.wanted_by for one in packages)
    assert {PROJECT} | names >= {name for one in packages for name in one.wanted_by}


def test_the_workers_packages_are_told_from_the_builds() -> None:
    """Only what builds the wheel is outside of what the worker needs."""
    packages = locked()

    assert {"hatchling", "editables"} <= {one.name for one in packages} - runtime(packages)
    assert {"aiokafka", "aiohttp", "rocksdict"} <= runtime(packages)

"""Every dependency has a licence that is allowed, and the list of them is that of what is installed."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import distribution

import pytest
from packaging.licenses import canonicalize_license_expression

from tests.supply.bundled import BUNDLED
from tests.supply.claims import claim, crates, installed, native_files
from tests.supply.licences import FILE, WITH_CRATES, part_of, row, table, written_licences
from tests.supply.lock import Locked, locked, runtime
from tests.supply.spdx import ALLOWED, is_allowed

_TEXT = FILE.read_text(encoding="utf-8")
_PACKAGES = locked()
_INSTALLED = [one for one in _PACKAGES if installed(one)]


def _name(package: Locked) -> str:
    return package.name


def test_list_holds_the_lock() -> None:
    """Each package once, in its locked version."""
    lines = part_of(_TEXT, "packages").splitlines()[2:]

    assert [(one.name, one.version) for one in _PACKAGES] == [
        (name, version) for name, version in (line.strip("| ").split(" | ")[:2] for line in lines)
    ]


@pytest.mark.parametrize("package", _INSTALLED, ids=_name)
def test_line_says_what_the_installed_metadata_say(package: Locked) -> None:
    """After a change of the lock: `python -m tests.supply.licences --write`."""
    assert row(package, is_running=package.name in runtime(_PACKAGES)) in part_of(_TEXT, "packages").splitlines()


def test_each_packages_licence_is_allowed() -> None:
    """A licence that is not in the list of allowed ones, with what follows, does not come in."""
    assert {} == {name: said for name, said in written_licences().items() if not is_allowed(said)}
    for said in written_licences().values():
        assert said == canonicalize_license_expression(said)


def test_what_wheels_bundle_is_allowed_and_named() -> None:
    """The libraries inside wheels, as they are declared, stand in the document and the licences fit."""
    assert {} == {one.name: one.licence for one in BUNDLED if not is_allowed(one.licence)}
    assert {one.package for one in BUNDLED} <= {one.name for one in _PACKAGES}
    assert table("bundled") == part_of(_TEXT, "bundled")
    assert table("allowed") == part_of(_TEXT, "allowed")


@pytest.mark.parametrize("name", WITH_CRATES)
def test_rust_crates_are_allowed(name: str) -> None:
    """Each crate that a wheel names as compiled into it."""
    found = crates(name)

    assert found is not None
    assert [] == [licence for licence, _ in found.licences if not is_allowed(licence)]


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64" or sys.platform != "linux",
    reason="the table is of the wheels for CPython 3.11 on x86-64 Linux",
)
def test_rust_crates_are_those_in_the_document() -> None:
    """Their numbers by licence."""
    assert table("crates") == part_of(_TEXT, "crates")


def test_no_wheel_brings_a_list_of_crates_that_is_not_looked_at() -> None:
    """One that begins to must be read too."""
    assert set(WITH_CRATES) == {one.name for one in _INSTALLED if crates(one.name)}


def test_bundled_shared_libraries_are_declared() -> None:
    """A library beside a wheel's modules, `lib….so`, belongs to a package whose contents are declared."""
    carrying = {
        one.name for one in _INSTALLED if any(file.startswith("lib") for file in native_files(distribution(one.name)))
    }

    assert carrying <= {one.package for one in BUNDLED}


def test_versions_that_libraries_tell_are_those_declared() -> None:
    """Where a bundled library can be asked, a new wheel's version shows here."""
    import confluent_kafka
    from uvloop import loop

    declared = {(one.package, one.name): one.version for one in BUNDLED}
    libuv = vars(loop)["libuv_get_version"]()

    assert confluent_kafka.libversion()[0] == declared["confluent-kafka", "librdkafka"]
    assert f"{libuv >> 16}.{libuv >> 8 & 255}.{libuv & 255}" == declared["uvloop", "libuv"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("AGPL-3.0-or-later AND MIT", False),
        ("GPL-2.0-only OR Apache-2.0", True),
        ("MPL-2.0 AND (Apache-2.0 OR GPL-2.0-only)", True),
        ("(MIT OR Apache-2.0) AND LGPL-2.1-only", False),
        ("MIT OR GPL-2.0-only AND GPL-3.0-only", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
    ],
)
def test_expression_is_judged(expression: str, expected: bool) -> None:
    """`and` binds closer than `or`; an exception belongs to its licence."""
    assert expected is is_allowed(expression)


@pytest.mark.parametrize("expression", ["", "MIT OR", "(MIT", "MIT)", "MIT; Apache", "AND", "MIT Apache-2.0"])
def test_what_is_no_expression_is_refused(expression: str) -> None:
    """A claim that is not understood is never taken for allowed."""
    with pytest.raises(ValueError, match=r"SPDX|licence|parenthesis"):
        is_allowed(expression)


def test_copyleft_is_not_allowed() -> None:
    """Nobody adds these in passing."""
    assert not [name for name in ALLOWED if "GPL" in name]


def test_metadata_that_say_nothing_are_refused() -> None:
    """Pip tells its licence by an expression; a version that is not installed tells none."""
    assert None is claim(Locked("pip", "0", "", (), frozenset()))

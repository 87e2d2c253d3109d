"""The bill of materials that is stored is that of the lock, and valid."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.supply.lock import LOCK, PROJECT, locked
from tests.supply.sbom import FILE, text


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """The document in deploy."""
    document: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return document


def test_components_are_those_of_the_lock(stored: dict[str, Any]) -> None:
    """Names, versions and every hash, read from the lock itself line by line."""
    expected: dict[tuple[str, str], set[str]] = {}
    entry: set[str] = set()
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if pin := re.match(r"(\S+)==(\S+)", line):
            entry = expected.setdefault((pin[1], pin[2]), set())
        elif digest := re.search(r"--hash=sha256:(\w+)", line):
            entry.add(digest[1])

    assert expected == {
        (one["name"], one["version"]): {digest["content"] for digest in one["hashes"]} for one in stored["components"]
    }


def test_stored_document_is_what_the_lock_makes() -> None:
    """After a change of the lock: `make sbom`."""
    assert text() == FILE.read_text(encoding="utf-8"), "run `make sbom`"


def test_dependencies_are_whole(stored: dict[str, Any]) -> None:
    """Every package hangs below the program, by way of references that exist."""
    below = {one["ref"]: one["dependsOn"] for one in stored["dependencies"]}
    reached: set[str] = set()
    ahead = [stored["metadata"]["component"]["bom-ref"]]
    while ahead:
        if (ref := ahead.pop()) not in reached:
            reached.add(ref)
            ahead += below[ref]

    assert {one["bom-ref"] for one in stored["components"]} | {stored["metadata"]["component"]["bom-ref"]} == reached
    assert len(locked()) + 1 == len(below)
    assert PROJECT == stored["metadata"]["component"]["name"]


def test_nothing_in_it_changes_by_itself(stored: dict[str, Any]) -> None:
    """No time, no serial number, no address but that of its own schema."""
    assert not {"serialNumber", "timestamp"} & (stored.keys() | stored["metadata"].keys())
    assert ["http://cyclonedx.org/schema/bom-1.6.schema.json"] == re.findall(r"\w+://[^\"]+", json.dumps(stored))


def test_document_follows_cyclonedx_1_6() -> None:
    """By the strict schema that comes with CycloneDX's own library."""
    schema = pytest.importorskip("cyclonedx.schema", reason="cyclonedx-python-lib is missing")
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib is missing")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)

    assert None is validator.validate_str(FILE.read_text(encoding="utf-8"))
    assert None is not validator.validate_str(FILE.read_text(encoding="utf-8").replace('"SHA-256"', '"SHA-25"', 1))

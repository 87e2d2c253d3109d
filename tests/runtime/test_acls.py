"""The rights that commands need: what they are, what is missing of them, and the script that grants them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from app.runtime.acls import ROLES, Acl, Role, acls, commands, missing
from app.runtime.settings import Settings

SCRIPT: Final = Path(__file__).parents[2] / "deploy" / "acls.sh"
README: Final = SCRIPT.with_name("README.md")

_SETTINGS: Final = Settings.model_construct(topic_prefix="mail", source_topics=("events", "more.events"))
_VARIABLES: Final[dict[str, tuple[Role, ...]]] = {
    "WORKER": ("worker",),
    "OPERATOR": ("create", "check", "dead-letters", "explain"),
    "PRODUCER": ("produce",),
    "ANALYST": ("tail",),
}
"""Whose principal a variable of the script is."""


def _granted(**variables: str) -> list[str]:
    """What the script would run, as command lines."""
    kept = {"PATH": os.environ["PATH"], "KAFKA_ACLS": shutil.which("echo") or "echo"}
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT)], env={**kept, **variables}, capture_output=True, text=True, timeout=60, check=True
    )
    return [f"kafka-acls.sh {line}" for line in done.stdout.splitlines()]


def test_script_grants_what_is_declared() -> None:
    """Each principal gets the rights of its commands, no less and no more."""
    principals = {variable: f"User:{variable.lower()}" for variable in _VARIABLES}
    declared = [
        line
        for variable, roles in _VARIABLES.items()
        for role in roles
        for line in commands(acls(_SETTINGS, role), principals[variable])
    ]

    assert declared == _granted(PREFIX="mail", SOURCES="events more.events", **principals)
    assert set(ROLES) == {role for roles in _VARIABLES.values() for role in roles}


def test_script_passes_over_a_principal_that_is_nobody() -> None:
    """Those that have no name by default, too; names and source are those of the settings' defaults."""
    declared = commands(acls(Settings.model_construct()), "User:eximwatch")

    assert list(declared) == _granted(OPERATOR="")


def test_script_tells_the_tool_where_kafka_is() -> None:
    """And as whom to change rights."""
    lines = _granted(OPERATOR="", BOOTSTRAP="k1:9093", ADMIN="admin.properties")

    begin = (
        "kafka-acls.sh --add --allow-principal User:eximwatch "
        "--bootstrap-server k1:9093 --command-config admin.properties --operation "
    )
    assert 7 == len(lines)
    assert [] == [line for line in lines if not line.startswith(begin)]


def test_readme_lists_the_rights_of_the_worker() -> None:
    """Its table is the declaration's."""
    rows = [line.split(" | ") for line in README.read_text().splitlines() if line.startswith("| ")]
    listed = {row[0].removeprefix("| "): row[1] for row in rows if len(row) == 3}
    settings = Settings.model_construct(topic_prefix="<prefix>", source_topics=("source",))
    names = {
        acl: "each source topic" if acl.name == "source" else f"{acl.resource} `{acl.name}`" for acl in acls(settings)
    }

    assert {name: ", ".join(acl.operations) for acl, name in names.items()}.items() <= listed.items()


@pytest.mark.parametrize("role", ROLES)
def test_nobody_gets_more_than_the_worker_but_to_make_topics(role: Role) -> None:
    """Nothing may be deleted or altered, and nothing is asked for on the cluster."""
    operations = {operation for acl in acls(_SETTINGS, role) for operation in acl.operations}

    assert operations <= {"Read", "Write", "Describe", "DescribeConfigs"} | ({"Create"} if role == "create" else set())


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ({("topic", "a"): frozenset({"Read", "Write"}), ("group", "g"): frozenset({"Read"})}, []),
        ({("topic", "a"): frozenset({"Read"}), ("group", "g"): frozenset({"Read"})}, ["Write on topic a"]),
        (
            {("topic", "a"): frozenset(), ("group", "g"): frozenset({"Describe"})},
            ["Read, Write on topic a", "Read on group g"],
        ),
        ({("topic", "g"): frozenset()}, []),
    ],
)
def test_missing_rights_are_named(allowed: dict[tuple[str, str], frozenset[str]], expected: list[str]) -> None:
    """Of what Kafka told; a topic that does not exist is another's to tell."""
    needed = (Acl("topic", "a", ("Read", "Write")), Acl("group", "g", ("Read",)))

    assert expected == list(missing(needed, allowed))

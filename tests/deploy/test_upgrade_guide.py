"""UPGRADE.md: the program's command lines are understood as they stand, and what it quotes is what the program says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import click
import pytest

from app.core import state_format
from app.runtime import records
from app.runtime.settings import ENV_PREFIX, Settings, load_settings
from app.tools.cli import cli

ROOT: Final = Path(__file__).parent.parent.parent
GUIDE: Final = (ROOT / "deploy/UPGRADE.md").read_text(encoding="utf-8")

_BLOCK: Final = re.compile(r"```console\n(.*?)```", re.DOTALL)
_ENVIRONMENT: Final = re.compile(rf"{ENV_PREFIX}[A-Z_]+(?==|`)")
_RUN_BY_OTHERS: Final = {"curl", "done", "journalctl", "ln", "python3", "rm", "rsync", "ssh", "systemctl", "until"}


def _lines() -> list[str]:
    lines = [line for block in _BLOCK.findall(GUIDE) for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ") for line in lines]


def _commands() -> list[str]:
    """Command lines of the program, whatever way it is called."""
    found = (shlex.split(line) for line in _lines())
    return [shlex.join(words[1:]) for words in found if words[0].rpartition("/")[2] == "eximwatch"]


def test_all_commands_are_of_known_programs() -> None:
    """None stands there that nobody looked at."""
    programs = {shlex.split(line)[0].rpartition("/")[2] for line in _lines()}
    assert programs <= _RUN_BY_OTHERS | {"eximwatch", "pip", "export"}


@pytest.mark.parametrize("command", sorted(set(_commands())))
def test_command_lines_are_understood(command: str) -> None:
    """Command, flags and values exist; nothing is run."""
    words = shlex.split(command)
    context = click.Context(cli)
    group: click.Command = cli
    while isinstance(group, click.Group):
        name, found, words = group.resolve_command(context, words)
        assert name is not None
        assert found is not None
        group = found
    given = group.make_context(command, words).params
    settings = {name: value for name, value in given.items() if name in Settings.model_fields}
    load_settings(**settings)


def test_settings_that_are_named_exist() -> None:
    """Names of the environment are those of settings."""
    named = {name.removeprefix(ENV_PREFIX).lower() for name in _ENVIRONMENT.findall(GUIDE)}
    assert {"topic_prefix", "partitions", "alert_from", "source_topics"} <= named
    assert named <= set(Settings.model_fields)


def test_formats_are_those_of_this_version() -> None:
    """A release that raises a format has its guide rewritten."""
    readable = state_format.READABLE
    span = f"{readable[0]} to {readable[-1]}"
    assert f"(`format of the tables: writes {state_format.FORMAT}, reads {span}`)" in GUIDE
    assert f"(`the new-terms table holds a record of format {readable[-1] + 1}, this version reads {span}`)" in GUIDE
    assert (state_format.FORMAT, readable) == (records.FORMAT, records.READABLE)


def test_what_is_quoted_stands_in_the_code() -> None:
    """Lines of the log and of dead letters are searched for with the words of the guide."""
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "app").rglob("*.py"))
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)
    for quoted in (
        "worker ready",
        "holds all of its changelog: nothing to rebuild",
        "no rule here judges it by its route",
        "is a copy that was made while its worker ran",
    ):
        assert quoted in sources, quoted
        assert quoted in re.sub(r"\s+", " ", GUIDE), quoted


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`(tests/[\w/.]+\.py)`", GUIDE))))
def test_named_tests_exist(file: str) -> None:
    """What the guide says was tried can be tried again."""
    assert (ROOT / file).is_file()

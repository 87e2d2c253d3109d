"""The runbook has an entry for every alarm, and its commands and links are real."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from app.tools.cli import cli
from tests.broker.jars import REPOSITORY
from tests.deploy.monitoring import alarms, entries, runbook

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = REPOSITORY / "deploy"

OTHER_COMMANDS = {"df", "du"}
KAFKA_COMMANDS = {"kafka-consumer-groups.sh", "kafka-get-offsets.sh", "kafka-configs.sh", "kafka-topics.sh"}


def _commands() -> Iterator[list[str]]:
    """The words of every command line, settings that stand before it left out."""
    for block in re.findall(r"^ *```console\n(.*?)```", runbook(), re.MULTILINE | re.DOTALL):
        for line in filter(str.strip, block.splitlines()):
            assert line.strip().startswith("$ ")
            words = shlex.split(line.strip().removeprefix("$ ").split(" > ")[0])
            while re.match(r"[A-Z_]+=", words[0]):
                del words[0]
            yield words


OURS = [words[1:] for words in _commands() if words[0] == "eximwatch"]


def _parse(command: click.Command, arguments: list[str], parent: click.Context | None = None) -> None:
    """What click does before it calls a command: unknown names, flags and values are refused."""
    with command.make_context(command.name, list(arguments), parent=parent) as context:
        if isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            _, found, rest = command.resolve_command(context, rest)
            assert found is not None
            _parse(found, rest, context)


@pytest.mark.parametrize("arguments", OURS, ids=" ".join)
def test_commands_of_ours_are_such(arguments: list[str]) -> None:
    """Commands and flags exist, and their values are of the right kind."""
    _parse(cli, arguments)


def test_a_command_that_is_none_would_be_noticed() -> None:
    """A misspelt command, flag or reason is refused by what the test above does."""
    for wrong in ("topics compare", "alerts tail --since earliest", "dead-letters list --reason bad_json"):
        with pytest.raises(click.UsageError):
            _parse(cli, wrong.split())


def test_other_commands_are_kafkas_or_ordinary() -> None:
    """Kafka's tools are named as its archive has them."""
    assert {words[0] for words in _commands()} == KAFKA_COMMANDS | OTHER_COMMANDS | {"eximwatch"}


def test_every_alarm_has_an_entry_and_every_entry_an_alarm() -> None:
    """Names and headings are the same."""
    assert sorted(alarm.name for alarm in alarms()) == sorted(entries())


def test_every_entry_says_what_it_means_where_to_look_and_what_to_do() -> None:
    """In this order."""
    for name, text in entries().items():
        assert ["Meaning", "Look at", "Action"] == re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE), name


def test_links_lead_somewhere() -> None:
    """Headings here, and files beside this one."""
    headings = {_anchor(title) for title in re.findall(r"^#+ (.+)$", runbook(), re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", runbook()):
        file, _, anchor = target.partition("#")
        if file:
            text = (DEPLOY / file).read_text(encoding="utf-8")
            assert anchor in {_anchor(title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        else:
            assert anchor in headings


def _anchor(title: str) -> str:
    """As renderers of Markdown make it of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")

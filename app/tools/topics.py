"""`eximwatch topics`: create and check, told to a person."""

from __future__ import annotations

import click

from app.core.rule import longest_window
from app.errors import TopicsError
from app.runtime import replication, topics
from app.runtime.acls import ROLES, Role, acls, commands
from app.runtime.rules import load_rules
from app.runtime.settings import Settings


def create_topics(settings: Settings, *, include_source: bool) -> None:
    """Create what is missing and say so; source topics only if they are included.

    Raises:
        EximwatchError: Kafka can't be reached or refuses.
    """
    admin = topics.admin_client(settings)
    specs = list(topics.declare(settings, longest_window(load_rules(settings.rules))))
    if include_source:
        specs += [topics.source_spec(name, settings) for name in settings.source_topics]
    created = topics.create(admin, specs, settings.replication_factor)
    for spec in specs:
        state = "created" if spec.name in created else "exists, left as it is"
        click.echo(f"{spec.name}: {state} ({spec.partitions} partitions, {spec.purpose})")


def check_topics(settings: Settings) -> None:
    """Print what differs, and what a worker would only warn of.

    Raises:
        TopicsError: Something does.
        EximwatchError: Kafka can't be reached.
    """
    admin = topics.admin_client(settings)
    specs = topics.declare(settings, longest_window(load_rules(settings.rules)))
    layout = topics.inspect(admin, specs, settings)
    for name in layout.missing:
        click.echo(f"missing: {name}: run `eximwatch topics create`")
    for problem in layout.problems:
        click.echo(f"differs: {problem}")
    noted = (*replication.warnings(layout.copies), *replication.differences(layout.copies, settings.replication_factor))
    for note in noted:
        click.echo(f"note: {note}")
    if layout.missing or layout.problems:
        raise TopicsError(f"{len(layout.missing)} topics missing, {len(layout.problems)} differences")
    click.echo(f"all {len(specs)} topics are as they must be")


def print_acls(settings: Settings, role: Role, principal: str) -> None:
    """Print the commands that grant a role its rights."""
    click.echo(f"# {ROLES[role]}")
    for command in commands(acls(settings, role), principal):
        click.echo(command)

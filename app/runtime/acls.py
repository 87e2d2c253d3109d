"""The rights that each command needs on a Kafka with an authorizer: one declaration, printed, granted and checked.

They are the fewest that do. Kafka takes Read and Write to imply Describe; the idempotent producer needs no right of its
own (Kafka 3.0 and later) beside Write on its topics.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from app.runtime.settings import Settings

Role = Literal["worker", "create", "check", "produce", "tail", "dead-letters", "explain"]

ROLES: Final[dict[Role, str]] = {
    "worker": "eximwatch worker",
    "create": "eximwatch topics create",
    "check": "eximwatch topics check",
    "produce": "eximwatch produce",
    "tail": "eximwatch alerts tail",
    "dead-letters": "eximwatch dead-letters",
    "explain": "eximwatch explain",
}
"""Whose rights there are, and the command that needs them."""


@dataclass(frozen=True, slots=True)
class Acl:
    """What may be done with one thing of Kafka's.

    Attributes:
        resource: What kind of thing.
        name: Its whole name.
        operations: What may be done, as kafka-acls.sh spells it.
    """

    resource: Literal["topic", "group"]
    name: str
    operations: tuple[str, ...]


PRINCIPALS: Final[dict[Role, str]] = {
    "worker": "User:eximwatch",
    "create": "User:eximwatch-operator",
    "check": "User:eximwatch-operator",
    "dead-letters": "User:eximwatch-operator",
    "explain": "User:eximwatch-operator",
}
"""Who gets a role's rights where nobody is named, as in deploy/acls.sh; the others are users of your own."""


def acls(settings: Settings, role: Role = "worker") -> tuple[Acl, ...]:
    """The rights that a role needs with these settings: names of topics and the prefix."""
    changelogs = (settings.changelog_topic, settings.lineage_changelog_topic)
    ours = (settings.matches_topic, settings.alerts_topic, settings.dead_letters_topic, *changelogs)
    match role:
        case "worker":
            return (
                # DescribeConfigs everywhere: sizes, retention and timestamp types are compared at every start.
                *(Acl("topic", name, ("Read", "DescribeConfigs")) for name in settings.source_topics),
                Acl("topic", settings.matches_topic, ("Read", "Write", "DescribeConfigs")),
                Acl("topic", settings.alerts_topic, ("Write", "DescribeConfigs")),
                Acl("topic", settings.dead_letters_topic, ("Write", "DescribeConfigs")),
                *(Acl("topic", name, ("Read", "Write", "DescribeConfigs")) for name in changelogs),
                Acl("group", settings.topic_prefix, ("Read",)),
            )
        case "create":
            return tuple(Acl("topic", name, ("Create", "Describe")) for name in ours)
        case "check":
            return tuple(
                Acl("topic", name, ("Describe", "DescribeConfigs")) for name in (*settings.source_topics, *ours)
            )
        case "produce":
            return tuple(Acl("topic", name, ("Write",)) for name in settings.source_topics)
        case "tail":
            return (Acl("topic", settings.alerts_topic, ("Read",)),)
        case "dead-letters":
            return (
                Acl("topic", settings.dead_letters_topic, ("Read",)),
                # `retry` alone: of a record that was cut it reads the whole again, and it writes matches.
                *(Acl("topic", name, ("Read",)) for name in settings.source_topics),
                Acl("topic", settings.matches_topic, ("Write",)),
            )
        case "explain":
            read = (*settings.source_topics, settings.matches_topic, settings.alerts_topic, *changelogs)
            return tuple(Acl("topic", name, ("Read",)) for name in read)


def missing(needed: Iterable[Acl], allowed: Mapping[tuple[str, str], frozenset[str]]) -> Iterator[str]:
    """What is needed and not allowed, each as one phrase.

    Args:
        needed: The rights.
        allowed: What may be done, by kind and name; a thing that is not in there is not known, and passed over.
    """
    for acl in needed:
        may = allowed.get((acl.resource, acl.name))
        if may is None:
            continue
        lacking = [operation for operation in acl.operations if operation not in may]
        if lacking:
            yield f"{', '.join(lacking)} on {acl.resource} {acl.name}"


def commands(rights: Iterable[Acl], principal: str) -> Iterator[str]:
    """What grants the rights: one command line of Kafka's own tool for each thing, without its connection."""
    for acl in rights:
        operations = " ".join(f"--operation {operation}" for operation in acl.operations)
        yield (
            f"kafka-acls.sh --add --allow-principal {shlex.quote(principal)} {operations} "
            f"--{acl.resource} {shlex.quote(acl.name)}"
        )

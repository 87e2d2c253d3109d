"""The family of exim4: executions in which it stands as process, parent or leader, whether a rule matches them or not.

They are what lineages are remembered from. Who stands further away carries no exim4 in the event and can't be seen.
"""

from __future__ import annotations

from typing import Final

from app.core.event import ProcessEvent
from app.core.kql import Query, compile_query, parse

ROOT: Final = "exim4"
"""The name of the process whose descendants are watched."""

FAMILY: Final[Query] = parse(
    f"""
    event.type:start and event.action:exec
    and (
      process.name:{ROOT} or process.parent.name:{ROOT}
      or process.group_leader.name:{ROOT} or process.session_leader.name:{ROOT} or process.entry_leader.name:{ROOT}
    )
    """
)
"""The query of membership; its needles are searched for beside those of the rules."""

is_member: Final = compile_query(FAMILY)
"""Whether an event is an execution of the family."""


def host_of(event: ProcessEvent) -> str | None:
    """The host whose processes an event tells of: its first `host.id` that is not empty, None where there is none."""
    return next((host for host in event.values("host.id") if host), None)

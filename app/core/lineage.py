"""The lineage of a process: the chain from exim4 down to it, and where each link of it is known from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.core.event import ProcessEvent
from app.core.family import ROOT
from app.core.process import MAX_ANCESTORS, Process, ancestor_ids, executed, leaders, parent

LookUp = Callable[[str], Process | None]
"""What is remembered of an entity of the event's host."""


class Origin(StrEnum):
    """Where a link of a lineage is known from."""

    EVENT = "event"  # the event's own process and parent
    LEADER = "leader"  # a leader that the event describes
    SEEN = "seen"  # an execution that was seen before, or another event's word for it
    UNKNOWN = "unknown"  # nothing but its id, if that


class Relation(StrEnum):
    """How a process stands to exim4."""

    CHILD = "child"
    DESCENDANT = "descendant"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Link:
    """One process of a lineage.

    Attributes:
        process: What is known of it; None where that is nothing.
        origin: Where that is known from.
        earlier: Names of its executions before the one that led on, the oldest first.
        entity_id: Its id, where that is known.
    """

    process: Process | None
    origin: Origin
    earlier: tuple[str, ...] = ()
    entity_id: str | None = None

    @property
    def name(self) -> str | None:
        """Its name."""
        return None if self.process is None else self.process.image.name


@dataclass(frozen=True, slots=True)
class Lineage:
    """A chain of processes.

    Attributes:
        links: The outermost exim4 that is known first, the executed process last; without exim4 all that is known.
        relation: How the process stands to exim4.
        depth: Steps from the nearest exim4 above it; None where a link between them is unknown, or there is none.
        complete: Whether no link is unknown.
    """

    links: tuple[Link, ...]
    relation: Relation
    depth: int | None
    complete: bool


NOTHING: Final[LookUp] = lambda _: None  # noqa: E731 — a name for the empty memory
"""Remembers nothing."""


def trace(event: ProcessEvent, clock: int, look_up: LookUp = NOTHING) -> Lineage:
    """Follow a process up to exim4: first by what its own event says, then by what is remembered.

    Args:
        event: The execution.
        clock: Its time, nanoseconds since 1970.
        look_up: What is remembered.
    """
    own = executed(event, clock)
    links = [_own_link(own, look_up), *_above(event, own, clock, look_up)]
    outermost = max((n for n, link in enumerate(links) if n and link.name == ROOT), default=None)
    if outermost is not None:
        links = links[: outermost + 1]
    nearest = next((n for n, link in enumerate(links) if n and link.name == ROOT), None)
    certain = nearest is not None and all(link.process is not None for link in links[:nearest])
    relation = Relation.NONE if nearest is None else Relation.CHILD if nearest == 1 else Relation.DESCENDANT
    return Lineage(
        tuple(reversed(links)),
        relation,
        nearest if certain else None,
        outermost is not None and all(link.process is not None for link in links),
    )


def _own_link(own: Process, look_up: LookUp) -> Link:
    known = look_up(own.entity_id) if own.entity_id is not None else None
    return Link(own, Origin.EVENT, _before(known, own), own.entity_id)


def _above(event: ProcessEvent, own: Process, clock: int, look_up: LookUp) -> list[Link]:
    """The links above a process, its parent first."""
    described: dict[str | None, Process] = {
        one.entity_id: one for one in reversed(leaders(event, clock)) if one.entity_id not in (None, own.entity_id)
    }
    ids = ancestor_ids(event)
    over = parent(event, clock)
    links: list[Link] = []
    above: str | None = ids[0] if ids else None
    if over is not None:
        known = look_up(over.entity_id) if over.entity_id else None
        links.append(Link(over, Origin.EVENT, _before(known, over), over.entity_id))
        leader = described.get(over.entity_id)
        above = over.parent_id or (known and known.parent_id) or (leader and leader.parent_id) or None
    met = {own.entity_id, *(link.entity_id for link in links)}
    while above is not None and above not in met and len(links) < MAX_ANCESTORS:
        met.add(above)
        link, above = _link(above, ids, described, clock, look_up)
        links.append(link)
    for leader in leaders(event, clock):
        if leader.image.name == ROOT and not _is_among(leader, links, own):
            while links and links[-1].process is None:
                links.pop()
            links += [Link(None, Origin.UNKNOWN), Link(leader, Origin.LEADER, (), leader.entity_id)]
    return links


def _link(
    entity_id: str, ids: tuple[str, ...], described: dict[str | None, Process], clock: int, look_up: LookUp
) -> tuple[Link, str | None]:
    """The link of an entity, and the id above it."""
    leader, known = described.get(entity_id), look_up(entity_id)
    place = ids.index(entity_id) + 1 if entity_id in ids else len(ids)
    listed = ids[place] if place < len(ids) else None
    above = listed or (leader and leader.parent_id) or (known and known.parent_id) or None
    if leader is not None:
        return Link(leader, Origin.LEADER, _before(known, leader), entity_id), above
    if known is None:
        return Link(None, Origin.UNKNOWN, (), entity_id), above
    image = known.image_at(clock)
    then = Process(known.entity_id, (image,), known.parent_id, known.pid, known.start)
    return Link(then, Origin.SEEN, _before(known, then), entity_id), above


def _before(known: Process | None, shown: Process) -> tuple[str, ...]:
    """The names of an entity's executions before the one that is shown."""
    if known is None:
        return ()
    images = known.images[: known.place_of(shown.image)]
    return tuple(one.name or "" for one in images if one.clock <= shown.image.clock)


def _is_among(leader: Process, links: list[Link], own: Process) -> bool:
    """Whether a leader stands in a chain already."""
    return _is_same(leader, own) or any(link.process is not None and _is_same(leader, link.process) for link in links)


def _is_same(one: Process, other: Process) -> bool:
    """Whether two descriptions are of one process: by their ids, where one has none by pid or at least by name."""
    if one.entity_id is not None and other.entity_id is not None:
        return one.entity_id == other.entity_id
    if one.pid is not None and other.pid is not None:
        return one.pid == other.pid
    return one.image.name == other.image.name

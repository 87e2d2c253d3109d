"""Processes as events describe them: the one that was executed, its parent, its leaders and its ancestors' ids."""

from __future__ import annotations

from typing import Final

import msgspec

from app.core.event import ProcessEvent

MAX_IMAGES: Final = 4
"""Executions that are kept of one entity: execve in place keeps the id, and the newest of them say most."""

MAX_ARGS: Final = 16
"""Arguments that are kept of one execution."""

MAX_ARGS_TEXT: Final = 512
"""Characters that are kept of all arguments of one execution together."""

MAX_TEXT: Final = 256
"""Characters that are kept of a name, a path or an id."""

MAX_ANCESTORS: Final = 16
"""Processes of a lineage, the executed one left out. Sensors list no more than some twenty ids."""

LEADERS: Final = ("group_leader", "session_leader", "entry_leader")
"""The leaders that a process event may describe, the nearest first."""


class Image(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """One execution within an entity.

    Attributes:
        clock: When it was seen, nanoseconds since 1970; 0 where only another process's event told of it.
        name: `name`.
        executable: `executable`.
        args: `args`, cut to MAX_ARGS and MAX_ARGS_TEXT; what was cut ends with an ellipsis.
        user_id: `user.id`.
        user_name: `user.name`.
        sha256: `hash.sha256`.
    """

    clock: int
    name: str | None = None
    executable: str | None = None
    args: tuple[str, ...] = ()
    user_id: str | None = None
    user_name: str | None = None
    sha256: str | None = None


class Process(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """What is known of one entity.

    Attributes:
        entity_id: `entity_id`; None where an event names a process without it.
        images: Its executions, the newest last; at least one.
        parent_id: The entity id of its parent.
        pid: `pid` as text.
        start: `start` as text.
    """

    entity_id: str | None
    images: tuple[Image, ...]
    parent_id: str | None = None
    pid: str | None = None
    start: str | None = None

    @property
    def image(self) -> Image:
        """The newest execution."""
        return self.images[-1]

    def image_at(self, clock: int) -> Image:
        """The execution that was running at a time: the newest that is not later, else the oldest."""
        return next((image for image in reversed(self.images) if image.clock <= clock), self.images[0])


def executed(event: ProcessEvent, clock: int) -> Process:
    """The process that was executed; `clock` is the event's time, nanoseconds since 1970."""
    found = _described(event, "process", clock)
    image = found.image
    user_id, user_name = image.user_id or _text(event, "user.id"), image.user_name or _text(event, "user.name")
    image = msgspec.structs.replace(image, user_id=user_id, user_name=user_name)
    return msgspec.structs.replace(found, images=(image,))


def parent(event: ProcessEvent) -> Process | None:
    """The parent as the event describes it; None where it names none."""
    found = _described(event, "process.parent", 0)
    ids = ancestor_ids(event)
    grandparent = ids[1] if len(ids) > 1 and ids[0] == found.entity_id else found.parent_id
    found = msgspec.structs.replace(found, parent_id=grandparent)
    return found if found.entity_id or found.image.name or found.image.executable else None


def leaders(event: ProcessEvent) -> tuple[Process, ...]:
    """The leaders that the event names, the nearest first."""
    found = (leader(event, which) for which in LEADERS)
    return tuple(process for process in found if process.image.name)


def leader(event: ProcessEvent, which: str) -> Process:
    """One leader, of LEADERS, as the event describes it."""
    return _described(event, f"process.{which}", 0)


def leader_ids(event: ProcessEvent, name: str) -> dict[str, str]:
    """The entity ids of the leaders of that name, and with each the nearest leader that it is."""
    found: dict[str, str] = {}
    for which in LEADERS:
        entity_id = _text(event, f"process.{which}.entity_id")
        if entity_id is not None and event.first(f"process.{which}.name") == name:
            found.setdefault(entity_id, which)
    return found


def ancestor_ids(event: ProcessEvent) -> tuple[str, ...]:
    """The entity ids of the ancestors, the parent's first: `process.Ext.ancestry`, else the parent's alone."""
    ids = event.values("process.Ext.ancestry") or event.values("process.parent.entity_id")[:1]
    return tuple(_cut(entity) for entity in ids[: MAX_ANCESTORS + 1])


def merged(known: Process | None, seen: Process) -> Process:
    """One entity's executions together, in the order of their times, at most MAX_IMAGES.

    An execution that is known already is kept once, so that replays and events that come late change nothing.
    """
    if known is None:
        return seen
    image = seen.image
    same = [one for one in known.images if _same(one, image)]
    images = known.images
    if not same:
        images = tuple(sorted((*known.images, image), key=lambda one: one.clock))[-MAX_IMAGES:]
    elif image.clock > same[-1].clock:
        newer = tuple(image if one is same[-1] else one for one in images)
        images = tuple(sorted(newer, key=lambda one: one.clock))
    return Process(
        known.entity_id,
        images,
        known.parent_id or seen.parent_id,
        known.pid or seen.pid,
        known.start or seen.start,
    )


def _same(one: Image, other: Image) -> bool:
    return one.name == other.name and one.executable == other.executable and one.args == other.args


def _described(event: ProcessEvent, prefix: str, clock: int) -> Process:
    image = Image(
        clock,
        _text(event, f"{prefix}.name"),
        _text(event, f"{prefix}.executable"),
        _args(event.values(f"{prefix}.args")),
        _text(event, f"{prefix}.user.id"),
        _text(event, f"{prefix}.user.name"),
        _text(event, f"{prefix}.hash.sha256"),
    )
    return Process(
        _text(event, f"{prefix}.entity_id"),
        (image,),
        _text(event, f"{prefix}.parent.entity_id"),
        _text(event, f"{prefix}.pid"),
        _text(event, f"{prefix}.start"),
    )


def _args(values: tuple[str, ...]) -> tuple[str, ...]:
    kept: list[str] = []
    room = MAX_ARGS_TEXT
    for value in values[:MAX_ARGS]:
        kept.append(value if len(value) <= room else f"{value[:room]}…")
        room -= len(value)
        if room <= 0:
            break
    if len(kept) < len(values) and not kept[-1].endswith("…"):
        kept.append("…")
    return tuple(kept)


def _text(event: ProcessEvent, field: str) -> str | None:
    return cut_text(event.first(field))


def cut_text(value: str | None) -> str | None:
    """A text as it is kept: its first MAX_TEXT characters."""
    return None if value is None else _cut(value)


def _cut(value: str) -> str:
    return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"

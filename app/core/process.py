"""Processes as events describe them: the one that was executed, its parent, its leaders and its ancestors' ids."""

from __future__ import annotations

import hashlib
from itertools import islice
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
        clock: When it was seen, nanoseconds since 1970; where it was not seen, when another's event told of it.
        name: `name`.
        executable: `executable`.
        args: `args`, cut to MAX_ARGS and MAX_ARGS_TEXT; what was cut ends with an ellipsis.
        user_id: `user.id`.
        user_name: `user.name`.
        sha256: `hash.sha256`.
        is_told: Whether only another process's event told of it.
    """

    clock: int
    name: str | None = None
    executable: str | None = None
    args: tuple[str, ...] = ()
    user_id: str | None = None
    user_name: str | None = None
    sha256: str | None = None
    is_told: bool = False


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

    def place_of(self, image: Image) -> int | None:
        """Where an execution stands among the images: that very one, else the newest that agrees with it."""
        very = next((n for n, one in enumerate(self.images) if _same(one, image)), None)
        if very is not None:
            return very
        return next((n for n in reversed(range(len(self.images))) if _agree(self.images[n], image)), None)


def executed(event: ProcessEvent, clock: int) -> Process:
    """The process that was executed; `clock` is the event's time, nanoseconds since 1970."""
    found = _described(event, "process", clock)
    image = found.image
    user_id, user_name = image.user_id or _text(event, "user.id"), image.user_name or _text(event, "user.name")
    image = msgspec.structs.replace(image, user_id=user_id, user_name=user_name)
    return msgspec.structs.replace(found, images=(image,))


def parent(event: ProcessEvent, clock: int) -> Process | None:
    """The parent as the event describes it; None where it says no more than an id. `clock` is the event's time."""
    found = _described(event, "process.parent", clock, is_told=True)
    ids = ancestor_ids(event)
    entity_id = found.entity_id or next(iter(ids), None)
    grandparent = ids[1] if len(ids) > 1 and ids[0] == entity_id else found.parent_id
    found = msgspec.structs.replace(found, entity_id=entity_id, parent_id=grandparent)
    return found if found.image.name or found.image.executable else None


def leaders(event: ProcessEvent, clock: int) -> tuple[Process, ...]:
    """The leaders that the event names, the nearest first; `clock` is the event's time."""
    found = (leader(event, which, clock) for which in LEADERS)
    return tuple(process for process in found if process.image.name)


def leader(event: ProcessEvent, which: str, clock: int) -> Process:
    """One leader, of LEADERS, as the event describes it; `clock` is the event's time."""
    return _described(event, f"process.{which}", clock, is_told=True)


def leader_ids(event: ProcessEvent, name: str) -> dict[str, str]:
    """The entity ids of the leaders of that name, and with each the nearest leader that it is."""
    found: dict[str, str] = {}
    for which in LEADERS:
        entity_id = next(iter(_ids(event, f"process.{which}.entity_id", 1)), None)
        if entity_id is not None and event.first(f"process.{which}.name") == name:
            found.setdefault(entity_id, which)
    return found


def ancestor_ids(event: ProcessEvent) -> tuple[str, ...]:
    """The entity ids of the ancestors, the parent's first: `process.Ext.ancestry`, else the parent's alone."""
    most = MAX_ANCESTORS + 1
    return tuple(_ids(event, "process.Ext.ancestry", most) or _ids(event, "process.parent.entity_id", 1))


def merged(known: Process | None, seen: Process) -> Process:
    """One entity's executions together, in the order of their times, at most MAX_IMAGES.

    An execution that is known already is kept once, so that replays and events that come late change nothing. What
    another process's event told of one, often less, makes room for the execution itself.
    """
    if known is None:
        return seen
    images = known.images
    for image in seen.images:
        images = _with(images, image)
    return Process(
        known.entity_id,
        images,
        known.parent_id or seen.parent_id,
        known.pid or seen.pid,
        known.start or seen.start,
    )


def _with(images: tuple[Image, ...], image: Image) -> tuple[Image, ...]:
    if image.is_told:
        rivals = [one for one in images if _agree(one, image)]
        if any(not one.is_told or _rank(one) >= _rank(image) for one in rivals):
            return images
        others = [one for one in images if one not in rivals]
    else:
        same = next((one for one in images if _same(one, image) and not one.is_told), None)
        if same is not None and same.clock >= image.clock:
            return images
        others = [one for one in images if one is not same and not (one.is_told and _agree(one, image))]
    return tuple(sorted((*others, image), key=lambda one: one.clock))[-MAX_IMAGES:]


def _rank(image: Image) -> tuple[int, int]:
    """Which of two that were told is kept: the one that says more, else the earlier one."""
    said = sum(map(bool, (image.name, image.executable, image.args)))
    return said, -image.clock


def _same(one: Image, other: Image) -> bool:
    return one.name == other.name and one.executable == other.executable and one.args == other.args


def _agree(one: Image, other: Image) -> bool:
    """Whether two may be one execution, of which one was told less of."""
    return (
        (one.name is None or other.name is None or one.name == other.name)
        and (one.executable is None or other.executable is None or one.executable == other.executable)
        and (not one.args or not other.args or one.args == other.args)
    )


def _described(event: ProcessEvent, prefix: str, clock: int, *, is_told: bool = False) -> Process:
    image = Image(
        clock,
        _text(event, f"{prefix}.name"),
        _text(event, f"{prefix}.executable"),
        _args(event.values(f"{prefix}.args")),
        _text(event, f"{prefix}.user.id"),
        _text(event, f"{prefix}.user.name"),
        _text(event, f"{prefix}.hash.sha256"),
        is_told,
    )
    return Process(
        next(iter(_ids(event, f"{prefix}.entity_id", 1)), None),
        (image,),
        next(iter(_ids(event, f"{prefix}.parent.entity_id", 1)), None),
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


def _ids(event: ProcessEvent, field: str, most: int) -> list[str]:
    """The first ids at a field; a long one is known by its digest: two of them must not become one by being cut."""
    return [
        entity if len(entity) <= MAX_TEXT else f"sha256:{hashlib.sha256(entity.encode()).hexdigest()}"
        for entity in islice(filter(None, event.values(field)), most)
    ]


def _text(event: ProcessEvent, field: str) -> str | None:
    return cut_text(event.first(field))


def cut_text(value: str | None) -> str | None:
    """A text as it is kept: its first MAX_TEXT characters."""
    return None if value is None else _cut(value)


def _cut(value: str) -> str:
    return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"

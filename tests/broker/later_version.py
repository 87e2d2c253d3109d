"""A worker of a later version, run as `python -m tests.broker.later_version STEPS worker`; for tests of upgrades.

It is this version, which writes a format that is raised by so many steps: with a field appended to each record of the
tables, at every depth, and a header added to each record of our topics, as the rule for the next format allows.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from app.core import state_format
from app.core.ring import Remembered
from app.core.state_format import StateFormat
from app.runtime import records
from app.tools.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

APPENDED: Final = "appended by a later version"
"""What stands at the end of each record, and in the added header."""

HEADER: Final = "eximwatch.later"
"""The added header."""


def command(steps: int) -> tuple[str, ...]:
    """What Python is to run for a worker whose formats are raised by so many steps."""
    return "-m", "tests.broker.later_version", str(steps), "worker"


def install(steps: int) -> None:
    """Make this process the later version."""
    for module in (state_format, records):  # final, but for a later version
        vars(module).update(FORMAT=module.FORMAT + steps, READABLE=range(module.OLDEST, module.FORMAT + steps + 2))
    StateFormat.encode = _encode  # type: ignore[method-assign]
    records._position_headers = _with_header(records._position_headers)


def _encode(self: StateFormat[Any], record: Any) -> bytes:
    del self
    fields = [*msgspec.structs.astuple(record), APPENDED]
    if isinstance(record, Remembered):
        process = record.process
        images = [[*msgspec.structs.astuple(image), APPENDED] for image in process.images]
        fields[2] = [process.entity_id, images, *msgspec.structs.astuple(process)[2:], APPENDED]
    return bytes((state_format.FORMAT,)) + msgspec.msgpack.encode(fields)


def _with_header(stock: Callable[[records.SourcePosition], records.Headers]) -> Callable[..., records.Headers]:
    def headers(source: records.SourcePosition) -> records.Headers:
        return [*stock(source), (HEADER, APPENDED.encode())]

    return headers


if __name__ == "__main__":
    install(int(sys.argv.pop(1)))
    main()

"""The format of what the tables keep: a version byte, then a compact binary record."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec

from app.errors import EximwatchError

KEYS: Final = 1
"""First byte of the tables' keys. It stays for the life of an installation: a key of another layout finds nothing."""

OLDEST: Final = 1
"""The oldest format of values that is read. It is raised where nothing of the old one can be in a changelog."""

FORMAT: Final = 1
"""The format of values that is written.

The next one is this one with fields appended, at any depth, each with a default that says "not known": so both
versions read what the other wrote, and an older one that writes such a record again leaves out what was appended.
Whatever can't be told in this way raises the format by two, and this version refuses it.
"""

READABLE: Final = range(OLDEST, FORMAT + 2)

_Record = TypeVar("_Record", bound=msgspec.Struct)


class StateFormatError(EximwatchError):
    """The table holds a format this version does not know. Run the version that wrote it, or a newer one."""

    exit_code = 7


class StateFormat(Generic[_Record]):
    """Records of one type of one table, as bytes."""

    def __init__(self, record: type[_Record], table: str) -> None:
        """Name the type, an array-like struct, and the table that operators know it by."""
        self._decoder = msgspec.msgpack.Decoder(record)
        self._encoder = msgspec.msgpack.Encoder()
        self._table = table

    def encode(self, record: _Record) -> bytes:
        """A record as bytes, its format first."""
        return bytes((FORMAT,)) + self._encoder.encode(record)

    def decode(self, value: bytes) -> _Record:
        """Read a record again.

        Raises:
            StateFormatError: Its format is older or newer than those that are read, or its bytes are broken.
        """
        if not value or value[0] not in READABLE:
            found = value[0] if value else "none"
            raise StateFormatError(
                f"the {self._table} table holds a record of format {found}, this version reads {READABLE[0]} to "
                f"{READABLE[-1]}: start the version that wrote it, or a newer one"
            )
        try:
            return self._decoder.decode(memoryview(value)[1:])
        except msgspec.DecodeError as error:
            raise StateFormatError(
                f"the {self._table} table holds a broken record ({error}): delete the data directory, the worker "
                "rebuilds it from the changelog"
            ) from None

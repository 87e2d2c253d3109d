"""The format of what the tables keep: a version byte, then a compact binary record."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec

from app.errors import EximwatchError

FORMAT: Final = 1
"""Version of the tables' keys and values. Readers take this one and the next; writers stay on this one."""

_READABLE: Final = (FORMAT, FORMAT + 1)

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
            StateFormatError: Its format is neither this version's nor the next one's, or its bytes are broken.
        """
        if not value or value[0] not in _READABLE:
            found = value[0] if value else "none"
            raise StateFormatError(
                f"the {self._table} table holds a record of format {found}, this version reads {_READABLE[0]} and "
                f"{_READABLE[1]}: start the version that wrote it, or a newer one"
            )
        try:
            return self._decoder.decode(memoryview(value)[1:])
        except msgspec.DecodeError as error:
            raise StateFormatError(
                f"the {self._table} table holds a broken record ({error}): delete the data directory, the worker "
                "rebuilds it from the changelog"
            ) from None

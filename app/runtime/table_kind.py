"""What is special to each of the two tables; all else is the same for both.

A table has a changelog record for each of its entries, but not every entry of a database has one of its own: those that
can be derived from others are not sent. `derived` gives all entries that a changelog record stands for, whether it is
written live or read in a rebuild, so that both end in the same database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from app.core import ring
from app.core.baseline import decode_baseline, is_baseline_key
from app.core.new_terms import decode_record, is_expired
from app.core.ring import Entry, Read


@dataclass(frozen=True, slots=True)
class TableKind:
    """A kind of table.

    Attributes:
        name: Its name, which its databases and its changelog topic carry.
        derived: All entries that a changelog record stands for, in the order in which they are to be written.
        applied_at: When an entry was last written, by the broker's clock, in nanoseconds since 1970; None for an
            entry that does not say. Raises StateFormatError for what this version can't read.
        is_stray: Whether nobody will need an entry any more, given how to read others, the present time, and how long
            an entry is of use after it was applied, both in nanoseconds. Raises StateFormatError as well.
    """

    name: str
    derived: Callable[[bytes, bytes | None], Sequence[Entry]]
    applied_at: Callable[[bytes, bytes], int | None]
    is_stray: Callable[[bytes, bytes, Read, int, int], bool]


def lineage(slots: int) -> TableKind:
    """The table of processes, of which each host keeps so many."""
    return TableKind("lineage", ring.derived, ring.applied_at, partial(_is_stray_process, slots))


def _is_stray_process(slots: int, key: bytes, value: bytes, read: Read, now: int, keep: int) -> bool:
    return ring.is_stray(key, value, read, slots, now, keep)


def _term_alone(key: bytes, value: bytes | None) -> Sequence[Entry]:
    return ((key, value),)


def _term_applied_at(key: bytes, value: bytes) -> int:
    return (decode_baseline(value) if is_baseline_key(key) else decode_record(value)).applied_at


def _is_expired(key: bytes, value: bytes, read: Read, now: int, keep: int) -> bool:
    del read
    if is_baseline_key(key):
        return now - decode_baseline(value).applied_at > keep
    return is_expired(decode_record(value), now, keep)


NEW_TERMS: Final = TableKind("new_terms", _term_alone, _term_applied_at, _is_expired)
"""The table of rules' terms and baselines."""

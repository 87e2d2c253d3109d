"""What is special to each of the two tables; all else is the same for both.

A table has a changelog record for each of its entries, but not every entry of a database has one of its own: those that
can be derived from others are not sent. `derived` gives all entries that a changelog record stands for, whether it is
written live or read in a rebuild, so that both end in the same database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.core import ring
from app.core.baseline import decode_baseline, is_baseline_key
from app.core.new_terms import decode_record
from app.core.ring import Entry


@dataclass(frozen=True, slots=True)
class TableKind:
    """A kind of table.

    Attributes:
        name: Its name, which its databases and its changelog topic carry.
        derived: All entries that a changelog record stands for, itself first, in the order in which they are written.
        applied_at: When an entry was last written, by the broker's clock, in nanoseconds since 1970; None for an
            entry that is derived. Raises StateFormatError for what this version can't read.
    """

    name: str
    derived: Callable[[bytes, bytes | None], Sequence[Entry]]
    applied_at: Callable[[bytes, bytes], int | None]


def _itself(key: bytes, value: bytes | None) -> Sequence[Entry]:
    return ((key, value),)


def _applied_at(key: bytes, value: bytes) -> int:
    return decode_baseline(value).applied_at if is_baseline_key(key) else decode_record(value).applied_at


NEW_TERMS: Final = TableKind("new_terms", _itself, _applied_at)
"""The table of rules' terms and baselines."""

LINEAGE: Final = TableKind("lineage", ring.derived, ring.applied_at)
"""The table of processes."""

"""The ledger: which offset of each partition may be committed.

Invariant: a committable offset never passes the smallest record that was handed on and is not done, and equals the
scanned position where none is pending. So a stretch in which nothing matters is committed to its end, and a record
that matters is never committed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Partition = TypeVar("Partition", bound=Hashable)


@dataclass(slots=True)
class _Account:
    position: int
    pending: deque[int] = field(default_factory=deque)
    done: set[int] = field(default_factory=set)


class Ledger(Generic[Partition]):
    """Accounts by partition. Not for use by several threads at once."""

    def __init__(self) -> None:
        """Begin with no partition."""
        self._accounts: dict[Partition, _Account] = {}

    def register(self, partition: Partition, offsets: Iterable[int], position: int) -> None:
        """Take what a fetch brought, before any of it is handed on.

        Args:
            partition: Where it is from.
            offsets: Offsets of the records that will be handed on, ascending, none of them registered before
                since the last `clear`.
            position: The scanned position: everything before it was looked at. If it went back, the log is another
                one than before: the account begins anew.
        """
        account = self._accounts.get(partition)
        if account is None or position < account.position:
            account = self._accounts[partition] = _Account(position)
        account.pending.extend(offsets)
        account.position = max(account.position, position)

    def done(self, partition: Partition, offset: int) -> None:
        """All effects of a record are confirmed. What is not pending is ignored: it was cleared meanwhile."""
        account = self._accounts.get(partition)
        if account is None or not account.pending or not account.pending[0] <= offset <= account.pending[-1]:
            return
        account.done.add(offset)
        while account.pending and account.pending[0] in account.done:
            account.done.discard(account.pending.popleft())

    def committable(self, partition: Partition) -> int | None:
        """The offset to commit: the next one that is to be read after a restart; None for an unknown partition."""
        account = self._accounts.get(partition)
        if account is None:
            return None
        return account.pending[0] if account.pending else account.position

    def position(self, partition: Partition) -> int | None:
        """The scanned position; None for an unknown partition."""
        account = self._accounts.get(partition)
        return None if account is None else account.position

    def pending(self, partition: Partition) -> int:
        """How many records are handed on and not done, those behind an undone one included."""
        account = self._accounts.get(partition)
        return 0 if account is None else len(account.pending)

    def clear(self, partition: Partition) -> None:
        """Forget a partition: it was sought elsewhere, or revoked."""
        self._accounts.pop(partition, None)

    def __iter__(self) -> Iterator[Partition]:
        """The partitions that are known."""
        return iter(list(self._accounts))

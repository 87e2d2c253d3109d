"""The new-terms table, whose writes can be awaited."""

from __future__ import annotations

from typing import Any

import faust
from faust.types import FutureMessage


class NewTermsTable(faust.Table[bytes, bytes]):
    """Faust sends a table's changelog records in the background and forgets them; this one waits."""

    _sent: FutureMessage | None = None

    def send_changelog(self, *args: Any, **kwargs: Any) -> FutureMessage:
        """Send a change, and keep its future for `write`."""
        self._sent = super().send_changelog(*args, **kwargs)
        return self._sent

    async def write(self, key: bytes, value: bytes) -> None:
        """Write an entry; returns when its changelog record is acknowledged, raises what its sending raised.

        Must run while an event is processed, whose partition becomes the entry's. Where the record could not even
        be queued the future never ends: wait for this with a deadline.
        """
        self[key] = value
        sent, self._sent = self._sent, None
        if sent is None:
            raise RuntimeError("the table sent no changelog record")
        await sent

"""Effects: every send and every write of the worker, each confirmed before the next step goes on.

A send that can never succeed becomes a dead letter, so that no record can crash-loop a worker. Any other failure
ends the process at once and without a graceful stop, so that nothing more is committed.
"""

from __future__ import annotations

import asyncio
import hashlib

import faust
from aiokafka.errors import MessageSizeTooLargeError

from app.core.alert import Alert
from app.core.dead_letter import DeadLetter
from app.core.engine import Route
from app.errors import EffectError
from app.runtime.counts import Counts
from app.runtime.records import (
    CUT_RECORD,
    Headers,
    SourcePosition,
    cut_headers,
    dead_letter_headers,
    match_headers,
)
from app.runtime.settings import Settings
from app.runtime.table import NewTermsTable


class TooLargeError(Exception):
    """The broker or the producer will never take this record."""


class Effects:
    """The sends and writes of one worker."""

    def __init__(
        self, app: faust.App, table: NewTermsTable, settings: Settings, timeout: float, counts: Counts
    ) -> None:
        """Bind to a started application; `timeout` in seconds holds for every single effect."""
        self._app = app
        self._table = table
        self._settings = settings
        self._timeout = timeout
        self._counts = counts

    async def forward(self, route: Route, source: SourcePosition, raw: bytes) -> None:
        """Send a match to the second step; too large for its topic, it becomes a dead letter."""
        try:
            await self._send(self._settings.matches_topic, route.key, raw, match_headers(route, source))
        except TooLargeError as error:
            await self.dead_letter(DeadLetter("too_large", f"the match can't be forwarded: {error}"), source, raw)

    async def alert(self, alert: Alert, rule_id: str, source: SourcePosition, raw: bytes) -> None:
        """Send an alert; too large for its topic although it was cut, it becomes a dead letter."""
        try:
            await self._send(self._settings.alerts_topic, alert.key, alert.value, [])
        except TooLargeError as error:
            letter = DeadLetter("too_large", f"the alert can't be sent: {error}", rule_id)
            await self.dead_letter(letter, source, raw)

    async def dead_letter(self, letter: DeadLetter, source: SourcePosition, raw: bytes) -> None:
        """Send a dead letter: the source bytes as they were, or where they are too large their beginning."""
        self._counts.dead_letters[letter.reason] += 1
        headers = dead_letter_headers(letter, source)
        key = f"{source.topic}:{source.partition}:{source.offset}".encode()
        try:
            await self._send(self._settings.dead_letters_topic, key, raw, headers)
        except TooLargeError:
            headers += cut_headers(len(raw), hashlib.sha256(raw).hexdigest())
            await self._send(self._settings.dead_letters_topic, key, raw[:CUT_RECORD], headers)

    async def write(self, key: bytes, value: bytes) -> None:
        """Write an entry of the new-terms table and wait until its changelog record is confirmed.

        Must be called while an event of the matches topic is processed: its partition is the entry's.
        """
        try:
            await asyncio.wait_for(self._table.write(key, value), self._timeout)
        except Exception as error:
            raise EffectError(f"an entry of the new-terms table was not confirmed: {error!r}") from error

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        """Send and wait for the acknowledgement.

        Raises:
            TooLargeError: It can never succeed.
        """
        producer = await self._app.maybe_start_producer()
        try:
            await asyncio.wait_for(
                producer.send_and_wait(topic, key, value, partition=None, timestamp=None, headers=headers),
                self._timeout,
            )
        except Exception as error:
            if isinstance(error, MessageSizeTooLargeError) or isinstance(error.__cause__, MessageSizeTooLargeError):
                raise TooLargeError(f"{len(value)} bytes are too large for topic {topic}") from error
            raise EffectError(f"a record for topic {topic} was not confirmed: {error!r}") from error

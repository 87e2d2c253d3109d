"""Effects: every send and every write of the worker.

Alerts and dead letters are confirmed before the step goes on. Matches and entries of the table are sent in order, and
the step goes on; their record is done when they are confirmed. There is one deadline, that of the record as a whole
(`app.runtime.in_flight`).

What the producer finds too large becomes a dead letter, so that no record can crash-loop a worker. Any other failure
ends the process at once and without a graceful stop, so that nothing more is committed. That a broker refuses a record
for its size is one: the idempotent producer's numbering is broken by then. `topics check` makes sure that it can't be.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

import faust
from aiokafka.errors import MessageSizeTooLargeError
from faust.types.transports import ProducerT

from app.core.alert import Alert
from app.core.dead_letter import DeadLetter
from app.core.engine import Route
from app.core.ring import Entry
from app.errors import EffectError
from app.runtime.counts import Counts
from app.runtime.fail_points import FAIL_POINT
from app.runtime.heartbeat import Heartbeat
from app.runtime.in_flight import Unconfirmed
from app.runtime.log import logger
from app.runtime.partition import partition_of
from app.runtime.records import (
    CUT_RECORD,
    Headers,
    SourcePosition,
    cut_headers,
    dead_letter_headers,
    match_headers,
)
from app.runtime.settings import Settings
from app.runtime.table import Change, ChangelogTable, LineageTable, NewTermsTable


class TooLargeError(Exception):
    """The producer will never take this record, which is no larger than our topics take."""


class Effects:
    """The sends and writes of one worker."""

    def __init__(
        self,
        app: faust.App,
        table: NewTermsTable,
        lineage: LineageTable,
        settings: Settings,
        counts: Counts,
        heartbeat: Heartbeat,
    ) -> None:
        """Bind to an application and its tables, and to the guard that is asked before every effect."""
        self._app = app
        self._table = table
        self._lineage = lineage
        self._settings = settings
        self._counts = counts
        self._heartbeat = heartbeat
        self._producer: ProducerT | None = None
        self._in_order: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by topic

    async def forward(self, route: Route, source: SourcePosition, raw: bytes) -> Unconfirmed | None:
        """Send a match to the second step, in the order of calls; too large for its topic, it becomes a dead letter.

        Returns:
            What is still to be confirmed; None if nothing is.
        """
        topic = self._settings.matches_topic
        FAIL_POINT.passed("before_forward")
        try:
            # The client's own partitioner looks up the topic's partitions anew for every record.
            partition = partition_of(route.key, self._settings.partitions)
            headers = match_headers(route, source, self._settings.source_format)
            future = await self._hand_over(topic, route.key, raw, headers, partition)
        except TooLargeError as error:
            await self.dead_letter(DeadLetter("too_large", f"the match can't be forwarded: {error}"), source, raw)
            return None
        future.add_done_callback(lambda _: FAIL_POINT.passed("after_forward_ack"))
        return Unconfirmed(future, f"a record for topic {topic}")

    async def alert(self, alert: Alert, rule_id: str, source: SourcePosition, raw: bytes) -> bool:
        """Send an alert; too large for its topic although it was cut, it becomes a dead letter.

        Returns:
            Whether it is in its topic.
        """
        FAIL_POINT.passed("before_alert")
        is_sent = True
        try:
            await self._send(self._settings.alerts_topic, alert.key, alert.value, [])
        except TooLargeError as error:
            letter = DeadLetter("too_large", f"the alert can't be sent: {error}", rule_id)
            await self.dead_letter(letter, source, raw)
            is_sent = False
        FAIL_POINT.passed("after_alert_ack")
        return is_sent

    async def dead_letter(self, letter: DeadLetter, source: SourcePosition, raw: bytes) -> None:
        """Send a dead letter: the source bytes as they were, or where they are too large their beginning."""
        logger.log(
            logging.ERROR if letter.reason == "internal_error" else logging.WARNING,
            "dead letter, {reason}: {topic}:{partition}:{offset}",
            reason=letter.reason,
            topic=source.topic,
            partition=source.partition,
            offset=source.offset,
            rule=letter.rule_id,
            detail=letter.detail,
        )
        headers = dead_letter_headers(letter, source)
        key = f"{source.topic}:{source.partition}:{source.offset}".encode()
        try:
            await self._send(self._settings.dead_letters_topic, key, raw, headers)
        except TooLargeError:
            headers += cut_headers(len(raw), hashlib.sha256(raw).hexdigest())
            await self._send(self._settings.dead_letters_topic, key, raw[:CUT_RECORD], headers)
        self._counts.dead_letters[letter.reason] += 1

    async def write(self, key: bytes, value: bytes) -> Unconfirmed:
        """Write an entry of the new-terms table and send its changelog record, in the order of calls.

        Must be called while an event of the matches topic is processed: its partition is the entry's.

        Returns:
            What is still to be confirmed.
        """
        self._heartbeat.require(f"a write to the table of {self._table.changelog_topic_name}")
        change = self._table.put(key, value)
        FAIL_POINT.passed("after_table_write")
        return await self._log(self._table, change, "after_changelog_ack")

    async def remember(self, entries: Sequence[Entry]) -> list[Unconfirmed]:
        """Write entries of the lineage table, all or none, and send their changelog records, in the order of calls.

        Must be called while an event of the matches topic is processed, and not again before it is over: what follows
        of a host is read from what is written here. A crash in between leaves entries in the database without their
        records: a replay of the event must give them again.

        Returns:
            What is still to be confirmed.
        """
        if not entries:
            return []
        self._heartbeat.require(f"a write to the table of {self._lineage.changelog_topic_name}")
        changes = self._lineage.apply(entries)
        FAIL_POINT.passed("after_lineage_write")
        return [await self._log(self._lineage, change, "after_lineage_ack") for change in changes]

    async def _log(self, table: ChangelogTable, change: Change, acknowledged: str) -> Unconfirmed:
        """Send a changelog record; once it is confirmed, the database knows how far it holds the changelog.

        Args:
            table: Whose record it is.
            change: The record.
            acknowledged: The fail point that is passed then.
        """
        topic = table.changelog_topic_name
        future = await self._hand_over(topic, change.key, change.value, [], change.partition)
        future.add_done_callback(lambda _: FAIL_POINT.passed(acknowledged))
        future.add_done_callback(table.confirm)
        return Unconfirmed(future, f"a record for topic {topic}")

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        """Send and wait for the acknowledgement.

        Raises:
            TooLargeError: It can never succeed.
        """
        future = await self._hand_over(topic, key, value, headers)
        try:
            await future
        except Exception as error:
            raise EffectError(f"a record for topic {topic} was not confirmed: {error!r}") from error

    async def _hand_over(
        self, topic: str, key: bytes, value: bytes | None, headers: Headers, partition: int | None = None
    ) -> asyncio.Future[Any]:
        """Queue a record with the producer, in the order of calls; waits while the queue of its partition is full.

        Raises:
            TooLargeError: It can never succeed.
        """
        self._heartbeat.require(f"a record for topic {topic}")
        try:
            # Who waits for the producer or for a topic's metadata would be overtaken by who comes when it is there.
            async with self._in_order[topic]:
                if self._producer is None:
                    self._producer = await self._app.maybe_start_producer()
                send = self._producer.send
                sent = await send(topic, key, value, partition=partition, timestamp=None, headers=headers)
        except Exception as error:
            if isinstance(error, MessageSizeTooLargeError) or isinstance(error.__cause__, MessageSizeTooLargeError):
                raise TooLargeError(f"{len(value or b'')} bytes are too large for topic {topic}") from error
            raise EffectError(f"a record for topic {topic} can't be sent: {error!r}") from error
        return cast("asyncio.Future[Any]", sent)

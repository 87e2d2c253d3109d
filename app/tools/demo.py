"""`eximwatch demo`: a broker, a worker, a recorded attack, and the alerts as they come."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

from confluent_kafka import KafkaException, Producer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from app.core.clock import format_time
from app.core.visible import visible
from app.errors import BrokerError
from app.tools.alerts import SeenAlert, read_alerts
from app.tools.screen import plain
from app.tools.stage import Stage, embedded_stage, external_stage, worker_process
from app.tools.story import Cue, Sighting, Story, load_recording, tell

QUIET: Final = 2.0
"""Seconds without an alert, after the story's end and all expected ones, that end the demo."""

DEADLINE: Final = 20.0
"""Seconds after the story's end by which every expected alert must have been seen."""

_SEED: Final = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One alert as it is shown: what it is about, and seconds from the record's sending to its arrival."""

    sighting: Sighting
    alert: SeenAlert
    latency: float


@dataclass(slots=True)
class Board:
    """What was sent and what was seen so far; filled by two threads, each its own fields."""

    story: Story
    sent_at: dict[str, float] = field(default_factory=dict)
    played: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None
    rows: list[Row] = field(default_factory=list)

    def add(self, alert: SeenAlert) -> Row:
        """Take an alert that arrived."""
        document = alert.document
        sent = self.sent_at.get(str(document.get("detector", {}).get("record_sha256")), alert.read_at)
        row = Row(
            Sighting(
                str(document.get("host", {}).get("name")),
                alert.text("kibana.alert.rule.rule_id"),
                str(document.get("process", {}).get("name")),
            ),
            alert,
            alert.read_at - sent,
        )
        self.rows.append(row)
        return row

    def seen(self) -> frozenset[Sighting]:
        """What alerted."""
        return frozenset(row.sighting for row in self.rows)


def run_demo(brokers: Sequence[str] | None) -> bool:
    """Play the story, on an embedded broker or on the Kafka named; whether seen and expected alerts agree.

    Raises:
        EximwatchError: Broker or worker did not start.
    """
    # Told to end, the demo still stops its worker and removes its data.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    begun = time.monotonic()
    recording = load_recording()
    with external_stage(brokers) if brokers else embedded_stage() as stage:
        console.print(plain(stage.title, "bold"))
        story = tell(recording, time.time_ns(), Random(_SEED))
        with worker_process(stage, format_time(story.attack_at)) as process:
            console.print(
                plain(
                    f"one worker ready after {time.monotonic() - begun:.1f} s; playing ordinary mail work of yesterday "
                    f"on {len({one.host for one in story.learned})} hosts, then an attack, among other programs' events"
                )
            )
            # The clock moves on while the worker starts: tell the story anew, from now.
            board = Board(tell(recording, time.time_ns(), Random(_SEED)))
            _play_and_watch(stage, process, board, console, begun)
    return _summary(board, console)


def _play_and_watch(
    stage: Stage, process: subprocess.Popen[bytes], board: Board, console: Console, begun: float
) -> None:
    stop = threading.Event()
    player = threading.Thread(target=_play, args=(stage, board, stop), name="player", daemon=True)
    player.start()
    try:
        with _live(board, console) as show:
            ended = last = time.monotonic()
            for alert in read_alerts(stage.link, stage.alerts_topic, "earliest"):
                now = time.monotonic()
                if alert is not None:
                    last = now
                    show(board.add(alert))
                    if len(board.rows) == 1:
                        console.print(plain(f"first alert {now - begun:.1f} s after the demo's start"))
                else:
                    show(None)
                if board.failure is not None or process.poll() is not None:
                    raise BrokerError(f"the demo broke off: {board.failure or 'the worker ended'}")
                if not board.played.is_set():
                    ended = now
                elif now - ended > DEADLINE or (board.story.expected <= board.seen() and now - last > QUIET):
                    break
    finally:
        stop.set()
        player.join()


@contextmanager
def _live(board: Board, console: Console) -> Iterator[Callable[[Row | None], None]]:
    """On a terminal a table that grows, elsewhere a line for each alert; gives what shows a new row."""
    if not console.is_terminal:

        def show_line(row: Row | None) -> None:
            if row is not None:
                console.print(plain(_line(row)), soft_wrap=True)

        yield show_line
        return
    with Live(_table(board), console=console, refresh_per_second=8, transient=True) as live:
        yield lambda _: live.update(_table(board))


def _play(stage: Stage, board: Board, stop: threading.Event) -> None:
    """Send every record of the story at its time; what goes wrong is kept for the main thread."""
    try:
        _send_all(stage, board, stop)
    except (KafkaException, BufferError, BrokerError) as error:
        board.failure = error
    finally:
        board.played.set()


def _send_all(stage: Stage, board: Board, stop: threading.Event) -> None:
    producer = Producer(
        {
            **stage.link,
            "partitioner": "murmur2_random",
            "acks": "all",
            "linger.ms": 0,
        }
    )
    begin = time.monotonic()
    for cue in board.story.cues:
        if stop.wait(max(0.0, begin + cue.at - time.monotonic())):
            return
        _send(producer, stage.source_topic, cue, board)
    if producer.flush(DEADLINE):
        raise BrokerError("the demo's records were not confirmed")


def _send(producer: Producer, topic: str, cue: Cue, board: Board) -> None:
    board.sent_at[hashlib.sha256(cue.value).hexdigest()] = time.time()
    producer.produce(topic, cue.value, cue.key)
    producer.poll(0)


def _table(board: Board) -> Table:
    table = Table(title=f"alerts ({len(board.sent_at)} of {len(board.story.cues)} records sent)", expand=True)
    table.add_column("time", no_wrap=True)
    table.add_column("host", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("process", style="red", no_wrap=True)
    table.add_column("command line", ratio=1, overflow="ellipsis", no_wrap=True)
    table.add_column("latency", justify="right", no_wrap=True)
    for row in board.rows:
        document = row.alert.document
        table.add_row(
            plain(str(document.get("@timestamp"))[11:19]),
            plain(row.sighting.host.partition(".")[0]),
            plain(row.sighting.rule),
            plain(row.sighting.process),
            plain(str(document.get("process", {}).get("command_line"))),
            plain(f"{row.latency * 1000:.0f} ms"),
        )
    return table


def _line(row: Row) -> str:
    reason = row.alert.text("kibana.alert.reason")
    return visible(f"alert {row.latency * 1000:5.0f} ms  {row.sighting.rule} {reason}")


def _summary(board: Board, console: Console) -> bool:
    """Say what was expected and what was seen."""
    story = board.story
    seen = board.seen()
    console.print(_table(board))
    console.print(
        plain(
            f"{len(story.cues)} records, {len(story.learned)} first sightings of ordinary programs learned "
            "without an alert"
        )
    )
    for sighting in sorted(story.expected | seen):
        state = (
            "expected and seen"
            if sighting in story.expected & seen
            else "EXPECTED, NOT SEEN"
            if sighting in story.expected
            else "SEEN, NOT EXPECTED"
        )
        console.print(plain(f"  {' '.join(sighting)}: {state}"))
    agree = seen == story.expected and len(board.rows) == len(story.expected)
    console.print(
        plain(
            f"expected {len(story.expected)} alerts, seen {len(board.rows)}: "
            + ("they agree" if agree else "THEY DIFFER"),
            "bold green" if agree else "bold red",
        )
    )
    return agree

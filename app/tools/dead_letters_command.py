"""`eximwatch dead-letters` at the terminal: which letters, and how they are shown."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from rich.console import Console
from rich.text import Text

from app.core.clock import parse_iso_time
from app.errors import InputError, SettingsError
from app.runtime.link import client_config
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import Settings
from app.tools.dead_letters import (
    Letter,
    as_json,
    chosen,
    described,
    letter_of,
    line,
    newest,
    parse_position,
    summary,
)
from app.tools.dead_letters_retry import Retry
from app.tools.screen import json_line, plain, say
from app.tools.topic_reader import NoRecordError, TopicReader

_CLOSED_PIPE = 141
_MILLISECOND = 1_000_000
_STYLES = {"sent": "green", "would be sent": "green", "left": "bold red"}


def list_letters(settings: Settings, start: str, reason: str | None, count: int | None, *, as_lines: bool) -> None:
    """Show letters, a line each, and how many there were of each reason.

    Args:
        settings: Where they are.
        start: `earliest`, `latest` (the newest `count`, in the order of their times) or an ISO 8601 time.
        reason: Only those of this reason; None for all.
        count: At most so many.
        as_lines: One JSON object a line, instead of text for people.

    Raises:
        SettingsError: The start is no time.
        TopicsError: The topic does not exist.
        BrokerError: Kafka can't be reached.
    """
    since = None if start in ("earliest", "latest") else _milliseconds(start)
    console = Console()
    reasons: Counter[str] = Counter()
    with reader_may_leave(), TopicReader(client_config(settings), settings.dead_letters_topic) as reader:
        found: Iterable[Letter] = chosen(map(letter_of, reader.read(since)), reason)
        found = newest(found, count) if start == "latest" and count else islice(found, count)
        for letter in found:
            reasons[letter.reason] += 1
            if as_lines:
                sys.stdout.buffer.write(json_line(as_json(letter), sys.stdout.buffer))
            else:
                _print(console, line(letter))
    say(summary(reasons))


def show_letter(settings: Settings, position: str, *, raw: bool) -> None:
    """Show one letter in full, or write its bytes as they are.

    Raises:
        InputError: There is none at this position.
        TopicsError: The topic does not exist.
        BrokerError: Kafka can't be reached.
    """
    (letter,) = _at(settings, [position])
    with reader_may_leave():
        if raw:
            sys.stdout.buffer.write(letter.value)
        else:
            sys.stdout.writelines(f"{shown}\n" for shown in described(letter))
    if raw and letter.said and letter.said.cut_from:
        say(f"these are the first {len(letter.value)} of {letter.said.cut_from[0]} bytes")


def retry_letters(settings: Settings, positions: Sequence[str], reason: str | None, *, dry_run: bool) -> bool:
    """Try letters again: those at the positions or, without any, all of a reason (None: of every reason).

    Returns:
        Whether none is left that still can't be judged.

    Raises:
        InputError: There is none at a position.
        RuleError: A rule file can't be used.
        TopicsError: A topic does not exist.
        BrokerError: Kafka can't be reached, or did not confirm a match.
    """
    engine = build_engine(
        load_rules(settings.rules),
        max_alert_bytes=settings.max_alert_bytes,
        max_future_skew=settings.max_future_skew,
        alert_from=None,
        learn_until=None,
        source_format=settings.source_format,
    )
    console = Console()

    def tell(letter: Letter, word: str, sentence: str) -> None:
        parts = (plain(letter.position, "bold"), plain(word, _STYLES.get(word, "")), plain(sentence))
        _print(console, Text("  ").join(parts))

    retry = Retry(engine, settings, tell, dry_run=dry_run)
    link = client_config(settings)
    with TopicReader(link, settings.matches_topic) as matches:
        matches.partitions()  # says that the topic is missing before anything is read
    with reader_may_leave():
        if positions:
            retry.run(_at(settings, positions))
        else:
            with TopicReader(link, settings.dead_letters_topic) as reader:
                retry.run(chosen(map(letter_of, reader.read()), reason))
    counted = ", ".join(f"{count} {word}" for word, count in sorted(retry.outcomes.items())) or "no dead letters"
    say(f"{counted}{' (dry run: nothing was sent)' if dry_run else ''}")
    return not retry.outcomes["left"]


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End as a program that SIGPIPE ended where whoever reads our output has seen enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would be tried, and reported, once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_CLOSED_PIPE)


def _at(settings: Settings, positions: Sequence[str]) -> list[Letter]:
    """The letters at positions, all read before anything is done about the first."""
    topic = settings.dead_letters_topic
    places = [parse_position(position, topic) for position in positions]

    def read(reader: TopicReader) -> Iterator[Letter]:
        for partition, offset in dict.fromkeys(places):
            try:
                yield letter_of(reader.at(partition, offset))
            except NoRecordError as error:
                advice = "`eximwatch dead-letters list` shows those there are"
                raise InputError(f"no dead letter at {partition}:{offset}: {error}; {advice}") from None

    with TopicReader(client_config(settings), topic) as reader:
        return list(read(reader))


def _milliseconds(text: str) -> int:
    time = parse_iso_time(text)
    if time is None:
        raise SettingsError(f"--from {text!r} is neither earliest, latest nor an ISO 8601 time")
    return time // _MILLISECOND


def _print(console: Console, text: Text) -> None:
    """One line; on a terminal it ends at the screen's edge."""
    if not console.is_terminal:
        sys.stdout.write(f"{text.plain}\n")
        return
    text.truncate(console.width, overflow="ellipsis")
    console.print(text, soft_wrap=True)

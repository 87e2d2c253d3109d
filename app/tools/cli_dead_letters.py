"""The flags and help of `eximwatch dead-letters`."""

from __future__ import annotations

import sys
from typing import Final

import click

from app.core.dead_letter import REASONS
from app.runtime.settings import LINK_SETTINGS, load_settings
from app.tools.flags import examples, setting_options

_NEWEST: Final = 20
_FOREIGN: Final = "not_a_dead_letter"  # as app.tools.dead_letters shows what no worker wrote
_REASONS: Final = (*REASONS, _FOREIGN)


@click.group(
    "dead-letters", epilog=examples("eximwatch dead-letters list", "eximwatch dead-letters retry --all --dry-run")
)
def dead_letters() -> None:
    """Look at what could not be judged, and have it judged again."""


@dead_letters.command(
    "list",
    epilog=examples(
        "eximwatch dead-letters list",
        "eximwatch dead-letters list --reason missing_term_field --from 2026-01-05T08:00:00Z",
        "eximwatch dead-letters list --from latest --count 5 --json",
    ),
)
@click.option("--reason", type=click.Choice(_REASONS), help="Only letters of this reason.")
@click.option(
    "--from",
    "start",
    default="earliest",
    show_default=True,
    metavar="earliest|latest|TIME",
    help=f"The first letters, those written since a time, or the newest (of which --count, or else {_NEWEST}).",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="At most N letters.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; without the source record.")
@setting_options(*LINK_SETTINGS, "topic_prefix")
def list_(start: str, reason: str | None, count: int | None, *, as_json: bool, **flags: str | None) -> None:
    """List dead letters: position, time, reason, rule, source position, size and detail.

    Up to the end of the topic as it is now, by partition and offset. The position is what `show` and `retry` take.
    How many there were of each reason is said on standard error.
    """
    from app.tools.dead_letters_command import list_letters

    if start == "latest" and count is None:
        count = _NEWEST
    list_letters(load_settings(**flags), start, reason, count, as_lines=as_json)


@dead_letters.command(
    epilog=examples("eximwatch dead-letters show 3:17", "eximwatch dead-letters show 3:17 --raw > record.json")
)
@click.argument("position", metavar="PARTITION:OFFSET")
@click.option("--raw", is_flag=True, help="Write the record's very bytes, and nothing else, to standard output.")
@setting_options(*LINK_SETTINGS, "topic_prefix")
def show(position: str, *, raw: bool, **flags: str | None) -> None:
    """Show one dead letter: its headers and the source record.

    Whatever could act on a terminal is spelled out. With --raw it is not: send that to a file.
    """
    from app.tools.dead_letters_command import show_letter

    show_letter(load_settings(**flags), position, raw=raw)


@dead_letters.command(
    epilog=examples(
        "eximwatch dead-letters retry --reason missing_term_field --rules mended.toml --dry-run",
        "eximwatch dead-letters retry 3:17 0:4",
        "eximwatch dead-letters retry --all",
    )
)
@click.argument("positions", nargs=-1, metavar="[PARTITION:OFFSET]…")
@click.option("--reason", type=click.Choice(_REASONS), help="All letters of this reason.")
@click.option("--all", "everything", is_flag=True, help="All letters there are.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; send nothing.")
@setting_options(*LINK_SETTINGS, "topic_prefix", "rules", "source_format", "source_max_bytes", "max_alert_bytes")
def retry(
    positions: tuple[str, ...], reason: str | None, *, everything: bool, dry_run: bool, **flags: str | None
) -> None:
    """Have dead letters judged again, by the rules that are there now.

    The source record is read anew; where a rule matches, a match with the original source position goes to the
    matches topic, and the workers judge it as any other. Nothing is written to the source topics or to the dead
    letters, and the letter stays where it is. Use the rules that the workers run, after they were restarted with
    them.

    \b
    What a retry can mend:
      missing_term_field   by a rule whose term is made of fields that the events have
      too_large            by raised size limits; an alert that was too large comes from `replay` alone
      not_wrapped          by --source-format ecs, where the records are events as they are
      not_a_match          by workers that all have the same rules
      not_json, not_an_object, too_deep, no_clock, too_many_terms, internal_error
                           by a newer version only; the first terms of too_many_terms were judged

    What still can't be judged is told with its reason, not sent again, and makes the exit code 1. A term that was
    judged in the meantime is known and does not alert. A retry can be repeated: a match that is sent twice counts
    twice in `detector.baseline.term.count`, alerts have the same id. Of a record that was too large to keep, the rest
    is fetched from its source topic, if it is there still.
    """  # noqa: D301 — click reads the backspace character
    from app.tools.dead_letters_command import retry_letters

    if [bool(positions), reason is not None, everything].count(True) != 1:
        raise click.UsageError("name letters by PARTITION:OFFSET, or say --reason or --all: one of the three")
    if not retry_letters(load_settings(**flags), positions, reason, dry_run=dry_run):
        sys.exit(1)

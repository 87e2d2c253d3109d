"""`eximwatch sample` on the command line."""

from __future__ import annotations

import contextlib

import click

from app.core.duration import SECOND, parse_duration
from app.runtime.settings import LINK_SETTINGS, load_settings
from app.tools.flags import examples, setting_options
from app.tools.screen import say


@click.command(epilog=examples("eximwatch sample --topic process-events", "eximwatch sample --topic t --rate 500"))
@click.option("--topic", required=True, metavar="TOPIC", help="Where to send the events; must exist.")
@click.option(
    "--rate",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="Events a second of programs that have nothing to do with exim4.",
)
@click.option(
    "--attack-every",
    default="5m",
    show_default=True,
    metavar="DURATION",
    help="From the beginning of one attack to the next; an attack takes some ten seconds.",
)
@setting_options(*LINK_SETTINGS)
def sample(topic: str, rate: int, attack_every: str, **flags: str | None) -> None:
    """Send events of a made-up fleet until interrupted, for trying things: never to a topic that is in use.

    Mail servers repeat recorded ordinary work; now and then another one is attacked as in the recording.
    """
    from app.runtime.link import client_config
    from app.tools.sample import run_sample

    try:
        seconds = parse_duration(attack_every) / SECOND
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--attack-every") from None
    with contextlib.suppress(KeyboardInterrupt):
        run_sample(client_config(load_settings(**flags)), topic, rate, seconds, say)

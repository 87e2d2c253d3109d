"""The command line: flags, help and exit codes. What a command does stands in a module of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from typing import Final, Literal, NoReturn

import click

from app.errors import EximwatchError
from app.runtime.acls import PRINCIPALS, ROLES, Role
from app.runtime.settings import LINK_SETTINGS, load_settings
from app.tools.cli_dead_letters import dead_letters
from app.tools.cli_explain import explain
from app.tools.cli_health import health
from app.tools.cli_sample import sample
from app.tools.flags import examples, setting_options
from app.tools.screen import say
from app.tools.size_command import size
from app.tools.worker_end import told_to_log

EXIT_CODES: Final = """\b
Exit codes:
  0  all went well
  1  findings: what the command compares differs
  2  wrong usage, setting or rule file
  3  an input can't be read
  4  topics are missing or differ from their declaration
  5  Kafka can't be reached or refused
  6  a send or a write was not confirmed; start again, nothing is lost
  7  the table holds a format this version does not know
  8  a batch of a source topic is corrupt; the message says how to pass over it
  9  no progress although there is work (watchdog); start again, nothing is lost
  10 an effect was due after the worker was frozen for longer than its session; start again, nothing is lost
  11 a database of the table is damaged; start again, it is rebuilt"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_CODES + "\n\n" + examples("eximwatch demo", "eximwatch replay events.ndjson"),
)
@click.version_option(package_name="eximwatch")
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
def cli(*, debug: bool) -> None:
    """Streaming detection of unusual programs below exim4 on Kafka."""
    del debug


@cli.command(
    epilog=examples(
        "eximwatch worker",
        "EXIMWATCH_BROKERS=k1:9092,k2:9092 eximwatch worker --data-dir /var/lib/eximwatch",
        "eximwatch worker --alert-from start --start-from latest",
    )
)
@setting_options()
def worker(**flags: str | None) -> None:
    """Judge process events until stopped by SIGTERM or SIGINT.

    Every flag is also an environment variable (EXIMWATCH_ and its name in upper case) and a key of the TOML file
    that EXIMWATCH_CONFIG names; flags win over the environment, that over the file.
    """
    from app.runtime.log import begin_log

    settings = load_settings(**flags)
    begin_log(settings.log_level, settings.log_format)
    # After the log has begun, so that an installation that lacks a package is told there.
    from app.runtime.worker import run_worker

    run_worker(settings)


@cli.command(epilog=examples("eximwatch settings", "eximwatch settings --partitions 4"))
@setting_options()
def settings(**flags: str | None) -> None:
    """Print every setting with the value that would be used now; passwords are not shown."""
    from app.runtime.link import check_link

    loaded = load_settings(**flags)
    for name, value in loaded.shown():
        click.echo(f"{name} = {value}")
    check_link(loaded)


@cli.command(
    epilog=examples(
        "eximwatch replay events.ndjson",
        "zcat old.ndjson.gz | eximwatch replay - --alert-from 2026-01-19T00:00:00Z",
        "eximwatch replay a.ndjson b.ndjson.zst --alerts alerts.ndjson --dead-letters dead.ndjson",
        "eximwatch replay events.ndjson --rule my-rule.toml --now 2026-01-05T12:00:00Z",
    )
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="FILE",
    help="Judge by this rule file or directory instead; repeatable.",
)
@click.option(
    "--now",
    metavar="TIME",
    help="When the events are taken to arrive: no clock counts as later than this plus --max-future-skew.",
)
@click.option("--alert-from", metavar="TIME", help="Matches with a clock before this build history only.")
@click.option("--source-format", metavar="ecs|message", help="See the worker.")
@click.option("--max-future-skew", metavar="DURATION", help="See the worker.")
@click.option("--max-alert-bytes", metavar="N", help="See the worker.")
@click.option("--alerts", metavar="FILE", help="Write alerts there instead of to standard output.")
@click.option("--dead-letters", metavar="FILE", help="Write there what could not be judged.")
def replay(
    files: tuple[str, ...],
    rules: tuple[str, ...],
    now: str | None,
    alert_from: str | None,
    source_format: str | None,
    max_future_skew: str | None,
    max_alert_bytes: str | None,
    alerts: str | None,
    dead_letters: str | None,
) -> None:
    """Judge files of process events, one JSON object a line, without a broker.

    FILE is NDJSON, `-` for standard input; .gz and .zst are decompressed. Files are one history in the order given.
    Alerts go to standard output as NDJSON, equal to what a worker writes but for @timestamp and detector.source. A
    line has no time of its own and arrives at --now: an event without a time, or dated later, is read differently.
    """
    from app.runtime.rules import engine_of, load_rules
    from app.tools.replay_command import parse_now, run_replay

    settings = load_settings(
        alert_from=alert_from,
        source_format=source_format,
        max_future_skew=max_future_skew,
        max_alert_bytes=max_alert_bytes,
        rules=rules,
    )
    taken_at = parse_now(now)
    engine = engine_of(settings, load_rules(settings.rules), taken_at)
    run_replay(engine, files, taken_at, alerts, dead_letters)


@cli.group(epilog=examples("eximwatch topics create", "eximwatch topics check"))
def topics() -> None:
    """Create and check the topics of an installation."""


_TOPIC_SETTINGS = (
    *LINK_SETTINGS,
    "source_topics",
    "topic_prefix",
    "partitions",
    "replication_factor",
    "rules",
    "source_max_bytes",
    "max_alert_bytes",
)


@topics.command(
    epilog=examples("eximwatch topics create", "eximwatch topics create --partitions 4 --replication-factor 1")
)
@click.option("--include-source", is_flag=True, help="Source topics that are missing too, for trying things by hand.")
@setting_options(*_TOPIC_SETTINGS)
def create(*, include_source: bool, **flags: str | None) -> None:
    """Create the topics that are missing. What exists is never changed or deleted; source topics are yours."""
    from app.tools.topics import create_topics

    create_topics(load_settings(**flags), include_source=include_source)


@topics.command(epilog=examples("eximwatch topics check"))
@setting_options(*_TOPIC_SETTINGS)
def check(**flags: str | None) -> None:
    """Compare the topics with what a worker with these settings needs; says what mends each difference."""
    from app.tools.topics import check_topics

    check_topics(load_settings(**flags))


@topics.command(
    epilog=examples(
        "eximwatch topics acls",
        "eximwatch topics acls --for tail --principal User:analyst --topic-prefix team-a",
    )
)
@click.option(
    "--for",
    "role",
    type=click.Choice(list(ROLES)),
    default="worker",
    show_default=True,
    help="Whose rights.",
)
@click.option("--principal", metavar="NAME", help="Who gets them. Default: as in deploy/acls.sh.")
@setting_options("source_topics", "topic_prefix")
def acls(role: Role, principal: str | None, **flags: str | None) -> None:
    """Print the commands that grant a user the fewest rights that do; add your --bootstrap-server to each."""
    from app.tools.topics import print_acls

    principal = principal or PRINCIPALS.get(role)
    if principal is None:
        raise click.UsageError(f"--for {role} needs --principal: say which user that is")
    print_acls(load_settings(**flags), role, principal)


@cli.command(
    epilog=examples(
        "eximwatch produce events.ndjson --topic process-events",
        "eximwatch produce events.ndjson.zst --topic process-events --no-key",
    )
)
@click.argument("file", metavar="FILE")
@click.option("--topic", required=True, metavar="TOPIC", help="Where to send the lines; must exist.")
@click.option(
    "--key-field",
    default="host.id",
    show_default=True,
    metavar="FIELD",
    help="The field that becomes the key.",
)
@click.option("--no-key", is_flag=True, help="Send without keys, so that the partition is random.")
@setting_options(*LINK_SETTINGS, "source_format")
def produce(file: str, topic: str, key_field: str, *, no_key: bool, **flags: str | None) -> None:
    """Send every line of FILE as one record; returns when all are confirmed."""
    from app.runtime.link import client_config
    from app.tools.produce import produce_file

    loaded = load_settings(**flags)
    key = None if no_key else key_field
    sent, keyless = produce_file(client_config(loaded), file, topic, key, loaded.source_format)
    say(f"{sent} records sent to {topic}" + (f", {keyless} of them without a key" if keyless else ""))


@cli.group(epilog=examples("eximwatch alerts tail"))
def alerts() -> None:
    """Look at the topic of alerts."""


@alerts.command(
    epilog=examples(
        "eximwatch alerts tail",
        "eximwatch alerts tail --from earliest --json --count 10",
    )
)
@click.option("--json", "as_json", is_flag=True, help="Whole alerts, one JSON object a line.")
@click.option(
    "--from",
    "start",
    type=click.Choice(["earliest", "latest"]),
    default="latest",
    show_default=True,
    help="Begin with the first alert that the topic holds, or with the next one.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N alerts.")
@setting_options(*LINK_SETTINGS, "topic_prefix")
def tail(start: Literal["earliest", "latest"], count: int | None, *, as_json: bool, **flags: str | None) -> None:
    """Show alerts as they arrive, until interrupted: time of the event, level and score, rule, reason."""
    from app.runtime.link import client_config
    from app.tools.alerts import tail as tail_alerts

    settings = load_settings(**flags)
    with contextlib.suppress(KeyboardInterrupt):
        tail_alerts(client_config(settings), settings.alerts_topic, start, as_json=as_json, count=count)


cli.add_command(dead_letters)
cli.add_command(explain)
cli.add_command(size)
cli.add_command(health)
cli.add_command(sample)


@cli.command(epilog=examples("eximwatch demo", "EXIMWATCH_BROKERS=127.0.0.1:9092 eximwatch demo --external"))
@click.option(
    "--external",
    is_flag=True,
    help="Play on the Kafka that --brokers names; topics of the demo's own are made there, and deleted at the end.",
)
@setting_options("brokers")
def demo(brokers: str | None, *, external: bool) -> None:
    """Play a recorded attack on a real exim4 and show the alerts as they come.

    Needs nothing: broker and worker are started for it, on an embedded broker of which nothing survives exit.
    Ends by itself; exit code 0 if the alerts seen are those expected, else 1.
    """
    from app.tools.demo import run_demo

    if not run_demo(load_settings(brokers=brokers).brokers if external else None):
        sys.exit(1)


def main() -> None:
    """Run the command line; an error is one line on standard error, with its own exit code."""
    _end_by_sigterm()
    debug = "--debug" in sys.argv[1:]
    try:
        code = cli.main(args=[argument for argument in sys.argv[1:] if argument != "--debug"], standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context else ""
        _report(error.format_message() + hint, error.exit_code, debug=debug)
    except click.Abort:
        _report("interrupted", 130, debug=debug)
    except EximwatchError as error:
        _report(str(error), error.exit_code, debug=debug)


def _end_by_sigterm() -> None:
    """Let SIGTERM end the first process of a container as it ends any other, until a worker handles it.

    For process 1 the kernel passes over signals without a handler: a stop during the start would wait to be killed.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


def _report(message: str, code: int, *, debug: bool) -> NoReturn:
    if not told_to_log(message, code, debug=debug):
        if debug:
            traceback.print_exc()
        say(f"eximwatch: {message}")
    sys.exit(code)

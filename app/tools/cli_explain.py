"""The flags and help of `eximwatch explain`."""

from __future__ import annotations

import sys

import click

from app.runtime.settings import LINK_SETTINGS, load_settings
from app.tools.flags import examples, setting_options


@click.command(
    epilog=examples(
        "eximwatch explain events.ndjson:17",
        "eximwatch explain events.ndjson:17 --history events.ndjson --json",
        "eximwatch explain --at process-events:3:4711",
        "eximwatch explain --alert alert.json",
    )
)
@click.argument("record", required=False, metavar="[FILE[:LINE]]")
@click.option("--at", metavar="TOPIC:PARTITION:OFFSET", help="A record of a source topic or of the matches topic.")
@click.option("--alert-id", metavar="UUID", help="The record of which this alert was made.")
@click.option("--alert", metavar="FILE[:LINE]", help="An alert, by what it carries.")
@click.option(
    "--history",
    multiple=True,
    metavar="FILE",
    help="Compare with these files, judged before; of FILE itself with the lines before LINE. Repeatable.",
)
@click.option("--worker-state", is_flag=True, help="Compare the event of a file with what the workers know now.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--rule", "rules", multiple=True, metavar="FILE", help="Judge by this file or directory; repeatable.")
@click.option("--now", metavar="TIME", help="When the event of a file is taken to arrive; see replay.")
@setting_options(*LINK_SETTINGS, "topic_prefix", "source_format", "alert_from", "max_future_skew")
def explain(
    record: str | None,
    at: str | None,
    alert_id: str | None,
    alert: str | None,
    history: tuple[str, ...],
    rules: tuple[str, ...],
    now: str | None,
    *,
    worker_state: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Say why an event alerts, or does not: every clause of every rule, term, state, verdict and lineage.

    FILE is NDJSON or one JSON object, `-` is standard input; .gz and .zst are decompressed. An event of a file is
    compared with no history unless told otherwise, one of a topic with what the workers know as of now: what was
    applied already is known to them, and says so.

    An alert carries what it was judged by. It is derived again, and the exit code is 1 where that differs.
    """
    from app.runtime.rules import engine_of, load_rules
    from app.tools.explain_command import Explainer, parse_place, read_alert, show
    from app.tools.replay_command import parse_now

    if [record, at, alert_id, alert].count(None) != 3:
        raise click.UsageError("say what to explain: FILE[:LINE], --at, --alert-id or --alert, one of the four")
    if worker_state and (record is None or history):
        raise click.UsageError("--worker-state goes with FILE[:LINE], and without --history")
    settings = load_settings(rules=rules, **flags)
    taken_at = parse_now(now)
    engine = engine_of(settings, load_rules(settings.rules), taken_at)
    explainer = Explainer(engine, settings, taken_at, history)
    if record is not None:
        document = explainer.line(record, of_workers=worker_state)
    elif at is not None:
        document = explainer.record(*parse_place(at))
    elif alert_id is not None:
        document = explainer.alert_of_id(alert_id)
    else:
        document = explainer.alert(read_alert(alert or ""))
    if not show(document, as_json=as_json):
        sys.exit(1)

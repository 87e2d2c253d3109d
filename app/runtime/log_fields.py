"""Every field that a line of ours may have, declared once: its name in calls, its name in JSON, what it tells.

The documentation's table says the same. Names follow ECS where ECS has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Field:
    """A field of its own.

    Attributes:
        name: As our calls and the console format name it.
        json: As a JSON line names it.
        help: What it tells.
    """

    name: str
    json: str
    help: str


FIELDS: Final = (
    Field("topic", "kafka.topic", "The topic that the event is about."),
    Field("partition", "kafka.partition", "Its partition."),
    Field("offset", "kafka.offset", "The offset, or the first of several."),
    Field("last_offset", "kafka.last_offset", "The last of several offsets."),
    Field("read_to", "kafka.read_to", "The offset to which a partition had been read before."),
    Field("partitions", "kafka.partitions", "Partitions of one topic; where only their count matters, that."),
    Field("assigned", "kafka.assigned", "All that is assigned to the worker, `topic:partition` each."),
    Field("broker", "server.address", "A broker, `host:port`."),
    Field("url", "url.full", "Where the worker's HTTP server answers."),
    Field("rule", "rule.id", "The rule."),
    Field("version", "rule.version", "Its version."),
    Field("sha256", "rule.sha256", "The beginning of its file's digest."),
    Field("path", "file.path", "A file or directory."),
    Field("table", "eximwatch.table", "One of the two tables."),
    Field("reason", "eximwatch.reason", "Why: of a dead letter its reason, else a sentence."),
    Field("detail", "eximwatch.detail", "A dead letter's one sentence; may quote bytes of the event."),
    Field("setting", "eximwatch.setting", "A setting's name, in the lines at the start."),
    Field("value", "eximwatch.value", "Its value; never a password."),
    Field("counts", "eximwatch.counts", "What was counted since the start, a field each: `eximwatch.counts.scanned` …"),
    Field("databases", "eximwatch.databases", "Databases that were read."),
    Field("entries", "eximwatch.entries", "Entries that were read."),
    Field("purged", "eximwatch.purged", "Entries of them that were purged."),
    Field("done", "eximwatch.done", "Changelog records that a rebuild has applied."),
    Field("total", "eximwatch.total", "Changelog offsets that it has to go through."),
    Field("rate", "eximwatch.rate", "Changelog records a second."),
    Field("seconds", "eximwatch.seconds", "How long it took."),
    Field("task", "eximwatch.task", "What a task waits for, the outermost function first."),
    Field("code", "eximwatch.code", "The code with which another process ended."),
    Field("where", "eximwatch.where", "What was being done when the worker ended."),
    Field("error", "error.message", "What went wrong; `error.type` is its class."),
    Field("exit_code", "exit_code", "The code with which this process ends."),
    Field("repeated", "eximwatch.repeated", "How many equal lines were held back since the last one."),
)

JSON_NAMES: Final = {field.name: field.json for field in FIELDS}

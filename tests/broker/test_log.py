"""What a real worker writes: JSON on every line whatever happens, few lines, and nothing that an event could forge."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.broker.history import history
from tests.broker.installation import Installation
from tests.broker.records import Outgoing, read_topic
from tests.broker.waiting import wait_until
from tests.events import event, raw

if TYPE_CHECKING:
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.worker import Worker

pytestmark = pytest.mark.broker

_RECORDS: Final = 10_000
_AWAY_S: Final = 10.0
_FEW: Final = 60
"""Lines that a worker may write of a broker that is away and comes back."""

_EVERY_LINE: Final = {
    "@timestamp",
    "ecs.version",
    "log.level",
    "log.logger",
    "message",
    "process.pid",
    "process.thread.name",
    "service.name",
    "service.version",
}
_FORGED: Final = "2026-11-24 22:46:09,836 CRITICAL eximwatch: forged"
_HOSTILE: Final = f"events\n{_FORGED}\r\x1b]0;title\x07\x1b[2J\x7f"
_TEXT: Final = f"sh\n{_FORGED}\x1b[2J\x9b\u2028\u202e"


def _lines(worker: Worker) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in worker.output().splitlines()]
    assert [] == [line for line in found if not _EVERY_LINE <= line.keys()]
    return found


def test_every_line_is_json_from_start_to_stop(kafka: Kafka, topic_prefix: str) -> None:
    """Over ten thousand records and a broker that is away for ten seconds; what is told stays little."""
    sent = history(41, 300, noise=_RECORDS)
    with Installation(kafka.brokers, topic_prefix, settings={"LOG_FORMAT": "json"}).create() as installation:
        worker = installation.worker()
        worker.wait_ready()
        begun = len(_lines(worker))
        installation.play(record.keyed for record in sent)
        installation.wait_caught_up(worker)
        played = len(_lines(worker))
        kafka.kill()
        back_at = time.monotonic() + _AWAY_S
        wait_until(lambda: time.monotonic() > back_at, 60, "the time for which Kafka is away")
        kafka.restart()
        installation.play(record.keyed for record in sent[:100])
        installation.wait_caught_up(worker)
        away = len(_lines(worker))
        assert 0 == worker.stop()
        lines = _lines(worker)

    assert played - begun <= 2
    assert away - played <= _FEW
    told = [line for line in lines if line.get("eximwatch.setting") == "log_format"]
    assert [("info", "json")] == [(line["log.level"], line["eximwatch.value"]) for line in told]
    assert {"exim4_child", "exim4_descendant", "exim4_unusual_path"} == {
        line["rule.id"] for line in lines if "rule.sha256" in line
    }
    ready = next(line for line in lines if line["message"].startswith("worker ready"))
    assert f"{installation.source()}:0" in ready["kafka.assigned"]
    assert any(line["log.logger"].startswith("aiokafka") for line in lines)
    counted = [line for line in lines if line["message"] == "counts:"][-1]
    assert len(sent) < counted["eximwatch.counts.scanned"] + counted["eximwatch.counts.candidates"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_events_forge_no_line_and_flood_no_log(kafka: Kafka | GivenKafka, topic_prefix: str, log_format: str) -> None:
    """A thousand bad records of each of three kinds, with hostile names, headers and topics, are a few lines."""
    headers = {
        "eximwatch.format": b"1",
        "eximwatch.scope": b"host",
        "eximwatch.source.topic": _HOSTILE.encode(),
        "eximwatch.source.partition": b"3",
        "eximwatch.source.offset": b"7",
    }
    match = raw(event(host=_TEXT, name=_TEXT))
    bad = [
        Outgoing(_TEXT.encode(), match, tuple((headers | {"eximwatch.scope": b"host"}).items()), 0),
        Outgoing(b"x", match, tuple((headers | {"eximwatch.source.offset": _TEXT.encode()}).items()), 0),
        Outgoing(b"x", b"exim4 " + _TEXT.encode(), tuple(headers.items()), 0),
    ]
    with Installation(kafka.brokers, topic_prefix, settings={"LOG_FORMAT": log_format}).create() as installation:
        worker = installation.worker()
        worker.wait_ready()
        before = len(worker.output().splitlines())
        installation.send("matches", bad * 1000)
        installation.play(Outgoing(None, b'{"exim4":' + _TEXT.encode()) for _ in range(1000))
        installation.wait_caught_up(worker)
        letters = len(read_topic(kafka.brokers, installation.names["dead-letters"]))
        assert 0 == worker.stop()
        lines = worker.output().splitlines()

    assert letters >= 3000
    assert len(lines) - before < 20
    assert all(line.isprintable() for line in lines)
    assert any(_FORGED in line for line in lines)
    assert not any(line.startswith(_FORGED) for line in lines)
    if log_format == "json":
        found = [json.loads(line) for line in lines if "dead letter, " in line]
        assert _HOSTILE in {line["kafka.topic"] for line in found}
        assert letters == sum(line.get("eximwatch.repeated", 1) for line in found)
        assert {"eximwatch.reason", "kafka.partition", "kafka.offset", "eximwatch.detail"} <= found[0].keys()
    else:
        told = [line for line in lines if "dead letter, " in line]
        repeated = [int(count) for line in told for count in re.findall(r"\(repeated (\d+) times\)", line)]
        assert letters == sum(repeated) + len(told) - len(repeated)


def test_hard_end_is_json_to_its_last_line(kafka: Kafka, topic_prefix: str) -> None:
    """With its exit code, though nothing is flushed on the way out."""
    settings = {"LOG_FORMAT": "json", "EFFECT_TIMEOUT": "3s", "SESSION_TIMEOUT": "30s"}
    sent = history(42, 300)
    with Installation(kafka.brokers, topic_prefix, settings=settings).create() as installation:
        installation.play(record.keyed for record in sent)
        worker = installation.worker()
        installation.wait_alerts(5, worker)
        kafka.kill()
        code = worker.wait_end(60)
        kafka.restart()
        last = _lines(worker)[-1]

    assert (6, 6, "critical") == (code, last["exit_code"], last["log.level"])
    assert "EffectError" == last["error.type"]
    assert "ending without a commit" in last["message"]

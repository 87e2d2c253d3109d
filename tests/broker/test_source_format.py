"""Events wrapped in `message`, on a real Kafka: judged as they would be by themselves, whoever reads the match."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.broker.installation import Installation
from tests.broker.records import Outgoing
from tests.events import event, raw

if TYPE_CHECKING:
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = pytest.mark.broker

_RECORDING = Path(__file__).parents[1] / "recordings" / "events.ndjson"
_ECS = {"source_format": "ecs"}


def _wrapped(value: bytes) -> bytes:
    """As Logstash's JSON codec writes an event whose line was not parsed."""
    return json.dumps({"@timestamp": "2001-01-01T00:00:00.000Z", "@version": "1", "message": value.decode()}).encode()


def _comparable(alert: dict[str, Any]) -> dict[str, Any]:
    """Without what is made of the record's bytes, its place and the present."""
    detector = {name: part for name, part in alert["detector"].items() if name not in ("source", "record_sha256")}
    return {**alert, "@timestamp": None, "kibana.alert.uuid": None, "detector": detector}


def _replayed(installation: Installation, file: Path, **settings: str) -> list[dict[str, Any]]:
    done = installation.run("replay", str(file), **settings)
    assert 0 == done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_wrapped_events_alert_as_they_would_by_themselves(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Equal alerts but for what is made of the bytes; ids as `replay` gives them; explained at either topic."""
    plain = _RECORDING.read_bytes().splitlines()
    records = [_wrapped(value) for value in plain]
    file = tmp_path / "wrapped.ndjson"
    file.write_bytes(b"\n".join(records))
    with Installation(kafka.brokers, topic_prefix, settings={"SOURCE_FORMAT": "message"}).create() as installation:
        done = installation.run("produce", str(file), "--topic", installation.source())
        assert "349 records sent" in done.stderr
        assert "without a key" not in done.stderr
        worker = installation.worker()
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()

        alerts = [alert.document for alert in installation.alerts()]
        expected = _replayed(installation, _RECORDING, **_ECS)
        assert 20 == len(expected)
        assert list(map(_comparable, expected)) == list(map(_comparable, alerts))
        again = _replayed(installation, file)
        assert [one["kibana.alert.uuid"] for one in again] == [one["kibana.alert.uuid"] for one in alerts]
        assert [] == installation.dead_letters()
        matches = installation.matches()
        assert {b"message"} == {dict(match.headers)["eximwatch.source.format"] for match in matches}
        assert {match.value for match in matches} <= set(records)

        # A source record is read by the setting, a match by its own header.
        source = alerts[0]["detector"]["source"]
        place = ":".join(str(source[name]) for name in ("topic", "partition", "offset"))
        document = json.loads(installation.run("explain", "--at", place, "--json").stdout)
        assert document["rules"][0]["matches"] or document["rules"][1]["matches"]
        otherwise = json.loads(installation.run("explain", "--at", place, "--json", **_ECS).stdout)
        assert "seems to hold its event as text in its field message" in otherwise["notes"][-1]
        match = f"{matches[0].topic}:{matches[0].partition}:{matches[0].offset}"
        of_match = json.loads(installation.run("explain", "--at", match, "--json", **_ECS).stdout)
        assert of_match["family"]["member"]


def test_a_wrong_source_format_loses_nothing_that_can_be_told(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Plain events are dead letters that a retry has judged as they are; wrapped ones read as plain are warned of."""
    with Installation(kafka.brokers, topic_prefix, settings={"SOURCE_FORMAT": "message"}).create() as installation:
        installation.play([Outgoing(None, raw(event("perl")))])
        worker = installation.worker()
        installation.wait_caught_up(worker)
        assert ["not_wrapped"] == [letter.reason for letter in installation.dead_letters()]
        left = installation.run("dead-letters", "retry", "--all")
        assert 1 == left.returncode
        assert "not_wrapped: it has no field message that could hold an event" in left.stdout
        done = installation.run("dead-letters", "retry", "--all", "--source-format", "ecs")
        assert (0, "1 sent\n") == (done.returncode, done.stderr)
        installation.wait_caught_up(worker)
        assert [("mail01", "perl")] == [alert.term for alert in installation.alerts()]
        assert 0 == worker.stop()

        # And what a worker of the other setting has yet to judge, it reads by the match's own word.
        installation.play([Outgoing(None, _wrapped(raw(event("python3")))), Outgoing(None, _wrapped(raw(event("id"))))])
        unaware = installation.worker(source_format="ecs")
        installation.wait_caught_up(unaware)
        assert 0 == unaware.stop()
        assert 1 == len(installation.alerts())
        assert 1 == unaware.output().count("seems to hold its event as text in its field message")

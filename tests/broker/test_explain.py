"""`eximwatch explain` on a real Kafka: by position and by alert id, with what the workers know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.broker.installation import Installation
from tests.broker.records import Outgoing
from tests.events import event, raw

if TYPE_CHECKING:
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = pytest.mark.broker

HOST = "mail03"
"""Its records stand in partition 3 of 4: what is looked for in the first one is not found."""

_LEADERS = {"process__session_leader": {"name": "exim4", "entity_id": "e1"}}


def _process(name: str, parent: str, own: str, *above: str, time: str = "2026-01-05T08:00:00Z") -> bytes:
    """An execution on HOST in exim4's session, by its entity ids."""
    fields = {"process__entity_id": own, "process__parent__entity_id": above[0], "process__Ext__ancestry": list(above)}
    return raw(event(name, parent, HOST, time=time, **fields, **_LEADERS))


_CHAIN = [_process("sh", "exim4", "e2", "e1"), _process("perl", "sh", "e3", "e2", "e1")]
_NEXT = _process("id", "perl", "e4", "e3", "e2", "e1")
_AGAIN = _process("perl", "sh", "e5", "e2", "e1", time="2026-01-06T08:00:00Z")


def _explained(installation: Installation, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = installation.run("explain", *arguments, "--json")
    assert (code, "") == (done.returncode, done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _place(position: tuple[str, int, int]) -> str:
    return ":".join(map(str, position))


def _terms(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The terms of an explanation by their rules."""
    return {rule["rule"]: term for rule in document["rules"] for term in rule["terms"]}


def test_an_event_is_explained_by_what_workers_know(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Before it was judged as it will be, with its lineage; afterwards as applied; and its alert by its id."""
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        first = installation.play(Outgoing(HOST.encode(), value) for value in _CHAIN)
        worker = installation.worker()
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        alerts = {alert.document["process"]["name"]: alert for alert in installation.alerts()}
        assert {"sh", "perl"} == set(alerts)

        # Nobody has judged these: explained as if they came now.
        upcoming, again = (
            _place(place)
            for place in installation.play([Outgoing(HOST.encode(), _NEXT), Outgoing(HOST.encode(), _AGAIN)])
        )
        document = _explained(installation, "--at", upcoming)
        term = _terms(document)["exim4_descendant"]
        assert ("new", None) == (term["verdict"], term["state"])
        assert 1 == term["baseline"]["terms"]
        assert ["leader", "seen", "event", "event"] == [link["origin"] for link in document["lineage"]["processes"]]
        assert document["notes"][0].startswith("the matches topic holds no record of it")
        known = _terms(_explained(installation, "--at", again))["exim4_descendant"]
        assert ("known", 1, "1 d") == (known["verdict"], known["state"]["count"], known["state"]["ago"])
        file = tmp_path / "event.json"
        file.write_bytes(_AGAIN)
        assert "known" == _terms(_explained(installation, str(file), "--worker-state"))["exim4_descendant"]["verdict"]
        assert "new" == _terms(_explained(installation, str(file)))["exim4_descendant"]["verdict"]

        # Now a worker judges them: it comes to the same.
        worker = installation.worker()
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        (alert,) = [alert for alert in installation.alerts() if alert.document["process"]["name"] == "id"]
        detector = alert.document["detector"]
        assert (alert.id, alert.document["kibana.alert.reason"]) == (term["alert_id"], term["reason"])
        assert detector["lineage"] == document["lineage"]
        assert detector["assessment"] == document["assessment"]
        assert detector["baseline"]["rule"] == term["baseline"]

        # What was applied is known as such, at its source and in the matches topic.
        match = next(match for match in installation.matches() if match.value == _NEXT)
        matched = f"{match.topic}:{match.partition}:{match.offset}"
        for place in (upcoming, matched):
            applied = _explained(installation, "--at", place)
            assert [f"its match stands at {matched}"] == applied["notes"]
            assert ("replayed", alert.id) == tuple(
                _terms(applied)["exim4_descendant"][key] for key in ("verdict", "alert_id")
            )
            assert dict(zip(("topic", "partition", "offset"), upcoming.split(":"), strict=True)) == {
                name: str(value) for name, value in applied["source"].items()
            }

        by_id = _explained(installation, "--alert-id", alert.id)
        assert "replayed" == _terms(by_id)["exim4_descendant"]["verdict"]
        assert [True] * 7 == [check["result"] for check in by_id["checks"]]
        assert "new" == by_id["alert"]["term"]["verdict"]
        assert [detector[name] for name in ("lineage", "assessment")] == [
            by_id["alert"][name] for name in ("lineage", "assessment")
        ]
        _assert_alert_without_its_record(installation, alert.document, first[0])
        _assert_errors(installation, upcoming)


def _assert_alert_without_its_record(
    installation: Installation, alert: dict[str, Any], other: tuple[str, int, int]
) -> None:
    """Where another record, or none, stands at an alert's source, the alert speaks for itself."""
    for number, source in enumerate((other, (other[0], other[1], 10**6))):
        uuid = f"{number}" * 64
        detector = {**alert["detector"], "source": dict(zip(("topic", "partition", "offset"), source, strict=True))}
        changed = {**alert, "kibana.alert.uuid": uuid, "detector": detector}
        installation.send("alerts", [Outgoing(HOST.encode(), raw(changed))])
        document = _explained(installation, "--alert-id", uuid, code=1)
        assert "what the alert carries" == document["compared_with"]
        assert document["notes"][0].startswith("explained by the alert alone")
        assert ["alert id"] == [check["check"] for check in document["checks"] if not check["result"]]


def _assert_errors(installation: Installation, place: str) -> None:
    """One line, with the code of what is wrong."""
    topic, partition, _ = place.split(":")
    for code, arguments, message in (
        (3, ("--at", f"{topic}:{partition}:1000000"), "no record at"),
        (3, ("--at", f"{topic}:99:0"), "has partitions 0 to"),
        (4, ("--at", f"{topic}-x:0:0"), "does not exist"),
        (3, ("--at", f"{installation.names['alerts']}-x:0"), "is no position"),
        (3, ("--alert-id", "f" * 64), "no alert"),
    ):
        done = installation.run("explain", *arguments)
        assert (code, "") == (done.returncode, done.stdout)
        assert message in done.stderr
        assert 1 == done.stderr.count("\n")

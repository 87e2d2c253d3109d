"""`eximwatch dead-letters` on a real Kafka: what was left is seen, judged again once it can be, and never lost."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from app.core.dead_letter import DeadLetter
from app.runtime.records import SourcePosition, cut_headers, dead_letter_headers
from tests.broker.installation import Installation
from tests.broker.records import Outgoing
from tests.core.rules import RULE_FILE
from tests.events import ABSENT, event, raw
from tests.tools.test_screen import acts

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = pytest.mark.broker

_HOSTS = [f"host-{number}" for number in range(6)]
_FIELDS = '"host.id", "process.name"'
_HOSTILE = "evil\x1b]0;owned\x07\u202e"


def _rule_file(folder: Path, name: str, fields: str) -> str:
    file = folder / f"{name}.toml"
    file.write_text(RULE_FILE.replace(_FIELDS, fields))
    return str(file)


def _listed(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert 0 == done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _place(letter: dict[str, Any]) -> str:
    return str(letter["position"]).split(":", 1)[1]


def _replayed_ids(installation: Installation, folder: Path, rules: str, values: list[bytes]) -> list[str]:
    file = folder / "letters.ndjson"
    file.write_bytes(b"".join(value + b"\n" for value in values))
    done = installation.run("replay", str(file), "--rule", rules)
    assert 0 == done.returncode, done.stderr
    return sorted(json.loads(line)["kibana.alert.uuid"] for line in done.stdout.splitlines())


def test_mended_rule_judges_what_was_left(kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path) -> None:
    """Listed, shown, left as they are by the old rule, judged by the mended one: with the ids that `replay` gives."""
    broken = _rule_file(tmp_path, "broken", '"host.id", "user.name"')
    mended = _rule_file(tmp_path, "mended", _FIELDS)
    good = [raw(event("id", host=host)) for host in _HOSTS]
    bad = [raw(event(f"p-{host}", host=host, user__name=ABSENT)) for host in _HOSTS]
    bad.append(raw(event(_HOSTILE, host=_HOSTS[0], user__name=ABSENT)))
    with Installation(kafka.brokers, topic_prefix, settings={"RULES": broken}).create() as installation:
        positions = installation.play(Outgoing(None, value) for value in (*good, *bad))[len(good) :]
        worker = installation.worker()
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        forwarded = {match.key: match.partition for match in installation.matches()}
        before = {alert.id for alert in installation.alerts()}
        assert (len(_HOSTS), len(_HOSTS)) == (len(forwarded), len(before))

        letters = _listed(installation.run("dead-letters", "list", "--json"))
        assert Counter({"missing_term_field": len(bad)}) == Counter(letter["reason"] for letter in letters)
        assert {"child"} == {letter["rule"] for letter in letters}
        sources = {tuple(letter["source"][name] for name in ("topic", "partition", "offset")) for letter in letters}
        assert set(positions) == sources
        _assert_filters(installation, letters)
        _assert_shown(installation, letters, bad[-1])

        # The rule as it was: told, not sent, and no further dead letter.
        left = installation.run("dead-letters", "retry", "--reason", "missing_term_field")
        assert (1, f"{len(bad)} left\n") == (left.returncode, left.stderr)
        assert left.stdout.count("missing_term_field: the query matched, but user.name has no value") == len(bad)
        dry = installation.run("dead-letters", "retry", "--all", "--dry-run", "--rules", mended)
        assert (0, f"{len(bad)} would be sent (dry run: nothing was sent)\n") == (dry.returncode, dry.stderr)
        # Those that no rule can judge yet are exim4's family all the same, and forwarded for its lineages.
        assert len(good) + len(bad) == len(installation.matches())
        assert len(bad) == len(installation.dead_letters())

        # The first by its position, then all, and all once more: what is sent twice alerts once.
        worker = installation.worker(rules=mended)
        for arguments in (("retry", _place(letters[0])), ("retry", "--all"), ("retry", "--all")):
            done = installation.run("dead-letters", *arguments, rules=mended)
            assert 0 == done.returncode, done.stderr
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        matches = installation.matches()[0:]
        alerts = [alert for alert in installation.alerts() if alert.id not in before]
        assert _replayed_ids(installation, tmp_path, mended, bad) == sorted(alert.id for alert in alerts)
        assert set(positions) == {tuple(alert.document["detector"]["source"].values()) for alert in alerts}
        assert len(bad) == len(installation.dead_letters())
        assert len(good) + len(bad) + 1 + 2 * len(bad) == len(matches)
        # A term's state is where its matches are: of one host all on one partition, whoever sends them.
        assert forwarded == {match.key: match.partition for match in matches}
        assert len(forwarded) == len({(match.key, match.partition) for match in matches})


def _assert_filters(installation: Installation, letters: list[dict[str, Any]]) -> None:
    """Of `list`: by reason, by time, by count, and as text."""
    plain = installation.run("dead-letters", "list")
    assert [letter["position"] for letter in letters] == [row.split()[0] for row in plain.stdout.splitlines()]
    assert f"{len(letters)} dead letters: {len(letters)} missing_term_field\n" == plain.stderr
    assert [] == _listed(installation.run("dead-letters", "list", "--json", "--reason", "not_json"))
    assert letters[:2] == _listed(installation.run("dead-letters", "list", "--json", "--count", "2"))
    newest = _listed(installation.run("dead-letters", "list", "--json", "--from", "latest", "--count", "3"))
    assert sorted(letter["time"] for letter in letters)[-3:] == [letter["time"] for letter in newest]
    assert [] == _listed(installation.run("dead-letters", "list", "--json", "--from", "2100-01-01"))
    assert letters == _listed(installation.run("dead-letters", "list", "--json", "--from", "2000-01-01"))
    wrong = installation.run("dead-letters", "list", "--from", "yesterday")
    assert 2 == wrong.returncode
    assert "neither earliest, latest nor an ISO 8601 time" in wrong.stderr


def _assert_shown(installation: Installation, letters: list[dict[str, Any]], hostile: bytes) -> None:
    """Of `show`: all of it in safe lines, or the very bytes."""
    shown = {
        _place(letter): installation.run_bytes("dead-letters", "show", "--raw", _place(letter)) for letter in letters
    }
    place = next(place for place, done in shown.items() if done.stdout == hostile)
    text = installation.run("dead-letters", "show", place).stdout
    assert [] == [line for line in text.splitlines() if acts(line)]
    assert "eximwatch.reason: missing_term_field" in text
    assert "\\u202e" in text


def test_record_too_large_is_judged_after_its_limit_is_raised(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Its letter holds the beginning; the rest comes from the source topic, where its SHA-256 says it is the same."""
    value = raw(event(host="large", a="#" * 1_500_000))
    with Installation(kafka.brokers, topic_prefix).create() as installation:
        topic = installation.source()
        _produce_compressed(kafka.brokers, topic, value)
        _forge(installation, topic)
        worker = installation.worker()
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        letters = _listed(installation.run("dead-letters", "list", "--json", "--reason", "too_large"))
        cut = next(letter for letter in letters if letter["cut_from"]["size"] == len(value))
        assert 65_536 == cut["size"]
        beginning = installation.run_bytes("dead-letters", "show", "--raw", _place(cut))
        assert value[:65_536] == beginning.stdout
        assert b"the first 65536 of" in beginning.stderr

        same = installation.run("dead-letters", "retry", _place(cut))
        assert (1, True) == (same.returncode, "raise EXIMWATCH_SOURCE_MAX_BYTES" in same.stdout)
        assert [] == installation.matches()
        early = installation.run("dead-letters", "retry", _place(cut), source_max_bytes="3000000")
        assert (1, True) == (early.returncode, "says how to raise its max.message.bytes" in early.stdout)
        _raise_limits(kafka.brokers, [name for key, name in installation.names.items() if "changelog" not in key])
        done = installation.run("dead-letters", "retry", "--reason", "too_large", source_max_bytes="3000000")
        outcomes = {row.split("  ")[0]: row for row in done.stdout.splitlines()}
        assert (1, "2 left, 1 sent\n") == (done.returncode, done.stderr)
        assert "sent  matches: 1" in outcomes[cut["position"]]
        assert 1 == sum("another record stands at" in row for row in outcomes.values())
        assert 1 == sum("holds offsets 0 to 0" in row for row in outcomes.values())

        worker = installation.worker(source_max_bytes="3000000")
        installation.wait_caught_up(worker)
        assert 0 == worker.stop()
        rules = "app/rules/exim4_child.toml"
        assert _replayed_ids(installation, tmp_path, rules, [value]) == [alert.id for alert in installation.alerts()]


def test_what_is_not_there_is_said(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Topic, partition, offset, or a record that no worker wrote: one line, and a code of its own."""
    with Installation(kafka.brokers, topic_prefix) as installation:
        missing = installation.run("dead-letters", "list")
        assert (4, True) == (missing.returncode, "run `eximwatch topics create`" in missing.stderr)
        installation.create()
        installation.send("dead-letters", [Outgoing(b"k", b"exim4\x1b[2J", (("\u202eodd", b"\x07"),), 1)])

        listed = installation.run("dead-letters", "list")
        assert "1 dead letters: 1 not_a_dead_letter\n" == listed.stderr
        assert "the header eximwatch.format is missing" in listed.stdout
        shown = installation.run("dead-letters", "show", "1:0").stdout
        assert [] == [line for line in shown.splitlines() if acts(line)]
        retried = installation.run("dead-letters", "retry", "--all")
        assert (1, "1 left\n") == (retried.returncode, retried.stderr)
        for position, said in (("1:1", "holds offsets 0 to 0"), ("0:0", "is empty"), ("99:0", "has partitions 0 to 3")):
            for command in ("show", "retry"):
                done = installation.run("dead-letters", command, position)
                assert (3, True, 1) == (done.returncode, said in done.stderr, done.stderr.count("\n")), done.stderr
        assert [] == installation.matches()


def _produce_compressed(brokers: str, topic: str, value: bytes) -> None:
    """A batch that is small enough for its topic, whose record is too large for ours."""
    producer = Producer({"bootstrap.servers": brokers, "compression.type": "lz4", "message.max.bytes": 10_000_000})
    producer.produce(topic, value, partition=0)
    assert 0 == producer.flush(30)


def _forge(installation: Installation, topic: str) -> None:
    """Letters of records that were cut and are gone, or are others now."""
    sha = hashlib.sha256(b"another").hexdigest()
    letter = DeadLetter("too_large", "made up")
    places = [SourcePosition(topic, 0, offset, None) for offset in (0, 50)]
    headers = [(*dead_letter_headers(letter, place), *cut_headers(2_000_000, sha)) for place in places]
    installation.send("dead-letters", [Outgoing(b"made up", b"{", head) for head in headers])


def _raise_limits(brokers: str, topics: list[str]) -> None:
    """As `topics check` advises."""
    entry = ConfigEntry("max.message.bytes", "4000000", incremental_operation=AlterConfigOpType.SET)
    resources = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in topics]
    admin = AdminClient({"bootstrap.servers": brokers})
    for future in admin.incremental_alter_configs(resources).values():
        future.result(30)

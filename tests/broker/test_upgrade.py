"""Workers of two versions side by side: a rolling upgrade, its way back, and a version that is too new."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from app.core.engine import Route
from app.core.state_format import FORMAT, StateFormatError
from app.runtime.records import SourcePosition, match_headers
from tests.broker.history import Sent, history, replayed
from tests.broker.installation import Installation
from tests.broker.later_version import command
from tests.broker.records import Outgoing, read_topic

if TYPE_CHECKING:
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka
    from tests.broker.worker import Worker

pytestmark = pytest.mark.broker

_STOP_S: Final = 15
_SETTINGS: Final = {"SESSION_TIMEOUT": "3s"}
_NEXT, _TOO_NEW = 1, 2


class _Stream:
    """A history that is played to one installation in equal parts."""

    def __init__(self, brokers: str, installation: Installation, sent: list[Sent], parts: int) -> None:
        self._brokers = brokers
        self._installation = installation
        self._size = -(-len(sent) // parts)
        self._left = list(sent)
        self.due = sorted(alert.id for alert in replayed(sent))

    def play(self, *workers: Worker) -> None:
        """Send the next part and wait until it is judged."""
        part, self._left = self._left[: self._size], self._left[self._size :]
        assert part
        self._installation.play(record.keyed for record in part)
        self._installation.wait_caught_up(*workers)

    def ids(self) -> list[str]:
        """Ids of the alerts that were raised, repeated ones too."""
        assert not self._left
        return sorted(alert.id for alert in self._installation.alerts())

    def formats(self, changelog: str) -> dict[bytes, list[int]]:
        """Formats of the values that were written under each key, in their order."""
        found: dict[bytes, list[int]] = {}
        for record in read_topic(self._brokers, self._installation.names[changelog]):
            found.setdefault(record.key or b"", []).extend((record.value or b"")[:1])
        return found

    def header_formats(self) -> set[bytes | None]:
        """Formats of the matches' headers."""
        records = read_topic(self._brokers, self._installation.names["matches"])
        return {dict(record.headers)["eximwatch.format"] for record in records}


def test_workers_are_upgraded_and_rolled_back_one_by_one(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Each on its own data directory, while the stream goes on: all alerts once, no dead letter, nothing rebuilt anew.

    Two of this version, one of each, two of the next, one of each again, two of this version. In between the worker
    that stays has all partitions, so that each version works on what the other wrote and writes it again.
    """
    sent = history(61, 500, noise=100)
    folders = [str(tmp_path / name) for name in ("a", "b")]
    with Installation(kafka.brokers, topic_prefix, settings=_SETTINGS).create() as installation:
        stream = _Stream(kafka.brokers, installation, sent, 9)
        workers = [installation.worker(data_dir=folder) for folder in folders]
        installation.wait_shared(workers)
        stream.play(*workers)
        outputs = []
        for steps in (_NEXT, 0):
            for number, folder in enumerate(folders):
                assert 0 == workers[number].stop(_STOP_S)
                outputs.append(workers[number].output())
                stream.play(workers[1 - number])
                workers[number] = installation.worker(command=command(steps), data_dir=folder)
                installation.wait_shared(workers)
                stream.play(*workers)
            assert {b"1", b"2"} == stream.header_formats()
        outputs += [worker.output() for worker in workers]

        assert stream.due == stream.ids()
        assert [] == installation.dead_letters()
        assert [] == [output for output in outputs if "is deleted and will be rebuilt" in output]
        assert "format of the tables: writes 1, reads 1 to 2" in outputs[0]
        assert "format of the tables: writes 2, reads 1 to 3" in outputs[2]
        for changelog in ("changelog", "lineage-changelog"):
            steps_of_keys = [step for formats in stream.formats(changelog).values() for step in pairwise(formats)]
            assert {(1, 1), (1, 2), (2, 2), (2, 1)} == set(steps_of_keys), changelog


def test_state_that_is_too_new_ends_the_worker_and_is_left_as_it_is(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """With code 7 and the way out, at its start and in a rebuild; the version that wrote it goes on, without a loss."""
    sent = history(62, 200)
    with Installation(kafka.brokers, topic_prefix, settings=_SETTINGS).create() as installation:
        stream = _Stream(kafka.brokers, installation, sent, 2)
        newer = installation.worker(command=command(_TOO_NEW), data_dir=str(tmp_path / "a"))
        stream.play(newer)
        assert 0 == newer.stop(_STOP_S)
        committed = installation.committed()

        for folder in ("a", "new"):
            refused = installation.run("worker", data_dir=str(tmp_path / folder))
            assert StateFormatError.exit_code == refused.returncode, refused.stderr
            told = (
                f"table holds a record of format {FORMAT + 2}, this version reads 1 to 2: start the version that wrote"
            )
            assert told in refused.stderr
        assert committed == installation.committed()

        newer.start()
        stream.play(newer)
        assert stream.due == stream.ids()
        assert [] == installation.dead_letters()


@pytest.mark.slow
def test_match_that_is_too_new_is_a_dead_letter_and_tried_again(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Its record is kept and the worker goes on; once all are new, `dead-letters retry` brings the alert."""
    sent = history(63, 20, days=2)
    source = SourcePosition(f"{topic_prefix}.events", 0, 0, None)
    with Installation(kafka.brokers, topic_prefix, settings=_SETTINGS).create() as installation:
        older = installation.worker()
        for record in sent:
            host = record.host.encode()
            headers = dict(match_headers(Route("host", host), source)) | {"eximwatch.format": b"3"}
            installation.send("matches", [Outgoing(host, record.value, tuple(headers.items()))])
        installation.wait_caught_up(older)
        assert 0 == older.stop(_STOP_S)
        assert [] == installation.alerts()
        letters = installation.dead_letters()
        assert len(sent) == len(letters)
        assert {("not_a_match", "format 3 is not known here, only 1 to 2")} == {
            (letter.reason, letter.text("detail")) for letter in letters
        }

        newer = installation.worker(command=command(_TOO_NEW))
        newer.wait_ready()
        done = installation.run("dead-letters", "retry", "--reason", "not_a_match")
        assert 0 == done.returncode, done.stderr
        installation.wait_caught_up(newer)
        assert {alert.term for alert in replayed(sent)} == {alert.term for alert in installation.alerts()}

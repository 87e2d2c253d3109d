"""The webhook's sample on a real Kafka and a local receiver: every alert arrives, whatever fails in between."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.broker.records import Outgoing, produce
from tests.broker.topics import Topic, create_topics
from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

_SCRIPT: Final = Path(__file__).parents[2] / "deploy" / "connect" / "webhook.py"
_DEADLINE_S: Final = 60.0


def _alert(uuid: str, score: int, reason: str = "exim4 started sh") -> bytes:
    """What the script reads of an alert."""
    assessment = {"level": "high", "score": score}
    return json.dumps(
        {
            "kibana.alert.uuid": uuid,
            "kibana.alert.reason": reason,
            "kibana.alert.rule.rule_id": "exim4_child",
            "detector": {"assessment": assessment},
        }
    ).encode()


class _Receiver:
    """Takes posts, and refuses the next ones for as long as it is told to."""

    def __init__(self) -> None:
        self.posts: list[tuple[str | None, Any]] = []
        self.refused = 0
        self.refuses = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.refuses:
                    receiver.refused += 1
                else:
                    receiver.posts.append((self.headers["Idempotency-Key"], body))
                self.send_response(503 if receiver.refuses else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def _running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, str(_SCRIPT), *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_a_refusal(status: int) -> None:
    """Followed, it would be a GET without the alert, and whoever answers that with 200 has no alert."""
    gets: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Location", "/login")
            self.end_headers()

        def do_GET(self) -> None:
            gets.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    post = runpy.run_path(str(_SCRIPT))["post"]
    try:
        with pytest.raises(OSError, match=str(status)):
            post(f"http://127.0.0.1:{server.server_port}/", json.loads(_alert("one", 85)), whole=False)
    finally:
        server.shutdown()
        server.server_close()

    assert not gets


@pytest.mark.broker
def test_every_alert_is_posted_and_none_is_committed_unanswered(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """A refused post ends the program; started again it goes on with that alert. Low scores are passed over."""
    topic = f"{topic_prefix}.alerts"
    create_topics(kafka.brokers, Topic(topic, 1))
    receiver = _Receiver()
    arguments = [
        *("--brokers", kafka.brokers, "--url", receiver.url, "--topic", topic, "--group", f"{topic_prefix}.webhook"),
        *("--min-score", "50", "--set", "session.timeout.ms=6000", "--set", "topic.metadata.refresh.interval.ms=500"),
    ]
    values = [_alert("one", 85), _alert("low", 10), _alert("two", 50, "sh started <!channel> & co")]
    try:
        produce(kafka.brokers, topic, [Outgoing(b"h", value) for value in values[:1]])
        with _running(*arguments):
            wait_until(lambda: len(receiver.posts) == 1, _DEADLINE_S, "the first post")
            receiver.refuses = True
            produce(kafka.brokers, topic, [Outgoing(b"h", value) for value in values[1:]])
            wait_until(lambda: receiver.refused == 1, _DEADLINE_S, "a refusal")
        # Killed or ended by the refusal: what was not answered comes again, what was answered does not.
        receiver.refuses = False
        with _running(*arguments):
            wait_until(lambda: len(receiver.posts) >= 2, _DEADLINE_S, "the second post")
    finally:
        receiver.close()

    assert [
        ("one", {"text": "high 85 exim4_child: exim4 started sh"}),
        ("two", {"text": "high 50 exim4_child: sh started &lt;!channel&gt; &amp; co"}),
    ] == receiver.posts


@pytest.mark.broker
def test_a_refusal_ends_the_program_with_an_error(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """So that a supervisor sees it; `--whole` posts the alert itself."""
    topic = f"{topic_prefix}.alerts"
    create_topics(kafka.brokers, Topic(topic, 1))
    produce(kafka.brokers, topic, [Outgoing(b"h", _alert("one", 1))])
    receiver = _Receiver()
    arguments = ["--brokers", kafka.brokers, "--url", receiver.url, "--topic", topic, "--group", f"{topic_prefix}.g"]
    try:
        receiver.refuses = True
        with _running(*arguments, "--whole") as process:
            assert 1 == process.wait(_DEADLINE_S)
            assert "503" in (process.stderr.read() if process.stderr else "")
        receiver.refuses = False
        with _running(*arguments, "--whole"):
            wait_until(lambda: receiver.posts, _DEADLINE_S, "the post")
    finally:
        receiver.close()

    assert [("one", json.loads(_alert("one", 1)))] == receiver.posts

"""Posts each alert to a webhook: `python webhook.py --brokers KAFKA:9092 --url https://hooks.example.test/…`.

At least once: an offset is committed after the post was answered with 2xx. Whatever fails ends the program; let a
supervisor start it again, it goes on with the alert that was not confirmed. The alert's id is sent as Idempotency-Key,
by which a receiver knows one that comes again. Needs confluent-kafka, nothing else; several share the partitions.
"""

import argparse
import json
import urllib.request
from contextlib import closing

from confluent_kafka import Consumer, KafkaException


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for a refusal: it would be followed by a GET without the alert, whose 200 confirms nothing."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def line(alert: dict) -> str:
    """Level, score, rule and reason in a line; & < > are escaped, in which Slack would see mentions and links."""
    assessment = alert["detector"]["assessment"]
    rule, reason = alert["kibana.alert.rule.rule_id"], alert["kibana.alert.reason"]
    text = f"{assessment['level']} {assessment['score']} {rule}: {reason}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def post(url: str, alert: dict, *, whole: bool) -> None:
    """Post an alert: as `{"text": …}`, which Slack and its like take, or the whole document.

    Raises:
        OSError: There was no answer, or not 2xx.
    """
    body = json.dumps(alert if whole else {"text": line(alert)}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": alert["kibana.alert.uuid"]}
    _OPENER.open(urllib.request.Request(url, body, headers), timeout=30).close()  # noqa: S310 — the operator's


def main() -> None:
    """Read alerts for ever."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--topic", default="eximwatch.alerts")
    parser.add_argument("--group", default="eximwatch-webhook")
    parser.add_argument("--min-score", type=int, default=0, help="of detector.assessment.score")
    parser.add_argument("--whole", action="store_true", help="post the alert itself")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="librdkafka: TLS, login …")
    given = parser.parse_args()
    consumer = Consumer(
        {
            "bootstrap.servers": given.brokers,
            "group.id": given.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **dict(pair.split("=", 1) for pair in given.set),
        }
    )
    consumer.subscribe([given.topic])
    # Closed, it leaves its group at once; else the next start would wait for the end of its session.
    with closing(consumer):
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            alert = json.loads(message.value())
            if alert["detector"]["assessment"]["score"] >= given.min_score:
                post(given.url, alert, whole=given.whole)
            consumer.commit(message=message, asynchronous=False)


if __name__ == "__main__":
    main()

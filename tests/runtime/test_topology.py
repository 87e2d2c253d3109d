"""What the Faust application is told, asked in a process of its own: making one leaves traces in its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

_PROGRAM = """
import json
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from app.runtime.counts import Counts
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import load_settings
from app.runtime.topology import build_app

settings = load_settings()
engine = build_engine(load_rules(settings.rules), max_alert_bytes=settings.max_alert_bytes,
                      max_future_skew=settings.max_future_skew, alert_from=None, learn_until=0)
conf = build_app(settings, engine, "id", Counts()).conf
told = {name: getattr(conf, name) for name in ("consumer_auto_offset_reset", "processing_guarantee", "producer_acks",
    "stream_wait_empty", "topic_allow_declare", "topic_disable_leader", "web_enabled", "producer_max_batch_size")}
told["processing_guarantee"] = told["processing_guarantee"].value
told["auth"] = {name: value if isinstance(value, str) else type(value).__name__
    for name, value in credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context).items()}
print(json.dumps(told))
"""


def _told(**settings: str) -> dict[str, Any]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXIMWATCH_")}
    named = {f"EXIMWATCH_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**inherited, **named},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_application_keeps_to_what_delivery_relies_on() -> None:
    """Recovery's seeks need the earliest reset; the others are what keeps Faust from dropping or making things."""
    told = _told()

    assert {"security_protocol": "PLAINTEXT"} == told.pop("auth")
    assert {
        "consumer_auto_offset_reset": "earliest",
        "processing_guarantee": "at_least_once",
        "producer_acks": -1,
        "stream_wait_empty": True,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "producer_max_batch_size": 262_144,
    } == told


@pytest.mark.parametrize(
    ("settings", "protocol", "context"),
    [
        ({"tls": "true"}, "SASL_SSL", "SSLContext"),
        ({"allow_sasl_without_tls": "true"}, "SASL_PLAINTEXT", "NoneType"),
    ],
)
def test_login_of_the_worker_is_in_the_clear_only_where_allowed(
    settings: dict[str, str], protocol: str, context: str
) -> None:
    """Faust itself would log in in the clear, and say nothing, where it is given no context."""
    login = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "mail", "sasl_password": "secret"}

    assert {
        "security_protocol": protocol,
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "mail",
        "sasl_plain_password": "secret",
        "ssl_context": context,
    } == _told(**login, **settings)["auth"]

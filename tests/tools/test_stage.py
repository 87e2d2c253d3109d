"""Where the demo plays, whatever the caller's settings say."""

from __future__ import annotations

import pytest

from app.tools.stage import embedded_stage


def test_embedded_broker_needs_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's link to another Kafka is neither used nor refused."""
    monkeypatch.setenv("EXIMWATCH_TLS", "true")
    monkeypatch.setenv("EXIMWATCH_TLS_CA", "missing.pem")
    with embedded_stage() as stage:
        assert {"bootstrap.servers", "log_level"} == set(stage.link)
        off = {"TLS": "False", "ALLOW_SASL_WITHOUT_TLS": "False", "HTTP_LISTEN": "none"}
        assert {"BROKERS": stage.link["bootstrap.servers"], **off} == stage.variables

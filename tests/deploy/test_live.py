"""A real Prometheus, with our configuration, scrapes real workers: every panel and every alarm has what it asks for."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from app.runtime.metrics import METRICS
from tests.broker.installation import Installation
from tests.broker.records import Outgoing
from tests.broker.settings import HOST, free_ports
from tests.broker.waiting import wait_until
from tests.deploy import dashboard, drawing, tools
from tests.deploy.prometheus import Prometheus
from tests.events import event, raw

if TYPE_CHECKING:
    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = pytest.mark.broker

EMPTY_WITHOUT_A_FAULT = {"Alarms"}
"""Panels that show nothing while all is well."""

_DEADLINE_S = 60.0
_MINUTE = dashboard.Range(0.0, 60.0, rate="20s")


def test_every_panel_shows_what_two_workers_do(kafka: Kafka | GivenKafka, topic_prefix: str) -> None:
    """Known and new programs, a dead letter and a null record are played; no query fails, no panel stays empty."""
    ports = free_ports(2)
    addresses = [f"{HOST}:{port}" for port in ports]
    with (
        Installation(kafka.brokers, topic_prefix).create() as installation,
        Prometheus(tools.prometheus(), addresses) as server,
    ):
        workers = [installation.worker(http_listen=address) for address in addresses]
        installation.wait_shared(workers)
        wait_until(
            lambda: dict.fromkeys(addresses, "up") == server.scrapes(), _DEADLINE_S, "both workers to be scraped"
        )
        turn = iter(range(10**6))

        def all_shown() -> bool:
            # Rates want two samples that differ, so that something has to happen all the time.
            installation.play(_events(next(turn)))
            installation.wait_caught_up(*workers)
            return not _empty(server.url) - EMPTY_WITHOUT_A_FAULT

        try:
            wait_until(all_shown, _DEADLINE_S, "every panel to show something", pause=1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; empty: {sorted(_empty(server.url) - EMPTY_WITHOUT_A_FAULT)}") from None
        assert [] == [rule["name"] for rule in _rules(server) if rule["health"] != "ok"]
        assert [] == [alert for alert in server.ask("alerts")["alerts"] if alert["state"] == "firing"]
        for address in addresses:
            _check_metrics(_scrape(address))
        assert _declared() == set().union(*(_names(_scrape(address)) for address in addresses))


def _events(turn: int) -> list[Outgoing]:
    hosts = [f"mail{number:02}" for number in range(8)]
    programs = [raw(event(f"program{turn}", host=host)) for host in hosts] + [raw(event("sh", host="mail01"))]
    return [
        *(Outgoing(None, program, partition=number % 4) for number, program in enumerate(programs)),
        Outgoing(None, b'{"exim4', partition=0),
        Outgoing(None, None, partition=1),
    ]


def _empty(prometheus: str) -> set[str]:
    """Titles of panels whose queries all answered nothing; raises where one is refused."""
    shown = dashboard.Range(time.time(), _MINUTE.seconds, _MINUTE.rate)
    found = [panel for panel in dashboard.panels(dashboard.load()) if panel["type"] != "row"]
    drawn = [drawing.Panel(panel, tuple(dashboard.answers(prometheus, panel, shown))) for panel in found]
    drawing.page("Eximwatch", drawn, shown)
    return {panel.document["title"] for panel in drawn if not any(map(dashboard.finite, panel.series))}


def _rules(server: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]


def _scrape(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=_DEADLINE_S) as answer:
        text: str = answer.read().decode()
        return text


def _check_metrics(text: str) -> None:
    """Prometheus's own linter takes them: help texts, units and kinds in the names."""
    done = subprocess.run(
        [tools.promtool(), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def _declared() -> set[str]:
    return {metric.name for metric in METRICS}


def _names(text: str) -> set[str]:
    found = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE eximwatch_")}
    return {name for name in found if not name.endswith("_created")}

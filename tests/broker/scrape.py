"""What a worker tells of itself over HTTP."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.parser import text_string_to_metric_families

from tests.broker.waiting import wait_until

if TYPE_CHECKING:
    from tests.broker.worker import Worker

FREE_PORT: Final = "127.0.0.1:0"
"""The setting `http_listen` of a worker that is to be asked."""

_ADDRESS: Final = re.compile(r"metrics and health at (http://[\d.]+:\d+)")
_ANSWER_S: Final = 20.0

Series = dict[tuple[str, ...], float]
"""Values by the metric's name and the values of its labels, in the order of the labels' names."""


def url_of(worker: Worker) -> str:
    """Where a worker listens, once it has said so."""

    def told() -> str | None:
        worker.check_running()
        found = _ADDRESS.findall(worker.output())
        return found[-1] if found else None

    return str(wait_until(told, 30, "the worker to listen"))


def ask(worker: Worker, path: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of `/livez` or `/readyz`."""
    try:
        with urllib.request.urlopen(url_of(worker) + path, timeout=_ANSWER_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def scrape(worker: Worker) -> Series:
    """All series of a worker."""
    with urllib.request.urlopen(f"{url_of(worker)}/metrics", timeout=_ANSWER_S) as response:
        text = response.read().decode()
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

"""A Prometheus for tests: our configuration and alarms, other targets, faster; gone with the test."""

from __future__ import annotations

import json
import os
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from tests.broker.process import Child, Guard
from tests.broker.settings import HOST, free_ports
from tests.broker.waiting import wait_until
from tests.deploy.monitoring import PROMETHEUS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_START_DEADLINE_S: Final = 60.0
_ANSWER_S: Final = 10.0
_INTERVAL: Final = "1s"


class Prometheus:
    """One server, which `with` starts and ends. Scrapes and evaluates every second."""

    def __init__(self, program: Path, targets: Sequence[str]) -> None:
        """Prepare only.

        Args:
            program: The server's executable.
            targets: What the job `eximwatch` scrapes, `host:port` each.
        """
        (port,) = free_ports(1)
        self.url = f"http://{HOST}:{port}"
        folder = Path(tempfile.mkdtemp(prefix="eximwatch-prometheus-"))
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(_configuration(targets)), encoding="utf-8")
        self._guard = Guard(folder)
        self._child = Child(
            [
                str(program),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={HOST}:{port}",
            ],
            env=os.environ,
            cwd=folder,
            log=folder / "prometheus.log",
            guard=self._guard,
        )

    def __enter__(self) -> Self:
        """Start it, and return as soon as it answers."""
        self._child.start()
        try:
            wait_until(self._ready, _START_DEADLINE_S, f"Prometheus at {self.url}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it and remove what it wrote."""
        self.close()

    def close(self) -> None:
        """End it and remove what it wrote."""
        self._child.kill()
        self._guard.close()

    def ask(self, path: str) -> Any:
        """The `data` of an answer of its API, such as of `targets` or `rules`."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=_ANSWER_S) as answer:
            return json.load(answer)["data"]

    def scrapes(self) -> dict[str, str]:
        """The health of every target: `up`, `down` or `unknown`."""
        return {target["labels"]["instance"]: target["health"] for target in self.ask("targets")["activeTargets"]}

    def _ready(self) -> bool:
        if not self._child.running:
            raise RuntimeError(f"Prometheus ended with {self._child.exit_code}:\n{self._child.tail()}")
        try:
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=_ANSWER_S).close()
        except OSError:
            return False
        return True


def _configuration(targets: Sequence[str]) -> dict[str, Any]:
    """Ours, with other targets and intervals."""
    document: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text(encoding="utf-8"))
    document["global"] = dict.fromkeys(document["global"], _INTERVAL)
    document["rule_files"] = [str(PROMETHEUS / name) for name in document["rule_files"]]
    (job,) = document["scrape_configs"]
    job |= {"scrape_timeout": _INTERVAL, "static_configs": [{"targets": list(targets)}]}
    return document

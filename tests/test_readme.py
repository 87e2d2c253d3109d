"""The README runs: its commands are executed, and what they print is what it shows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from app.runtime.settings import ENV_PREFIX, SECRETS, Settings
from tests.broker.kafka import Kafka

# They work in the checkout itself (its `build`, its `.venv`), so they do not run side by side.
pytestmark = pytest.mark.xdist_group("readme")

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

_BLOCK = re.compile(r"(?:<!-- run: (?P<where>\w+) -->\n)?```console\n(?P<text>.*?)```", re.DOTALL)
_TIMEOUT = 180.0


def _blocks(where: str) -> list[str]:
    return [found["text"] for found in _BLOCK.finditer(README) if found["where"] == where]


def _run(block: str, scratch: Path, **environment: str) -> str:
    """Run a block's commands in one shell at the repository's root; its output, both streams.

    What they write below `/tmp` goes to `scratch`: another checkout's tests may run at the same time.
    """
    commands = "\n".join(line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ "))
    commands = re.sub(r"(?<![\w/])/tmp(?=/)", str(scratch), commands)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    inherited = {name: value for name, value in inherited.items() if not name.startswith(("COLUMNS", "MAKE", "MFLAGS"))}
    completed = subprocess.run(
        ["bash", "-m", "-e", "-o", "pipefail", "-c", commands],
        cwd=ROOT,
        # Another checkout's worker may listen on the default port at the same time.
        env={**inherited, "COLUMNS": "200", "EXIMWATCH_HTTP_LISTEN": "127.0.0.1:0", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    assert 0 == completed.returncode, completed.stdout
    return completed.stdout.replace(str(scratch), "/tmp")


def _assert_shown(block: str, output: str) -> None:
    """Every line that the README shows was printed, in its order; `…` stands for anything."""
    rest = iter(output.splitlines())
    for line in block.splitlines():
        if line.startswith("$ "):
            continue
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        assert any(pattern.fullmatch(printed.rstrip()) for printed in rest), f"not printed: {line}\n{output}"


def test_every_console_block_is_executed() -> None:
    """No command of the README stands in a block that nothing runs; `make test` is what runs this."""
    unmarked = [found["text"] for found in _BLOCK.finditer(README) if found["where"] is None]
    assert ["$ make test\n"] == unmarked
    assert {"demo", "kafka", "plain"} == {found["where"] for found in _BLOCK.finditer(README)} - {None}


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """`make demo` ends by itself with the alerts and the summary that are shown."""
    (block,) = _blocks("demo")
    _assert_shown(block, _run(block, tmp_path))


@pytest.mark.parametrize("block", _blocks("plain"))
def test_commands_without_a_broker_print_what_the_readme_shows(block: str, tmp_path: Path) -> None:
    """The replay examples run as they stand."""
    _assert_shown(block, _run(block, tmp_path))


@pytest.mark.broker
def test_the_walk_through_on_kafka_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """Topics, worker, produce and tail run as they stand on a real Kafka."""
    (block,) = _blocks("kafka")
    with Kafka() as kafka:
        _assert_shown(block, _run(block, tmp_path, EXIMWATCH_BROKERS=kafka.brokers))


def settings_table() -> str:
    """The README's table of settings, from their declaration."""
    rows = ["| flag | environment | default | meaning |", "| --- | --- | --- | --- |"]
    for name, value in Settings.model_construct().shown():
        description = Settings.model_fields[name].description
        shown = {"rules": "the shipped rules", "alert_from": "none"}.get(name, value)
        flag = "none" if name in SECRETS else f"`--{name.replace('_', '-')}`"
        rows.append(f"| {flag} | `{ENV_PREFIX}{name.upper()}` | {shown} | {description} |")
    return "\n".join(rows)


def test_the_settings_table_is_the_declaration() -> None:
    """Names, defaults and meanings in the README are those of the code."""
    found = re.search(r"<!-- settings: begin -->\n(.*?)\n?<!-- settings: end -->", README, re.DOTALL)
    assert found is not None
    assert settings_table() == found[1], "run python -m tests.test_readme to write the table anew"


def _write_settings_table() -> None:
    table = re.compile(r"(<!-- settings: begin -->\n).*?(<!-- settings: end -->)", re.DOTALL)
    (ROOT / "README.md").write_text(table.sub(lambda found: f"{found[1]}{settings_table()}\n{found[2]}", README))


if __name__ == "__main__":
    _write_settings_table()

"""Kafka's jars are fetched once and whole, and a machine that can't run Kafka says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.broker import archive, jars

_MAVEN = """#!/bin/sh
for argument; do case "$argument" in -DoutputDirectory=*) out="${argument#*=}";; esac; done
echo call >> "$COUNT"
: > "$out/kafka_2.13-4.0.0.jar"
exit "$RESULT"
"""
_TESTS = """
import pytest
from tests.broker.fixtures import kafka, pytest_runtest_setup, pytest_terminal_summary
__all__ = ["kafka", "pytest_runtest_setup", "pytest_terminal_summary"]
"""
_BROKER_TESTS = """
import pytest

@pytest.mark.broker
def test_delivery(kafka): raise AssertionError

@pytest.mark.broker
def test_restart(): raise AssertionError

def test_pure(): pass
"""


@pytest.fixture
def maven_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each call of a Maven that makes one jar, then ends with `RESULT` (0)."""
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(_MAVEN)
    program.chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COUNT", str(calls))
    monkeypatch.setenv("RESULT", "0")
    return calls


def test_jars_are_fetched_once(tmp_path: Path, maven_calls: Path) -> None:
    """The first call fetches, the second finds the stamp."""
    folder = tmp_path / "kafka" / "libs"

    assert folder == jars.fetch(folder)
    assert folder == jars.fetch(folder)
    assert str(folder / "kafka_2.13-4.0.0.jar") == jars.classpath(folder)
    assert 1 == len(maven_calls.read_text().splitlines())


def test_failed_fetch_does_not_look_finished(
    tmp_path: Path, maven_calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch that fails half-way leaves nothing, and the next one starts anew."""
    folder = tmp_path / "kafka" / "libs"
    monkeypatch.setenv("RESULT", "1")
    with pytest.raises(jars.FetchError, match="exit code 1"):
        jars.fetch(folder)
    assert ["libs.lock"] == [path.name for path in folder.parent.iterdir()]

    monkeypatch.setenv("RESULT", "0")
    assert folder == jars.fetch(folder)
    assert 2 == len(maven_calls.read_text().splitlines())


def test_jars_of_another_pom_are_replaced(tmp_path: Path, maven_calls: Path) -> None:
    """A directory whose stamp is of another pom, or that has none, is fetched again as a whole."""
    folder = tmp_path / "kafka" / "libs"
    jars.fetch(folder)
    (folder / "old.jar").touch()
    (folder / "pom.sha256").write_text("0" * 64)
    jars.fetch(folder)

    assert not (folder / "old.jar").exists()
    assert 2 == len(maven_calls.read_text().splitlines())


def test_archive_is_made_once_for_a_java_and_a_directory(tmp_path: Path) -> None:
    """The archive is made at the first start, and again where the Java has changed; the old one goes."""
    java, libs = tmp_path / "java", tmp_path / "libs"
    libs.mkdir()
    java.write_text("17")
    made: list[Path] = []

    def rehearse(part: Path) -> None:
        made.append(part)
        part.touch()

    first = archive.options(java, libs, rehearse)
    assert first == archive.options(java, libs, rehearse)
    assert 1 == len(made)

    java.write_text("17.1")
    [second] = archive.options(java, libs, rehearse)
    assert [second.partition("=")[2]] == [str(path) for path in libs.iterdir()]
    assert 2 == len(made)


def test_java_that_makes_no_archive_is_asked_once(tmp_path: Path) -> None:
    """Without a result there is an empty archive, which the JVM passes over."""
    libs = tmp_path / "libs"
    libs.mkdir()
    made: list[Path] = []
    java = Path(sys.executable)

    assert archive.options(java, libs, made.append) == archive.options(java, libs, made.append)
    assert 1 == len(made)


def _run_broker_tests(folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    """Run two delivery tests and a pure one on a machine without Java."""
    (folder / "conftest.py").write_text(_TESTS)
    (folder / "test_some.py").write_text(_BROKER_TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    broker\n")
    env = {"PATH": str(folder), "CI": ci, "PYTHONPATH": str(jars.REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", str(folder)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_without_java_delivery_tests_are_skipped_by_name(tmp_path: Path) -> None:
    """The run passes, and its end names and counts what was not tested."""
    done = _run_broker_tests(tmp_path, "")

    assert 0 == done.returncode, done.stdout
    assert "1 passed, 2 skipped" in done.stdout
    assert "skipped: test_some.py::test_delivery" in done.stdout
    assert "2 delivery tests skipped, no Java: java is neither in JAVA_HOME nor on the PATH" in done.stdout


def test_without_java_delivery_tests_fail_in_ci(tmp_path: Path) -> None:
    """With `CI=true` missing Java is a failure of every test that needs it."""
    done = _run_broker_tests(tmp_path, "true")

    assert 1 == done.returncode, done.stdout
    assert "1 passed, 2 errors" in done.stdout
    assert "no Java: java is neither in JAVA_HOME nor on the PATH (CI=true" in done.stdout

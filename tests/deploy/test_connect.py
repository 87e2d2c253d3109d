"""The samples of deploy/connect: parsed, held to what their readers know, and run where that can be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from logstash_pipeline_parser import Pipeline  # type: ignore[import-untyped]  # it ships no types

from app.core.source_format import SOURCE_FORMATS
from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import PACKAGED_RULES, Settings
from app.tools.replay import replay_files
from tests.broker import jars
from tests.deploy.alerts_template import TEMPLATE

CONNECT: Final = Path(__file__).parents[2] / "deploy" / "connect"
GUIDE: Final = CONNECT.parent / "CONNECT.md"
JAVA: Final = Path(__file__).parent / "connect"

# libbeat/outputs/kafka/config.go of elastic/beats, and what libbeat reads beside it.
_BEATS_KEYS: Final = {
    *("hosts", "ssl", "kerberos", "timeout", "metadata", "key", "partition", "keep_alive", "max_message_bytes"),
    *("required_acks", "broker_timeout", "compression", "compression_level", "version", "bulk_max_size"),
    *("bulk_flush_frequency", "max_retries", "client_id", "channel_buffer_size", "username", "password", "codec"),
    *("sasl", "topic", "topics", "headers", "enabled", "type"),
}
_BEATS_COMPRESSION: Final = {"none", "gzip", "lz4", "snappy"}


def _pipeline(name: str) -> dict[str, list[Any]]:
    """A Logstash pipeline's sections."""
    return dict(Pipeline((CONNECT / name).read_text()).parse())


def _plugins(section: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    """The plugins of a section with their settings, those below conditions as well."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name, content in section:
        if name in ("if", "else", "else if"):
            branches = content if name == "else" else content[1]
            while branches and isinstance(branches[0][0], list):
                branches = [plugin for branch in branches for plugin in branch]
            found += _plugins(branches)
        else:
            found.append((name, {key: value[0] if len(value) == 1 else value for key, value in content}))
    return found


def _beats_output(output: dict[str, Any]) -> None:
    """What both ways of writing a Beats output for Kafka must say."""
    assert {key.split(".")[0] for key in output} <= _BEATS_KEYS
    assert "process-events" == output["topic"]
    assert output["compression"] in _BEATS_COMPRESSION
    assert -1 == output["required_acks"]
    assert output["max_message_bytes"] <= Settings.model_fields["source_max_bytes"].default
    # A Kafka 4 takes nothing older.
    assert (2, 1) <= tuple(map(int, output["version"].split(".")))[:2]


def test_elastic_agent_hashes_by_host_and_writes_json() -> None:
    """The standalone agent's output has keys that Beats knows."""
    output = yaml.safe_load((CONNECT / "elastic-agent.yaml").read_text())["outputs"]["default"]

    assert "kafka" == output["type"]
    _beats_output(output)
    assert {"hash": {"hash": ["host.id"], "random": True}} == output["partition"]
    assert {"json": {"pretty": False, "escape_html": False}} == output["codec"]


def test_fleet_output_says_the_same_as_the_standalone_agent() -> None:
    """Both ways of setting up an agent give the same records."""
    output = yaml.safe_load((CONNECT / "elastic-agent.yaml").read_text())["outputs"]["default"]
    fleet = json.loads((CONNECT / "fleet-output.json").read_bytes())

    for key in ("type", "hosts", "version", "topic", "compression", "required_acks", "username"):
        assert output[key] == fleet[key], key
    assert ("hash", {"hash": "host.id", "random": True}) == (fleet["partition"], fleet["hash"])
    assert output["sasl"] == fleet["sasl"]


def test_filebeat_parses_lines_and_hashes_by_host() -> None:
    """Its keys may be dotted; without the parser lines would stand in `message`."""
    document = yaml.safe_load((CONNECT / "filebeat.yaml").read_text())
    output = document["output.kafka"]

    _beats_output(output)
    assert {"hash": ["host.id"], "random": True} == output["partition.hash"]
    assert {"pretty": False, "escape_html": False} == output["codec.json"]
    assert [{"ndjson": {"target": "", "overwrite_keys": True, "expand_keys": True}}] == document["filebeat.inputs"][0][
        "parsers"
    ]


def test_logstash_forwards_events_as_json() -> None:
    """The codec is said, since the default one writes no JSON; records are keyed by host."""
    ((name, kafka),) = _plugins(_pipeline("logstash-events.conf")["output"])

    assert "kafka" == name
    assert "json" == kafka["codec"]
    assert "%{[host][id]}" == kafka["message_key"]
    assert ("process-events", "all", "lz4") == (kafka["topic_id"], kafka["acks"], kafka["compression_type"])
    assert kafka["max_request_size"] <= Settings.model_fields["source_max_bytes"].default


def test_logstash_forwards_lines_as_they_are() -> None:
    """The plain codec writes the line alone, which is then the event."""
    ((_, kafka),) = _plugins(_pipeline("logstash-lines.conf")["output"])

    assert ["plain", [["format", ["%{message}"]]]] == kafka["codec"]


def test_logstash_makes_one_document_of_an_alert() -> None:
    """Its id is the alert's, found by a key with dots; what comes again is left alone; the index is the template's."""
    sections = _pipeline("logstash-alerts.conf")
    ((_, source),) = _plugins(sections["input"])
    plugins = dict(_plugins(sections["output"]))
    elasticsearch = plugins["elasticsearch"]

    assert [["eximwatch.alerts"]] == [source["topics"]]
    assert "[kibana.alert.uuid]" in str(sections["output"][0])
    assert "%{[kibana.alert.uuid]}" == elasticsearch["document_id"]
    assert "create" == elasticsearch["action"]
    assert _has_template(elasticsearch["index"])
    assert {"elasticsearch", "file"} == set(plugins)


def test_the_connector_writes_where_the_template_is() -> None:
    """Its topic is the default one, and its index has the template."""
    config = _connector()

    assert "eximwatch.alerts" == config["topics"]
    assert re.fullmatch(config["transforms.index.regex"], config["topics"])
    assert _has_template(config["transforms.index.replacement"])
    assert {key.split(".")[1] for key in config if key.startswith("transforms.")} == set(
        config["transforms"].split(",")
    )


def test_the_connector_makes_the_alerts_id_the_documents(tmp_path: Path) -> None:
    """Kafka Connect's own converter and transforms: the key is the uuid, the topic the index, the document whole."""
    engine = build_engine(
        load_rules([PACKAGED_RULES]), max_alert_bytes=1_000_000, max_future_skew="5m", alert_from=None, learn_until=None
    )
    recording = Path(__file__).parents[1] / "recordings" / "events.ndjson"
    alerts, _, _ = replay_files(engine, [str(recording)], 2_000_000_000 * 10**9)
    (tmp_path / "alerts.ndjson").write_bytes(b"\n".join(alerts))
    properties = "\n".join(f"{key}={value}" for key, value in _connector().items())
    (tmp_path / "connector.properties").write_text(properties)
    command = [str(_java()), "-cp", f"{_libs()}{os.sep}*", str(JAVA / "Transforms.java")]
    done = subprocess.run(
        [*command, "connector.properties", "alerts.ndjson"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    made = [line.split(" ", 2) for line in done.stdout.splitlines()]
    documents = list(map(json.loads, alerts))
    assert 20 == len(documents)
    assert [["eximwatch-alerts", document["kibana.alert.uuid"]] for document in documents] == [one[:2] for one in made]
    assert documents == [json.loads(one[2]) for one in made]


def test_the_guide_names_every_sample_and_both_source_formats() -> None:
    """What is not named there is not found."""
    guide = GUIDE.read_text()

    for sample in CONNECT.iterdir():
        if sample.is_file():
            assert f"connect/{sample.name}" in guide, sample.name
    for name in SOURCE_FORMATS:
        assert f"`{name}`" in guide


def _has_template(index: str) -> bool:
    (pattern,) = json.loads(TEMPLATE.read_bytes())["index_patterns"]
    return index.startswith(pattern.rstrip("*"))


def _connector() -> dict[str, str]:
    document: dict[str, Any] = json.loads((CONNECT / "kafka-connect-elasticsearch.json").read_bytes())
    config: dict[str, str] = document["config"]
    return config


def _java() -> Path:
    try:
        return jars.java()
    except jars.NoJavaError as missing:
        pytest.skip(str(missing))


def _libs() -> Path:
    """Kafka Connect's jars, fetched once by Maven."""
    folder = jars.REPOSITORY / ".kafka" / "connect"
    done = folder / "complete"
    if not done.exists() and shutil.which("mvn") is None:
        pytest.skip("no Java: mvn is not on the PATH, and Kafka Connect's jars have not been fetched yet")
    with jars.locked(folder):
        if not done.exists():
            command = ["mvn", "-q", "-B", "-f", str(JAVA / "pom.xml"), "dependency:copy-dependencies"]
            subprocess.run([*command, f"-DoutputDirectory={folder}"], check=True, timeout=600, capture_output=True)
            done.touch()
    return folder

"""The alerts' index template has a fitting type for every field that is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import PACKAGED_RULES
from app.tools.replay import replay_files
from tests.deploy.alerts_template import TEMPLATE, declared, fits, leaves, mappings, schema_fields
from tests.scenarios.core import play
from tests.scenarios.scenario import load_all
from tests.schemas import SCHEMAS, schema_of

_RECORDING = Path(__file__).parents[1] / "recordings" / "events.ndjson"
_TAKEN_AT = 2_000_000_000 * 10**9

# What only a rule or an event knows the names of: any field may stand below.
_FLATTENED = {"detector.term", "detector.clauses.values", "detector.clauses.omitted", "kibana.alert.rule.parameters"}
# The event's own objects: the schema names them, and leaves open what stands in them.
_OPEN = {"process", "host", "user", "event", "data_stream", "agent", "ecs"}
_KINDS = {"integer": {"long", "float"}, "boolean": {"boolean"}, "string": {"keyword", "text", "date", "date_nanos"}}


def _unfit(document: dict[str, Any]) -> list[tuple[str, object, str | None]]:
    """Fields without a declared type, or with one that their value does not fit."""
    found = ((path, value, declared(path)) for path, value in leaves(document) if value is not None)
    return [(path, value, kind) for path, value, kind in found if kind is None or not fits(kind, value)]


def test_every_field_of_the_schema_is_mapped() -> None:
    """Ours and those of the event that the schema names; times as times, numbers as numbers."""
    fields = dict(schema_fields(schema_of("alert.schema.json")))
    assert len(fields) > 80
    for path, node in fields.items():
        kind = declared(path)
        if kind == "flattened" or ("type" not in node and path in _OPEN):
            continue
        assert kind is not None, path
        wanted = node.get("type") or ("integer" if isinstance(node.get("const"), int) else "string")
        assert kind in _KINDS[wanted] or path == "kibana.alert.rule.version", path
        if node.get("format") == "date-time":
            assert kind.startswith("date"), path


def test_what_rules_and_events_name_is_flattened() -> None:
    """Any number of names below costs one field, and no name can be of the wrong type."""
    assert _FLATTENED == {path for path in _FLATTENED if declared(path) == "flattened"}


def test_recorded_alerts_fit() -> None:
    """Every field of every alert of the recorded exim4, and of the schema's example, has a type that takes it."""
    engine = build_engine(
        load_rules([PACKAGED_RULES]), max_alert_bytes=1_000_000, max_future_skew="5m", alert_from=None, learn_until=None
    )
    alerts, _, _ = replay_files(engine, [str(_RECORDING)], _TAKEN_AT)
    assert 20 == len(alerts)
    for alert in (*alerts, (SCHEMAS / "examples" / "alert.valid.json").read_bytes()):
        assert [] == _unfit(json.loads(alert))


def test_alerts_of_all_scenarios_fit(tmp_path: Path) -> None:
    """Also those of terms that came back, of leaders and of programs that took another's place."""
    alerts = [alert.document for scenario in load_all() for alert in play(scenario.events, tmp_path)]
    assert len(alerts) > 50
    for alert in alerts:
        assert [] == _unfit(alert)


def test_an_unfit_value_is_found_out() -> None:
    """The check itself: a time in words, a number in a field of another kind, an unknown field."""
    unfit = {"@timestamp": "yesterday", "process": {"pid": "7", "nowhere": 1}, "detector": {"clock": {"time": 1}}}

    assert ["@timestamp", "process.pid", "process.nowhere", "detector.clock.time"] == [one[0] for one in _unfit(unfit)]


@pytest.mark.parametrize("kind", ["string", "long", "double", "boolean"])
def test_what_is_not_declared_is_a_keyword(kind: str) -> None:
    """No value of an event decides what the next one must be: numbers and texts may stand in one field."""
    found = [one for template in mappings()["dynamic_templates"] for one in template.values()]

    assert {"type": "keyword", "ignore_above": 8191} in [
        one["mapping"] for one in found if one["match_mapping_type"] == kind
    ]
    assert mappings()["date_detection"] is False


def test_no_value_of_an_event_refuses_a_document_by_its_form() -> None:
    """Numbers, times and addresses that are none are left out of the index; keywords are cut off below the limit."""

    def walk(node: dict[str, Any], path: str = "") -> None:
        for name, field in node.get("properties", {}).items():
            own = f"{path}.{name}".lstrip(".")
            if not own.startswith(("detector", "kibana.alert")) or "original_event" in own:
                if field.get("type") in ("long", "date", "date_nanos", "ip", "float") and own != "@timestamp":
                    assert field["ignore_malformed"] is True, own
                assert field.get("type") != "boolean", own
            if field.get("type") == "keyword" and field.get("doc_values", True):
                # Lucene takes 32,766 bytes; a character has at most four.
                assert field["ignore_above"] * 4 <= 32_766, own
            walk(field, own)

    walk(mappings())
    assert TEMPLATE.stat().st_size < 100_000

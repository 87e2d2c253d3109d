"""The dashboard is one that Grafana takes: places, units, thresholds, words and links of every panel."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.deploy import drawing
from tests.deploy.dashboard import Range, Series, load, panels
from tests.deploy.monitoring import alarms

KINDS = {"row", "stat", "timeseries", "table"}
DASHBOARD = load()
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

shown_panels = pytest.mark.parametrize(
    "panel", [panel for panel in panels(DASHBOARD) if panel["type"] != "row"], ids=lambda panel: panel["title"]
)


def test_the_dashboard_has_what_grafana_needs() -> None:
    """A fixed uid for links, the schema that Grafana 10 and later read, and no id of one database."""
    assert "eximwatch-overview" == DASHBOARD["uid"]
    assert 39 == DASHBOARD["schemaVersion"]
    assert "id" not in DASHBOARD
    assert ["datasource", "job", "instance", "runbook"] == [each["name"] for each in DASHBOARD["templating"]["list"]]


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    """The grid is 24 wide; every cell belongs to at most one panel."""
    found = panels(DASHBOARD)
    assert len(found) == len({panel["id"] for panel in found})
    cells = list(itertools.chain.from_iterable(_cells(panel["gridPos"]) for panel in found))
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    columns = range(place["x"], place["x"] + place["w"])
    return list(itertools.product(columns, range(place["y"], place["y"] + place["h"])))


@shown_panels
def test_every_panel_explains_itself(panel: dict[str, Any]) -> None:
    """It has a known kind, a title, a description in sentences, a unit and queries of the chosen data source."""
    assert panel["type"] in KINDS
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert DATA_SOURCE == panel["datasource"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert len(panel["targets"]) == len({target["refId"] for target in panel["targets"]})
    for target in panel["targets"]:
        assert DATA_SOURCE == target["datasource"]
        assert target["instant"] is not target["range"]


@shown_panels
def test_thresholds_begin_at_the_bottom_and_rise(panel: dict[str, Any]) -> None:
    """The first has no value, as Grafana wants it; a stat has more than one, else its colour says nothing."""
    first, *rest = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert first is None
    assert sorted(rest) == rest
    assert rest or panel["type"] != "stat"


def test_links_lead_to_entries_of_the_runbook() -> None:
    """Every link is the runbook or an entry in it; and every alarm is linked from a panel that shows its symptom."""
    found = {link["url"] for panel in panels(DASHBOARD) for link in panel.get("links", ())}
    entries = {f"${{runbook}}#{alarm.name.lower()}" for alarm in alarms()}
    assert entries == found - {"${runbook}", "${runbook}#first-five-minutes"}
    assert ["${runbook}"] == [link["url"] for link in DASHBOARD["links"]]


def test_the_page_shows_values_units_and_gaps() -> None:
    """A stat its value in the threshold's colour, a line with a gap in two pieces, a table one row for equal labels."""
    lag, lines, places = (_titled(title) for title in ("Lag: the worst", "Memory", "Where each"))
    labels = {"topic": "t", "partition": "3", "instance": "w<1>", "job": "eximwatch"}
    drawn, (width, _) = drawing.page(
        "Eximwatch",
        [
            drawing.Panel(lag, (Series("A", {}, "", ((100.0, 400.0),)),)),
            drawing.Panel(lines, (Series("A", {}, "w1", ((10.0, 2.0**30), (11.0, 2.0**30), (90.0, 2.0**20))),)),
            drawing.Panel(places, tuple(Series(ref, labels, "", ((100.0, 7.0),)) for ref in "ABC")),
        ],
        Range(100.0, 100.0),
    )
    assert 24 * 62 + 6 == width
    assert "#c4162a" in drawn
    assert "6.67 min" in drawn
    assert "1 GiB" in drawn
    assert 2 == drawn.count("<polyline")
    assert "<td>t</td><td>3</td><td>w&lt;1&gt;</td><td>7</td><td>7</td><td>7</td>" in drawn


def _titled(start: str) -> dict[str, Any]:
    (panel,) = [panel for panel in panels(DASHBOARD) if panel["title"].startswith(start)]
    return panel

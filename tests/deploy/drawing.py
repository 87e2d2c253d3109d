"""Draws panels of a dashboard as HTML and SVG, in the dashboard's own layout. Enough to look at; no Grafana."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

from tests.deploy.dashboard import Range, Series, finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CELL: Final = (62, 38)
_GAP: Final = 6
_MARGIN: Final = (58, 18)
_LEGENDS: Final = 6
_COLOURS: Final = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#ffb357", "#96d98d")
_NAMED: Final = {"green": "#37872d", "yellow": "#c9a60a", "orange": "#e0752d", "red": "#c4162a"}
_STYLE: Final = """
body { background: #111217; color: #d8d9da; font: 12px 'DejaVu Sans', sans-serif; margin: 0 }
.panel { position: absolute; box-sizing: border-box; background: #181b1f; border: 1px solid #2c3235; overflow: hidden }
.panel b { display: block; padding: 4px 6px; font-size: 11px; font-weight: 600; white-space: nowrap }
.row { position: absolute; padding: 10px 6px; font-size: 14px }
.stat { display: flex; justify-content: space-evenly; align-items: center; height: 70%; font-size: 26px }
.stat span + span { margin-left: 4px } .stat small, .none { display: block; font-size: 11px; color: #ccc }
.none { padding: 20px; text-align: center } .legend { font-size: 10px; padding: 0 6px }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: 2px 8px; font-size: 11px }
th { color: #6e9fff } tr { border-bottom: 1px solid #2c3235 }
"""
_STEPS: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTE_STEPS: Final = ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"))


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel as the dashboard has it, and what its queries answered."""

    document: dict[str, Any]
    series: tuple[Series, ...]


def page(title: str, panels: Iterable[Panel], shown: Range) -> tuple[str, tuple[int, int]]:
    """The whole page, and its width and height."""
    drawn, height = [], 0
    for panel in panels:
        place = panel.document["gridPos"]
        height = max(height, place["y"] + place["h"])
        drawn.append(_panel(panel, shown))
    size = (24 * _CELL[0] + _GAP, height * _CELL[1] + _GAP)
    body = "\n".join(drawn)
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>\n", size


def amount(value: float, unit: str) -> str:
    """A value with its unit, as short as a panel wants it."""
    if not math.isfinite(value):
        return str(value)
    if unit == "bool_yes_no":
        return "yes" if value else "no"
    if unit == "s":
        return _seconds(value)
    if unit == "percentunit":
        return f"{100 * value:.0f} %"
    if unit in {"bytes", "Bps"}:
        return _scaled(value, _BYTE_STEPS, " B") + ("/s" if unit == "Bps" else "")
    if unit == "locale":
        return f"{value:,.0f}"
    return _scaled(value, _STEPS, "") + ("/s" if unit == "ops" else "")


def _seconds(value: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{1000 * value:.3g} ms"


def _scaled(value: float, steps: Iterable[tuple[float, str]], rest: str) -> str:
    for size, name in steps:
        if abs(value) >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}{rest}"


def _panel(panel: Panel, shown: Range) -> str:
    document, place = panel.document, panel.document["gridPos"]
    left, top = place["x"] * _CELL[0] + _GAP, place["y"] * _CELL[1] + _GAP
    width, height = place["w"] * _CELL[0] - _GAP, place["h"] * _CELL[1] - _GAP
    title = escape(document["title"])
    where = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
    if document["type"] == "row":
        return f"<div class='row' style='{where}'>▾ {title}</div>"
    if document["type"] == "stat":
        inner, colour = _stat(panel)
        where += f";background:{colour}"
    elif not any(map(finite, panel.series)):
        inner = "<div class='none'>No data</div>"
    else:
        inner = _table(panel) if document["type"] == "table" else _lines(panel, shown, width, height - 26)
    return f"<div class='panel' style='{where}'><b>{title}</b>{inner}</div>"


def _stat(panel: Panel) -> tuple[str, str]:
    defaults = panel.document["fieldConfig"]["defaults"]
    values = [(series.legend, series.points[-1][1]) for series in panel.series if finite(series)]
    if not values:
        return f"<div class='none'>{escape(defaults.get('noValue', 'No data'))}</div>", "#3d3d3d"
    shown = "".join(
        f"<span>{amount(value, defaults['unit'])}<small>{escape(name)}</small></span>" for name, value in values
    )
    colours = [step["color"] for step in _passed(defaults["thresholds"]["steps"], max(value for _, value in values))]
    return f"<div class='stat'>{shown}</div>", _NAMED[colours[-1]]


def _passed(steps: Iterable[dict[str, Any]], value: float) -> list[dict[str, Any]]:
    return [step for step in steps if step["value"] is None or value >= step["value"]]


def _table(panel: Panel) -> str:
    """Rows with the same labels in one, columns in the order and by the names that the panel gives."""
    (organize,) = [step["options"] for step in panel.document["transformations"] if step["id"] == "organize"]
    several = len(panel.document["targets"]) > 1
    rows: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for series in panel.series:
        labels = {name: value for name, value in series.labels.items() if name != "__name__"}
        row = rows.setdefault(tuple(sorted(labels.items())), dict(labels))
        row[f"Value #{series.query}" if several else "Value"] = f"{series.points[-1][1]:,.6g}"
    hidden, order, names = organize["excludeByName"], organize["indexByName"], organize["renameByName"]
    found = {column for row in rows.values() for column in row if not hidden.get(column)}
    columns = sorted(found, key=lambda column: (order.get(column, len(order)), column))
    head = "".join(f"<th>{escape(names.get(column, column))}</th>" for column in columns)
    lines = sorted([row.get(column, "") for column in columns] for row in rows.values())
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><tr>{head}</tr>{body}</table>"


def _lines(panel: Panel, shown: Range, width: int, height: int) -> str:
    defaults = panel.document["fieldConfig"]["defaults"]
    unit, steps = defaults["unit"], defaults["thresholds"]["steps"]
    series = [one for one in panel.series if finite(one)]
    values = [value for one in series for _, value in finite(one)]
    low, high = min(0.0, *values, 0.0), max(values)
    high = high if high > low else low + 1
    height -= 14 * (1 + (len(series) > _LEGENDS // 2))
    inner = (width - _MARGIN[0] - 8, height - _MARGIN[1] - 4)

    def at(point: tuple[float, float]) -> str:
        x = _MARGIN[0] + inner[0] * (point[0] - shown.end + shown.seconds) / shown.seconds
        return f"{x:.1f},{4 + inner[1] * (1 - (point[1] - low) / (high - low)):.1f}"

    parts = []
    for share in (0.0, 0.5, 1.0):
        value, y = low + share * (high - low), 4 + inner[1] * (1 - share)
        parts.append(f"<path d='M{_MARGIN[0]},{y:.1f}h{inner[0]}' stroke='#2c3235'/>")
        parts.append(f"<text x='{_MARGIN[0] - 4}' y='{y + 4:.1f}' text-anchor='end'>{amount(value, unit)}</text>")
        clock = datetime.datetime.fromtimestamp(shown.end - shown.seconds * (1 - share), datetime.UTC)
        anchor = ("start", "middle", "end")[round(2 * share)]
        x = _MARGIN[0] + inner[0] * share
        parts.append(f"<text x='{x:.0f}' y='{height - 4}' text-anchor='{anchor}'>{clock:%H:%M:%S}</text>")
    for step in steps[1:]:
        if low <= step["value"] <= high:
            start = at((shown.end - shown.seconds, step["value"]))
            parts.append(f"<path d='M{start}h{inner[0]}' stroke='{_NAMED[step['color']]}' stroke-dasharray='4'/>")
    for number, one in enumerate(series):
        colour = _COLOURS[number % len(_COLOURS)]
        for run in _unbroken(finite(one), 2.5 * shown.seconds / 120):
            parts.append(
                f"<polyline points='{' '.join(map(at, run))}' fill='none' stroke='{colour}' stroke-width='1.5'/>"
            )
            parts += [f"<circle cx='{x}' cy='{y}' r='1.5' fill='{colour}'/>" for x, y in [at(run[-1]).split(",")]]
    legend = "  ".join(
        f"<span style='color:{_COLOURS[number % len(_COLOURS)]}'>■</span> {escape(one.legend)}"
        for number, one in enumerate(series[:_LEGENDS])
    )
    more = f" … {len(series) - _LEGENDS} more" if len(series) > _LEGENDS else ""
    return (
        f"<svg width='{width}' height='{height}' font-size='9' fill='#9fa7b3'>{''.join(parts)}</svg>"
        f"<div class='legend'>{legend}{more}</div>"
    )


def _unbroken(points: Sequence[tuple[float, float]], gap: float) -> list[list[tuple[float, float]]]:
    """Points in runs: where nothing was scraped there is no line."""
    runs: list[list[tuple[float, float]]] = []
    for point in points:
        if not runs or point[0] - runs[-1][-1][0] > max(gap, 2.0):
            runs.append([])
        runs[-1].append(point)
    return runs

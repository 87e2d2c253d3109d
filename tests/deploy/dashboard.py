"""The dashboard without Grafana: its panels, their queries asked of a Prometheus, and a page that shows the answers.

Also a command: `python -m tests.deploy.dashboard --prometheus http://127.0.0.1:9090 --out overview.html`. A headless
browser makes a picture of the page; its size stands in the command's output.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.broker.jars import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OVERVIEW: Final = REPOSITORY / "deploy" / "grafana" / "overview.json"

_POINTS: Final = 120
_ANSWER_S: Final = 30.0

Point = tuple[float, float]


class QueryError(Exception):
    """Prometheus refused a query or could not be reached; the message has the query and what it said."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of an answer: the query's letter, its labels, what the legend calls it, and (time, value) pairs."""

    query: str
    labels: dict[str, str]
    legend: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """What is shown: the end and the length, in seconds, and the window of rates, as Grafana would choose it."""

    end: float
    seconds: float
    rate: str = "1m"


def load(path: Path = OVERVIEW) -> dict[str, Any]:
    """The dashboard's document."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """All panels with their rows, in the order of the file."""
    return list(dashboard["panels"])


def expression(text: str, job: str = "eximwatch", instance: str = ".*", rate: str = "1m") -> str:
    """A query with the dashboard's variables put in."""
    for name, value in (("$__rate_interval", rate), ("$job", job), ("$instance", instance)):
        text = text.replace(name, value)
    return text


def answers(prometheus: str, panel: dict[str, Any], shown: Range) -> Iterator[Series]:
    """Ask all queries of a panel.

    Raises:
        QueryError: One was refused.
    """
    for target in panel.get("targets", ()):
        query = expression(target["expr"], rate=shown.rate)
        if target["instant"]:
            found = _ask(prometheus, "query", query=query, time=shown.end)
        else:
            start, step = shown.end - shown.seconds, max(1, round(shown.seconds / _POINTS))
            found = _ask(prometheus, "query_range", query=query, start=start, end=shown.end, step=step)
        for series in found:
            labels = series["metric"]
            pairs = series["values"] if "values" in series else [series["value"]]
            points = tuple((float(at), float(value)) for at, value in pairs)
            yield Series(target["refId"], labels, _legend(target["legendFormat"], labels), points)


def finite(series: Series) -> tuple[Point, ...]:
    """Its points that are numbers: a rate of nothing over nothing is none."""
    return tuple(point for point in series.points if math.isfinite(point[1]))


def _legend(form: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form


def _ask(prometheus: str, what: str, **parameters: object) -> list[dict[str, Any]]:
    url = f"{prometheus}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result
    except urllib.error.HTTPError as error:
        told = json.loads(error.read()).get("error", error.reason)
        raise QueryError(f"{parameters['query']}: {told}") from None
    except OSError as error:
        raise QueryError(f"{prometheus} does not answer: {error}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the dashboard as it is now; returns the exit code."""
    from tests.deploy import drawing

    parser = argparse.ArgumentParser(prog="python -m tests.deploy.dashboard", description=main.__doc__)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--out", type=Path, default=Path("overview.html"), metavar="FILE")
    parser.add_argument("--minutes", type=float, default=15.0, help="how far back; default: %(default)s")
    given = parser.parse_args(arguments)
    shown = Range(time.time(), 60 * given.minutes)
    dashboard = load()
    try:
        drawn = [drawing.Panel(panel, tuple(answers(given.prometheus, panel, shown))) for panel in panels(dashboard)]
    except QueryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    page, (width, height) = drawing.page(dashboard["title"], drawn, shown)
    given.out.write_text(page, encoding="utf-8")
    print(f"chromium --headless --no-sandbox --window-size={width},{height} --screenshot=overview.png {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

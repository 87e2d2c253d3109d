"""The tables of a run, in Markdown: for the terminal and for the README the same."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from tests.bench.contenders import WORKER, WORKER_PLAIN
from tests.bench.options import CODECS, HEADLINE_RATE, HEADLINE_SIZE, is_headline
from tests.bench.results import MAIL_SERVER, Cell, MatchCost, Results, Span, WorkerCount
from tests.bench.surroundings import QUIET
from tests.bench.targets import FLOOR, TARGETS

NO_FIGURE = "–"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its columns of even width."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    padded.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(padded)


def headline(results: Results) -> str:
    """Every contender in every codec: events/s, CPU an event, peak memory; the floor last."""
    cells = _headline_cells(results)
    if not cells:
        return ""
    names = dict.fromkeys(m.contender for m in results.measurements if m.cell in cells)
    rows = [[name, *(_figures(results, name, cell) for cell in cells)] for name in names]
    rows.append([f"{FLOOR}: CRC, inflate, search", *(_floor(results, cell) for cell in cells)])
    return markdown(["k events/s · CPU µs an event · peak MB", *(cell.codec for cell in cells)], rows)


def ratios(results: Results) -> str:
    """The worker against each of the others, with what was asked for."""
    cells = _headline_cells(results)
    if not cells:
        return ""
    rows = []
    for target in TARGETS:
        row = [f"{target.against}, {'CPU an event' if target.cpu else 'events/s'}"]
        for cell in cells:
            ratio = _ratio(results, target.against, cell, cpu=target.cpu)
            must, aim = target.by_codec[cell.codec]
            row.append(NO_FIGURE if ratio is None else f"{ratio:.2f} × (must {must:g}, aim {aim:g})")
        rows.append(row)
    return markdown(["the worker against", *(cell.codec for cell in cells)], rows)


def others(results: Results) -> str:
    """The worker with and without the sieve over other sizes and rates."""
    cells = dict.fromkeys(m.cell for m in results.measurements if not is_headline(m.cell))
    rows = [
        [str(cell), _figures(results, WORKER, cell), _figures(results, WORKER_PLAIN, cell), _floor(results, cell)]
        for cell in cells
    ]
    return markdown(["events", WORKER, WORKER_PLAIN, FLOOR], rows) if rows else ""


def corpora(results: Results) -> str:
    """What the topics were really like."""
    rows = [
        [str(c.cell), f"{c.events:,}", f"{c.mean_bytes:,.0f}", f"{c.batch_records:.1f}", f"{c.ratio:.1f}"]
        for c in results.corpora
    ]
    return markdown(["topic", "events", "bytes an event", "records a batch", "compressed by"], rows) if rows else ""


def rest(results: Results) -> str:
    """Cost of a match, workers, latency, TLS."""
    rows: list[list[str]] = []
    for kind in dict.fromkeys(cost.kind for cost in results.match_costs):
        costs = [cost for cost in results.match_costs if cost.kind == kind]
        cpu, wall = _middle(costs, lambda s: s.cpu_us), _middle(costs, lambda s: s.seconds / s.events * 1e6)
        what = _said(costs) if cpu is None or wall is None else f"{cpu:,.0f} µs of CPU, {wall:,.0f} µs of wall time"
        title = "an event of a mail server" if kind == MAIL_SERVER else f"a match through both steps, {kind} term"
        rows.append([title, what])
    for count, tls in dict.fromkeys((found.workers, found.tls) for found in results.workers):
        found = [entry for entry in results.workers if (entry.workers, entry.tls) == (count, tls)]
        rate, cpu = _middle(found, lambda s: s.rate / 1000), _middle(found, lambda s: s.cpu_us)
        what = _said(found) if rate is None or cpu is None else f"{rate:,.0f} k events/s, {cpu:.2f} µs of CPU an event"
        rows.append([f"{count} worker{'s' if count > 1 else ''}, lz4{', TLS' if tls else ''}", what])
    if results.latency:
        late = results.latency
        rows.append(
            [
                f"produce → alert at {late.background:,.0f} other events/s, {late.matches} new terms",
                f"p50 {late.p50_ms:.1f} ms, p99 {late.p99_ms:.1f} ms, max {late.max_ms:.1f} ms; "
                f"the worker takes {late.worker_cpu_share:.0%} of a core",
            ]
        )
    rows += [[f"{part} failed", why] for part, why in results.failures.items()]
    return markdown(["also", "figure"], rows)


def facts(results: Results) -> str:
    """The machine and the versions, in two sentences."""
    machine = ", ".join(f"{name}: {value}" for name, value in results.machine.items())
    versions = ", ".join(f"{name} {value}" for name, value in results.versions.items())
    return f"{machine}.\n{versions}.\n{quiet(results)}"


def quiet(results: Results) -> str:
    """Whether the machine was ours."""
    others = results.others
    if not others:
        return ""
    median = statistics.median(others)
    said = f"Other processes took {median:.0%} of the cores (median of runs; at most {max(others):.0%})."
    if median > QUIET:
        return f"{said} **The machine was not quiet: events/s mean nothing, CPU figures little.**"
    return said


def _headline_cells(results: Results) -> list[Cell]:
    cells = [Cell(codec, HEADLINE_SIZE, HEADLINE_RATE) for codec in CODECS]
    return [cell for cell in cells if any(m.cell == cell for m in results.measurements)]


def _figures(results: Results, contender: str, cell: Cell) -> str:
    rate = results.median(contender, cell, lambda span: span.rate / 1000)
    cpu = results.median(contender, cell, lambda span: span.cpu_us)
    rss = results.median(contender, cell, lambda span: span.peak_rss / 1e6)
    if rate is None or cpu is None or rss is None:
        error = results.error(contender, cell)
        return f"failed: {error[:120]}" if error else NO_FIGURE
    return f"{rate:,.{1 if rate < 100 else 0}f} · {cpu:.{1 if cpu >= 20 else 2}f} · {rss:,.0f}"


def _floor(results: Results, cell: Cell) -> str:
    floor = results.floor(cell)
    return NO_FIGURE if floor is None else f"{floor:.2f} µs"


def _ratio(results: Results, against: str, cell: Cell, *, cpu: bool) -> float | None:
    def figure(span: Span) -> float:
        return span.cpu_us if cpu else span.rate

    ours = results.median(WORKER, cell, figure)
    theirs = results.floor(cell) if against == FLOOR else results.median(against, cell, figure)
    return ours / theirs if ours and theirs else None


def _middle(found: Sequence[MatchCost | WorkerCount], figure: Callable[[Span], float]) -> float | None:
    spans = [entry.span for entry in found if entry.span]
    return statistics.median(map(figure, spans)) if spans else None


def _said(found: Sequence[MatchCost | WorkerCount]) -> str:
    return "failed: " + next((entry.error for entry in found if entry.error), "no word")[:160]

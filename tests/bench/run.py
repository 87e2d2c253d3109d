"""One run: every part in turn. What fails is noted in the results; nothing ends the run but an interrupt."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench import floor, latency, machine
from tests.bench.contenders import CONTENDERS, Contender
from tests.bench.corpus import (
    MARKERS,
    RECORDED_MATCHES,
    Corpus,
    Events,
    Source,
    delete,
    mail_server,
    only_matches,
    produce,
)
from tests.bench.options import Options, is_headline
from tests.bench.results import MAIL_SERVER, Cell, MatchCost, Measurement, Results, Span, WorkerCount
from tests.bench.surroundings import QUIET, Surroundings
from tests.bench.worker_span import run_workers
from tests.broker.certificates import make_certificate
from tests.broker.kafka import Kafka

_HEAP: Final = "1g"
# What else a Kafka of the tests does is meant for quick starts and stops: a server's own compiler is off there.
_JVM: Final = ("-XX:TieredStopAtLevel=4",)
_JOIN_DELAY_MS: Final = 5000
_LATENCY_S: Final = 30.0
_QUICK_LATENCY_S: Final = 5.0


def run(options: Options) -> Results:
    """Measure everything that was chosen; results are saved after every step."""
    results = Results(machine.facts(), machine.versions(), _shown(options))
    parts: dict[str, Callable[[Options, Results], None]] = {
        "table": _table,
        "workers": _workers,
        "tls": _tls,
        "matches": _matches,
        "latency": _latency,
    }
    for name in options.parts:
        error = _tried(partial(parts[name], options, results))
        if error:
            results.failures[name] = error
        results.versions = machine.versions()  # some are known only after they were built
        results.save()
    return results


def _table(options: Options, results: Results) -> None:
    with Kafka(heap=_HEAP, jvm_options=_JVM) as kafka:
        size, events = "", Events("large", 1)
        for cell in options.cells():
            if cell.size != size:
                size, events = cell.size, Events(cell.size)
            _cell(kafka, cell, events, options, results)


def _cell(kafka: Kafka, cell: Cell, events: Events, options: Options, results: Results) -> None:
    """All rounds of one cell: the floor, then each contender, again and again."""
    contenders = [
        c for c in CONTENDERS if (c.everywhere or is_headline(cell)) and (options.all_peers or not c.only_all)
    ]
    lengths = options.lengths(cell)
    corpus = Corpus(kafka.brokers, cell, events)
    _say(f"{cell}: making {lengths.long:,} events")
    try:
        longest = corpus.source(lengths.long)
        batches = floor.read_batches(kafka.log.parent / "data", longest.topic)
        results.corpora.append(floor.describe(cell, longest.events, events.mean_bytes, batches))
        for number in range(1, options.repeats + 1):
            results.floors.append(floor.measure(cell, number, batches))
            for contender in contenders:
                found = _measured(contender, kafka, corpus.source(contender.length(lengths)), cell, number)
                results.measurements.append(found)
                results.save()
    finally:
        corpus.delete()


def _measured(contender: Contender, kafka: Kafka, source: Source, cell: Cell, number: int) -> Measurement:
    others, span, error = _span(kafka, lambda: contender.run(kafka.brokers, source))
    _say(f"{cell}, round {number}: {contender.name}: {_told(others, span, error)}")
    return Measurement(contender.name, cell, number, others, span, error)


def _workers(options: Options, results: Results) -> None:
    """One worker and two, which must join in one rebalance: this Kafka waits for both."""
    count = 100_000 if options.quick else 1_500_000
    overrides = {"group.initial.rebalance.delay.ms": str(_JOIN_DELAY_MS)}
    with Kafka(overrides, heap=_HEAP, jvm_options=_JVM) as kafka:
        source = Corpus(kafka.brokers, Cell("lz4", "large", 2000), Events("large")).source(count)
        for number in range(1, options.repeats + 1):
            for workers in (1, 2):
                found = _span(kafka, partial(run_workers, kafka.brokers, source, workers=workers))
                _say(f"{workers} workers, round {number}: {_told(*found)}")
                results.workers.append(WorkerCount(workers, number, *found))


def _tls(options: Options, results: Results) -> None:
    """One worker over TLS; beside it stands one worker of the part before."""
    count = 100_000 if options.quick else 1_500_000
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder))
        with Kafka(heap=_HEAP, jvm_options=_JVM, keystore=certificate.keystore) as kafka:
            source = Corpus(kafka.brokers, Cell("lz4", "large", 2000), Events("large")).source(count)
            link = {"BROKERS": kafka.tls_brokers, "TLS": "true", "TLS_CA": str(certificate.authority)}
            for number in range(1, options.repeats + 1):
                others, span, error = _span(kafka, partial(run_workers, kafka.brokers, source, link=link))
                _say(f"1 worker over TLS, round {number}: {_told(others, span, error)}")
                results.workers.append(WorkerCount(1, number, others, span, error, tls=True))


def _matches(options: Options, results: Results) -> None:
    counts = {"known": 500 if options.quick else 5000, "new": 300 if options.quick else 3000}
    with Kafka(heap=_HEAP, jvm_options=_JVM) as kafka:
        sources = {}
        for kind, count in counts.items():
            produce(kafka.brokers, f"bench-{kind}", "lz4", only_matches(count, new=kind == "new"))
            sources[kind] = Source(f"bench-{kind}", count, count)
        times = 10 if options.quick else 100
        events = produce(kafka.brokers, "bench-mail", "lz4", mail_server(times))
        sources[MAIL_SERVER] = Source("bench-mail", events, times * RECORDED_MATCHES + MARKERS)
        for number in range(1, options.repeats + 1):
            for kind, source in sources.items():
                found = _span(kafka, partial(run_workers, kafka.brokers, source))
                _say(f"matches, {kind}, round {number}: {_told(*found)}")
                results.match_costs.append(MatchCost(kind, number, *found))
        delete(kafka.brokers, [source.topic for source in sources.values()])


def _latency(options: Options, results: Results) -> None:
    with Kafka(heap=_HEAP, jvm_options=_JVM) as kafka:
        _say("latency")
        results.latency = latency.measure(kafka.brokers, _QUICK_LATENCY_S if options.quick else _LATENCY_S)


def _span(kafka: Kafka, work: Callable[[], Span]) -> tuple[float, Span | None, str | None]:
    """The share of the cores that others took, and the span or what went wrong."""
    surroundings = Surroundings(kafka.pid or 0)
    try:
        span = work()
    except Exception as error:  # noqa: BLE001 — one contender's failure is a row, not the end
        return surroundings.others(), None, f"{type(error).__name__}: {error}"
    return surroundings.others(), span, None


def _tried(work: Callable[[], None]) -> str | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 — likewise
        return f"{type(error).__name__}: {error}"
    return None


def _told(others: float, span: Span | None, error: str | None) -> str:
    if span is None:
        return f"failed: {error}"
    return (
        f"{span.rate / 1000:,.1f} k events/s, {span.cpu_us:.2f} µs of CPU an event, {span.peak_rss / 1e6:,.0f} MB "
        f"({span.seconds:.1f} s{f', others took {others:.0%} of the cores' if others > QUIET else ''})"
    )


def _shown(options: Options) -> dict[str, str]:
    def joined(values: Iterable[object]) -> str:
        return ",".join(map(str, values))

    return {
        "started": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": str(options.quick),
        "peers": "all" if options.all_peers else "named",
        "repeats": str(options.repeats),
        "codecs": joined(options.codecs),
        "sizes": joined(options.sizes),
        "rates": joined(options.rates),
        "parts": joined(options.parts),
    }


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

"""Who is measured, and what each of them reads."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.bench import java_build, venvs
from tests.bench.corpus import Source
from tests.bench.measuring import run_marked
from tests.bench.options import Lengths
from tests.bench.peers import Task
from tests.bench.results import Span
from tests.bench.worker_span import run_workers

WORKER: Final = "worker"
WORKER_PLAIN: Final = "worker, sieve off"
FAUST: Final = "stock Faust, empty agent"
CONFLUENT: Final = "confluent-kafka loop"
STREAMS: Final = "Kafka Streams, 2 threads"
PERFORMANCE: Final = "ConsumerPerformance"


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table.

    Attributes:
        name: As it is printed.
        length: How many events it reads, by its speed.
        run: Takes the broker's address and the source, gives the span, or raises.
        everywhere: Measured in all cells, not in the headline's only.
        only_all: Measured with PEERS=all only.
    """

    name: str
    length: Callable[[Lengths], int]
    run: Callable[[str, Source], Span]
    everywhere: bool = False
    only_all: bool = False


def _python(module: str, venv: str | None = None) -> Callable[[str, Source], Span]:
    def run(brokers: str, source: Source) -> Span:
        interpreter = venvs.python(venv) if venv else sys.executable
        task = Task(brokers, source.topic, _new_group(), source.events, "{folder}")
        return run_marked([interpreter, "-m", f"tests.bench.peers.{module}", *task.arguments], source)

    return run


def _streams(brokers: str, source: Source) -> Span:
    task = Task(brokers, source.topic, _new_group(), source.events, "{folder}")
    return run_marked(java_build.command("bench.StreamsFilter", *task.arguments), source)


def _performance(brokers: str, source: Source) -> Span:
    arguments = ["--bootstrap-server", brokers, "--topic", source.topic, "--group", _new_group()]
    arguments += ["--num-records", str(source.events), "--timeout", "60000"]
    arguments += ["--command-property", "interceptor.classes=bench.PerfMarks"]
    command = java_build.command(
        "org.apache.kafka.tools.ConsumerPerformance", *arguments, properties=(f"-Dbench.events={source.events}",)
    )
    return run_marked(command, source, checks_matches=False)


def _new_group() -> str:
    return f"bench-{uuid.uuid4().hex[:8]}"


CONTENDERS: Final = (
    Contender(WORKER, lambda n: n.long, run_workers, everywhere=True),
    Contender(
        WORKER_PLAIN,
        lambda n: n.short,
        lambda brokers, source: run_workers(brokers, source, sieve=False),
        everywhere=True,
    ),
    Contender(FAUST, lambda n: n.short, _python("faust_agent")),
    Contender(CONFLUENT, lambda n: n.middle, _python("confluent_loop")),
    Contender(STREAMS, lambda n: n.long, _streams),
    Contender(PERFORMANCE, lambda n: n.long, _performance),
    Contender("aiokafka loop", lambda n: n.modest, _python("aiokafka_loop"), only_all=True),
    Contender("Quix Streams, filter", lambda n: n.middle, _python("quix_filter", "quix"), only_all=True),
    Contender("Bytewax, filter", lambda n: n.middle, _python("bytewax_filter", "bytewax"), only_all=True),
)

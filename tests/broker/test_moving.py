"""A data directory that is moved, copied or lost: what is judged stays the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Final

import pytest

from app.errors import SettingsError
from app.runtime.database import tables_folder
from app.runtime.table_kind import LINEAGE, NEW_TERMS
from tests.broker.history import Sent, history, replayed
from tests.broker.installation import PARTITIONS, Installation
from tests.broker.records import Outgoing
from tests.broker.steady import Steady, execution
from tests.runtime.databases import databases_in

if TYPE_CHECKING:
    from pathlib import Path

    from tests.broker.fixtures import GivenKafka
    from tests.broker.kafka import Kafka

pytestmark = [pytest.mark.broker, pytest.mark.slow]

_STOP_S: Final = 15
_SETTINGS: Final = {"SESSION_TIMEOUT": "3s"}
_KEEP: Final = 100 * 24 * 3600 * 10**9
_NOTHING: Final = "table new_terms holds all of its changelog: nothing to rebuild in 4 partitions"


def test_moved_and_lost_directories_change_nothing(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Copied while the worker was stopped, it needs no rebuild; lost, it is rebuilt; no known term alerts again."""
    sent = history(71, 300, days=10)
    old, new = tmp_path / "old", tmp_path / "new"
    with Installation(kafka.brokers, topic_prefix, settings=_SETTINGS).create() as installation:
        played: list[Sent] = []

        def judge(folder: Path) -> str:
            """Play a third of the history; each third repeats what went before it, in part."""
            part = sent[len(played) : len(played) + 110]
            installation.play(record.keyed for record in part)
            played.extend(part)
            worker = installation.worker(data_dir=str(folder))
            installation.wait_caught_up(worker)
            assert 0 == worker.stop(_STOP_S)
            assert sorted(alert.id for alert in replayed(played)) == sorted(a.id for a in installation.alerts())
            return worker.output()

        judge(old)
        subprocess.run(["cp", "-a", f"{old}/.", str(new)], check=True)
        assert _NOTHING in judge(new)

        held = installation.worker(data_dir=str(new))
        held.wait_ready()
        refused = installation.run("worker", data_dir=str(new))
        assert SettingsError.exit_code == refused.returncode
        assert f"data_dir {new} is held by another worker" in refused.stderr
        assert 0 == held.stop(_STOP_S)

        shutil.rmtree(new)
        assert "table new_terms rebuilt: " in judge(new)
        # The old place, one third behind: it goes on from there.
        worker = installation.worker(data_dir=str(old))
        worker.wait_ready()
        assert "rebuilding table new_terms: " in worker.output()
        assert 0 == worker.stop(_STOP_S)
        assert _contents(new, NEW_TERMS.name) == _contents(old, NEW_TERMS.name)
        assert [] == installation.dead_letters()


def test_copy_of_a_running_workers_directory_is_not_trusted(
    kafka: Kafka | GivenKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Its databases might have holes: a worker on it says so, rebuilds them and knows all that was known."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    with Installation(kafka.brokers, topic_prefix, settings=_SETTINGS).create() as installation:
        worker = installation.worker(data_dir=str(live))
        worker.wait_ready()
        with Steady(installation) as stream:
            installation.wait_alerts(40, worker)
            # Files come and go meanwhile: what cp complains of is not wrong here.
            subprocess.run(["cp", "-a", f"{live}/.", str(copy)], check=False, capture_output=True)
            installation.wait_alerts(60, worker)
        installation.wait_caught_up(worker)
        assert 0 == worker.stop(_STOP_S)

        copied = installation.worker(data_dir=str(copy))
        again = (execution(f"program-{one.number}", one.host, "exim4", time.time_ns()) for one in stream.sent)
        installation.play(Outgoing(None, value) for value in again)
        installation.wait_caught_up(copied)
        assert f"data_dir {copy} is a copy that was made while its worker ran" in copied.output()
        assert re.search(r"table new_terms rebuilt: [1-9]", copied.output())
        assert len(stream.sent) == len(installation.alerts())
        assert 0 == copied.stop(_STOP_S)
        assert not (copy / "running").exists()


def _contents(data_dir: Path, table: str) -> list[dict[bytes, bytes]]:
    """All entries of each partition's database of a table, the offset too."""
    databases = databases_in(tables_folder(data_dir), {kind.name: kind for kind in (NEW_TERMS, LINEAGE)}[table])
    found: list[dict[bytes, bytes]] = []
    for partition in range(PARTITIONS):
        opened = databases.open(partition)
        found.append({key: value for key, value in opened.items() if isinstance(key, bytes)})
        opened.close()
    return found

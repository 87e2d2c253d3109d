"""Scenarios played by the pure core, as `eximwatch replay` does it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.runtime.rules import build_engine, load_rules
from app.runtime.settings import PACKAGED_RULES
from app.tools.replay import replay_files
from tests.broker.seen import SeenAlert, seen_alert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.scenarios.life import Event

_MAX_ALERT_BYTES: Final = 900_000
_TAKEN_AT: Final = 2_000_000_000 * 10**9


def play(events: Iterable[Event], folder: Path) -> list[SeenAlert]:
    """Judge events as one history by the rules as they are shipped; nothing may become a dead letter."""
    file = folder / "events.ndjson"
    file.write_bytes(b"".join(event.value + b"\n" for event in events))
    engine = build_engine(
        load_rules([PACKAGED_RULES]),
        max_alert_bytes=_MAX_ALERT_BYTES,
        max_future_skew="5m",
        alert_from=None,
        learn_until=None,
    )
    alerts, letters, _ = replay_files(engine, [str(file)], _TAKEN_AT)
    assert [] == letters
    return [seen_alert(value) for value in alerts]

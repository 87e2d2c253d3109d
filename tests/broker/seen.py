"""Alerts and dead letters as tests see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.schemas import validate_alert


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert as it stands in its topic."""

    key: bytes | None
    value: bytes
    document: dict[str, Any]

    @property
    def id(self) -> str:
        """The id that is the same under every replay."""
        return str(self.document["kibana.alert.uuid"])

    @property
    def term(self) -> tuple[str, ...]:
        """The term that was new."""
        return tuple(self.document["kibana.alert.new_terms"])

    @property
    def lasting(self) -> dict[str, Any]:
        """The document without what may differ between two runs over one input."""
        detector = {name: value for name, value in self.document["detector"].items() if name != "source"}
        return {**self.document, "@timestamp": None, "detector": detector}


@dataclass(frozen=True, slots=True)
class SeenDeadLetter:
    """A dead letter as it stands in its topic."""

    value: bytes | None
    headers: dict[str, bytes | None]

    @property
    def reason(self) -> str:
        """Why the record could not be judged."""
        return self.text("reason")

    @property
    def source(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the record it speaks of."""
        return self.text("source.topic"), int(self.text("source.partition")), int(self.text("source.offset"))

    def text(self, name: str) -> str:
        """A header of ours, which must be there."""
        value = self.headers[f"eximwatch.{name}"]
        assert value is not None
        return value.decode()


def seen_alert(value: bytes, key: bytes | None = None) -> SeenAlert:
    """Read an alert and hold it to its schema."""
    return SeenAlert(key, value, validate_alert(value))

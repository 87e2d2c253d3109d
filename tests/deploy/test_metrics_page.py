"""The page of metrics says what is declared."""

from __future__ import annotations

from tests.deploy.metrics_page import PAGE, shown, table


def test_page_shows_every_metric_as_it_is_declared() -> None:
    """`python -m tests.deploy.metrics_page --write` makes it so."""
    assert table() == shown(PAGE.read_text(encoding="utf-8"))

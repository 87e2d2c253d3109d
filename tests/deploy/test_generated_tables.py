"""Tables of the documentation say what is declared."""

from __future__ import annotations

import pytest

from tests.deploy.generated_tables import TABLES, Table


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_page_shows_what_is_declared(table: Table) -> None:
    """`python -m tests.deploy.generated_tables --write` makes it so."""
    assert table.make() == table.shown()

"""The family of exim4: who belongs to it, and on which host."""

from __future__ import annotations

import pytest

from app.core.event import decode
from app.core.family import FAMILY, host_of, is_member
from app.core.needles import Needles
from tests.events import ABSENT, event, raw


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "exim4", "parent": "systemd"},
        {"parent": "exim4"},
        {"parent": "sh", "process__group_leader__name": "exim4"},
        {"parent": "sh", "process__session_leader__name": "exim4"},
        {"parent": "sh", "process__entry_leader__name": "exim4"},
        {"name": "exim4", "parent": ABSENT, "host": ABSENT},
        {"name": ["sh", "exim4"], "parent": "init"},
        {"event__action": "exec", "event__type": "start"},
        {"host__os__type": ABSENT},
    ],
)
def test_execution_with_exim4_in_it_is_a_member(fields: dict[str, object]) -> None:
    """As process, parent or any leader; whatever else is missing. Its bytes hold a needle."""
    record = raw(event(**fields))

    assert is_member(decode(record))
    assert Needles.of([("family", FAMILY)]).is_candidate(record)


@pytest.mark.parametrize(
    "fields",
    [
        {"parent": "sh"},
        {"event__action": ["fork", "end"]},
        {"event__type": "end"},
        {"event__type": ABSENT},
        {"parent": "exim4-base"},
        {"parent": "sh", "process__executable": "/usr/sbin/exim4", "process__args": ["exim4"]},
        {"parent": "sh", "process__parent__parent__name": "exim4"},
        {"parent": {"exim4": "exim4"}},
    ],
)
def test_others_are_no_members(fields: dict[str, object]) -> None:
    """Ends and forks without an execution, and exim4 in other places."""
    assert not is_member(decode(raw(event(**fields))))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mail01", "mail01"),
        (["", "b", "a"], "b"),
        ([None, ["a"]], "a"),
        (7, "7"),
        ("", None),
        ([], None),
        (None, None),
        ({"x": "y"}, None),
        (ABSENT, None),
    ],
)
def test_host_is_the_first_id_that_is_not_empty(value: object, expected: str | None) -> None:
    """An event of several hosts is remembered where the first one's processes are."""
    assert expected == host_of(decode(raw(event(host=value))))

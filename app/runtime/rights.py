"""Whether this user may do on Kafka what the worker needs: asked before anything begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation

from app.errors import BrokerError
from app.runtime.acls import Acl, missing
from app.runtime.contact import FORBIDDEN, RIGHTS_ADVICE, Admin, no_answer, reach
from app.runtime.settings import Settings

COORDINATOR_TO_COME: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
    }
)
"""Codes of a broker that has yet to find or make a group's coordinator."""

_T = TypeVar("_T")
_TIMEOUT = 20.0
_DEADLINE = 30.0
_PAUSE = 0.2
_UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND})


def require_rights(admin: Admin, needed: Sequence[Acl], settings: Settings) -> None:
    """Refuse to begin what Kafka would refuse half-way, or what would stand still in silence.

    A topic or group that does not exist is passed over, and so is all where the broker does not tell rights.

    Raises:
        BrokerError: Names every right that is missing; or Kafka does not answer.
    """
    reach(admin, admin.failures)
    allowed = _of_topics(admin, [acl.name for acl in needed if acl.resource == "topic"])
    for acl in needed:
        if acl.resource == "group":
            allowed |= _of_group(admin, acl.name)
    lacking = list(missing(needed, allowed))
    if lacking:
        user = f"user {settings.sasl_username}" if settings.sasl_username else "this user"
        raise BrokerError(f"Kafka does not allow {user}: {'; '.join(lacking)}; {RIGHTS_ADVICE}")


def _of_topics(admin: Admin, names: Sequence[str]) -> dict[tuple[str, str], frozenset[str]]:
    futures = admin.describe_topics(
        TopicCollection(list(names)), include_authorized_operations=True, request_timeout=_TIMEOUT
    )
    found = {("topic", name): _allowed(admin, future.result) for name, future in futures.items()}
    return {thing: may for thing, may in found.items() if may is not None}


def _of_group(admin: Admin, name: str) -> dict[tuple[str, str], frozenset[str]]:
    deadline = time.monotonic() + _DEADLINE
    while True:
        future = admin.describe_consumer_groups([name], include_authorized_operations=True, request_timeout=_TIMEOUT)[
            name
        ]
        error = future.exception(_TIMEOUT)
        to_come = isinstance(error, KafkaException) and error.args[0].code() in COORDINATOR_TO_COME
        if not to_come or time.monotonic() > deadline:
            may = _allowed(admin, future.result)
            return {} if may is None else {("group", name): may}
        time.sleep(_PAUSE)


def _allowed(admin: Admin, described: Callable[[], _T]) -> frozenset[str] | None:
    """What may be done with a thing, as kafka-acls.sh spells it; None where that is not known."""
    try:
        operations: list[AclOperation] | None = getattr(described(), "authorized_operations", None)
    except KafkaException as error:
        code = error.args[0].code()
        if code in _UNKNOWN:
            return None
        if code in FORBIDDEN:
            return frozenset()
        raise no_answer(error, admin.failures) from None
    if operations is None:
        return None
    return frozenset("".join(word.title() for word in operation.name.split("_")) for operation in operations)

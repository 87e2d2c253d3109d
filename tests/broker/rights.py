"""Rights on a Kafka with an authorizer: granted and taken away as its owner would."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.runtime.acls import Acl

_TIMEOUT_S: Final = 20


def single(rights: Iterable[Acl]) -> list[tuple[Acl, str]]:
    """Every right with each of its operations."""
    return [(acl, operation) for acl in rights for operation in acl.operations]


def grant(admin: AdminClient, user: str, rights: Iterable[tuple[Acl, str]]) -> None:
    """Allow a user these operations, and nothing else that they do not imply."""
    bindings = [AclBinding(*_place(acl, user, operation)) for acl, operation in rights]
    for future in admin.create_acls(bindings).values():
        future.result(_TIMEOUT_S)


@contextmanager
def without(admin: AdminClient, user: str, acl: Acl, operation: str) -> Iterator[None]:
    """Take one operation from a user for a while."""
    [future] = admin.delete_acls([AclBindingFilter(*_place(acl, user, operation))]).values()
    assert 1 == len(future.result(_TIMEOUT_S))
    try:
        yield
    finally:
        grant(admin, user, [(acl, operation)])


def _place(
    acl: Acl, user: str, operation: str
) -> tuple[ResourceType, str, ResourcePatternType, str, str, AclOperation, AclPermissionType]:
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", operation).upper()
    return (
        ResourceType[acl.resource.upper()],
        acl.name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[name],
        AclPermissionType.ALLOW,
    )

"""Text of others in documents of ours: whole up to a size, else its beginning and its digest."""

from __future__ import annotations

import hashlib

from app.core.document import CUT_TEXT
from app.core.new_terms import MAX_VALUE_BYTES


def shown(value: str) -> str:
    """A value for a document of ours: as it is, or where it is over-long its beginning and its SHA-256."""
    if not is_long(value):
        return value
    return f"{value[:CUT_TEXT]}… (sha256:{hashlib.sha256(value.encode()).hexdigest()})"


def is_long(value: str) -> bool:
    """Whether `shown` cuts a value."""
    return len(value.encode()) > MAX_VALUE_BYTES

"""Why a record or a match could not be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Reason = Literal[
    "not_json",  # the bytes are no JSON text
    "not_an_object",  # JSON, but an array, a string, a number… at the top
    "not_wrapped",  # told to look for the event in `message`, the reader found no JSON object's text there
    "too_deep",  # nested deeper than the decoder goes
    "too_many_terms",  # arrays made more terms than are judged for one record; the first ones were judged
    "missing_term_field",  # a query matched, but a field of its rule's term has no value
    "no_clock",  # neither the event nor its record carries a usable time
    "too_large",  # the record can't be carried by one of our topics
    "not_a_match",  # a record of the matches topic without the headers that the first step writes
    "internal_error",  # our own code failed on it: report it, with the record
]
"""Every reason there is, as written into the header `reason`."""

REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The finding that a record, or one rule's match of it, could not be judged.

    Attributes:
        reason: The kind of failure, for counting.
        detail: One sentence for the operator; may quote bytes of the event, so escape it before showing it.
        rule_id: The rule that could not be judged; None when the whole record could not be read.
    """

    reason: Reason
    detail: str
    rule_id: str | None = None

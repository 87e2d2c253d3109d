r"""Source format: how a source record carries its event. As the record itself, or as text in its field `message`.

Logstash and Filebeat wrap a line that they do not parse: `{"@timestamp": …, "message": "{\"process\": …}", …}`.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from app.core.event import ProcessEvent, UndecodableError, decode, decode_exactly

SourceFormat = Literal["ecs", "message"]
"""`ecs`: the record is the event. `message`: the record is an object whose field `message` holds the event's JSON."""

SOURCE_FORMATS: Final[tuple[SourceFormat, ...]] = get_args(SourceFormat)

_FIELD = "message"
_SPACE = " \t\r\n"


def read_event(raw: bytes, source_format: SourceFormat) -> ProcessEvent:
    """Read a record's event.

    Of a record that wraps its event all other fields are dropped. What holds for an event (one JSON object, nesting,
    broken encoding, repeated keys) holds for the text in `message`; broken encoding around it is flagged as well.
    A record that is an event by itself is no such record, and is refused: what stands around a broken event could
    be taken for one that matches nothing, and that would be silent.

    Raises:
        UndecodableError: There is no event to be read.
    """
    if source_format == "ecs":
        return decode(raw)
    # The quick way can't be proven here: the text's keys look like keys of the record.
    record = decode_exactly(raw)
    text = record.document.get(_FIELD)
    if not isinstance(text, str):
        raise UndecodableError("not_wrapped", _why_not(text, is_there=_FIELD in record.document))
    if not _begins_an_object(text):
        raise UndecodableError("not_wrapped", "the text in its field message is no JSON object")
    try:
        event = decode(text.encode())
    except UndecodableError as error:
        letter = error.dead_letter
        raise UndecodableError(letter.reason, f"the text in its field message: {letter.detail}") from None
    if "invalid_encoding" in record.flags and "invalid_encoding" not in event.flags:
        return ProcessEvent(event.document, (*event.flags, "invalid_encoding"))
    return event


def seems_wrapped(event: ProcessEvent) -> bool:
    """Whether what was read as an event is a record that wraps one: no process, and an object's text in `message`."""
    text = event.document.get(_FIELD)
    return (
        isinstance(text, str)
        and _begins_an_object(text)
        and not any(key == "process" or key.startswith("process.") for key in event.document)
    )


def _begins_an_object(text: str) -> bool:
    return text.removeprefix("\ufeff").lstrip(_SPACE).startswith("{")


def _why_not(value: object, *, is_there: bool) -> str:
    if isinstance(value, list):
        return "its field message stands there twice, or is an array"
    return "its field message is no text" if is_there else "it has no field message that could hold an event"

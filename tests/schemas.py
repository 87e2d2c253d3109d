"""Our records held to schemas/: every test that gets hold of one passes it through a function of this module.

    validate_alert(record.value)                     a record of the alerts topic, a line of `replay`
    validate_match_headers(record.headers)           a record of the matches topic
    validate_dead_letter(record.headers)             a record of the dead-letters topic
    validate_replay_dead_letter(line)                a line of `replay --dead-letters`
    validate_process_event(line)                     an event that claims to be well formed
    validate_rule(content)                           a rule file

Each returns the document it read, so that the test can go on with it, and raises SchemaError if it differs.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

SCHEMAS: Final = Path(__file__).parent.parent / "schemas"

Headers = Iterable[tuple[str, bytes | None]]
JsonObject = dict[str, Any]

_MAX_SHOWN: Final = 300
_MAX_FAULTS: Final = 10


class Fault(NamedTuple):
    """One place where a document differs.

    Attributes:
        path: JSON path of the place, `$` for the whole document.
        keyword: The schema's keyword that isn't met; `false` for a field that must not be there, and `syntax`
            where the document can't even be read.
        message: What is wrong there.
    """

    path: str
    keyword: str
    message: str


class SchemaError(AssertionError):
    """A document differs from its schema. Mend what wrote it, or declare the change in the schema first."""

    def __init__(self, schema: str, faults: list[Fault]) -> None:
        """Keep what differs, and say the first of it line by line."""
        shown = [f"  {fault.path}: {fault.message}" for fault in faults[:_MAX_FAULTS]]
        rest = [f"  … and {len(faults) - _MAX_FAULTS} more"] if len(faults) > _MAX_FAULTS else []
        super().__init__("\n".join([f"not as schemas/{schema} says:", *shown, *rest]))
        self.faults = faults


def validate_alert(value: bytes) -> JsonObject:
    """Hold an alert to its schema; raises SchemaError."""
    return _object(_json_line(value, "alert.schema.json"), "alert.schema.json")


def validate_replay_dead_letter(line: bytes) -> JsonObject:
    """Hold a line of the replay's dead letters to its schema; raises SchemaError."""
    schema = "dead-letter.schema.json#/$defs/line"
    return _object(_json_line(line, schema), schema)


def validate_process_event(line: bytes) -> JsonObject:
    """Hold an event to what is recognised; raises SchemaError. Broken events are judged too, but fail here."""
    return _object(_json_line(line, "process-event.schema.json"), "process-event.schema.json")


def validate_match_headers(headers: Headers | None) -> JsonObject:
    """Hold the headers of a match to their schema; raises SchemaError."""
    return _object(_header_texts(headers, "match-headers.schema.json"), "match-headers.schema.json")


def validate_dead_letter(headers: Headers | None) -> JsonObject:
    """Hold the headers of a dead letter to their schema; raises SchemaError."""
    schema = "dead-letter.schema.json#/$defs/headers"
    return _object(_header_texts(headers, schema), schema)


def validate_rule(content: bytes) -> JsonObject:
    """Hold the bytes of a rule file to the schema of rules; raises SchemaError. Queries are not read."""
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except ValueError as error:
        raise SchemaError("rule.schema.json", [Fault("$", "syntax", str(error))]) from None
    return _object(table, "rule.schema.json")


def validate(document: Any, schema: str) -> None:
    """Hold any document to a schema, named by its file and, where it is a part of it, a JSON pointer.

    Raises:
        SchemaError: It differs; says every place.
    """
    errors = sorted(_validator(schema).iter_errors(document), key=lambda error: error.json_path)
    if errors:
        raise SchemaError(schema, [_fault(error) for error in errors])


@functools.cache
def schema_of(file: str) -> JsonObject:
    """A schema's own document."""
    schema: JsonObject = json.loads((SCHEMAS / file).read_bytes())
    return schema


def _object(document: object, schema: str) -> JsonObject:
    validate(document, schema)
    assert isinstance(document, dict)
    return document


@functools.cache
def _validator(schema: str) -> Validator:
    file, _, pointer = schema.partition("#")
    # A schema that names its dialect would be read by jsonschema's own class for it, not by ours.
    whole = {name: part for name, part in _with_named_places(schema_of(file)).items() if name != "$schema"}
    registry: Registry[Any] = Registry().with_resource(whole["$id"], DRAFT202012.create_resource(whole))
    return _DIALECT({"$ref": f"{whole['$id']}#{pointer}"}, registry=registry)


def _with_named_places(schema: Any) -> Any:
    """A schema that forbids fields by `not` instead of `false`: of those jsonschema names the parent only."""
    if isinstance(schema, list):
        return [_with_named_places(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {name: _with_named_places(value) for name, value in schema.items()}
    for keyword in ("properties", "patternProperties"):
        if isinstance(renamed.get(keyword), dict):
            renamed[keyword] = {name: {"not": {}} if it is False else it for name, it in renamed[keyword].items()}
    return renamed


def _fault(error: ValidationError) -> Fault:
    """Of alternatives that all fail, what is wrong with the nearest one."""
    nearest = best_match([error])
    if nearest.validator == "not" and nearest.validator_value == {}:
        return Fault(nearest.json_path, "false", "must not be there")
    message = nearest.message
    if len(message) > _MAX_SHOWN:
        message = f"{message[:_MAX_SHOWN]}… (against {nearest.validator})"
    return Fault(nearest.json_path, str(nearest.validator), message)


def _json_line(value: bytes, schema: str) -> object:
    """Read one line of strict JSON: UTF-8, no key twice, no NaN, at most one line feed and that at the end."""
    if b"\n" in value.removesuffix(b"\n"):
        raise SchemaError(schema, [Fault("$", "syntax", "more than one line")])
    try:
        return json.loads(value.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except ValueError as error:
        raise SchemaError(schema, [Fault("$", "syntax", str(error))]) from None


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError(f"a key stands twice among {[name for name, _ in pairs]}")
    return document


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not JSON")


def _header_texts(headers: Headers | None, schema: str) -> JsonObject:
    texts: JsonObject = {}
    faults: list[Fault] = []
    for name, value in headers or ():
        if name in texts:
            faults.append(Fault(f"$['{name}']", "syntax", "stands twice"))
        try:
            texts[name] = None if value is None else value.decode("utf-8")
        except UnicodeDecodeError as error:
            faults.append(Fault(f"$['{name}']", "syntax", f"not UTF-8: {error}"))
    if faults:
        raise SchemaError(schema, faults)
    return texts


def _pattern(validator: Any, pattern: str, instance: object, schema: object) -> Iterator[ValidationError]:
    """The keyword `pattern` as JSON Schema means it: `$` is the very end, not also before a last line feed."""
    del schema
    if validator.is_type(instance, "string"):
        ends = pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern
        if not re.search(ends, str(instance)):
            yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _is_integer(checker: object, instance: object) -> bool:
    """A whole number without a fraction: 1.0 is one to JSON Schema, but TOML and our readers tell them apart."""
    del checker
    return isinstance(instance, int) and not isinstance(instance, bool)


_DIALECT: Final[type[Validator]] = extend(  # type: ignore[no-untyped-call]  # its stub gives no types
    Draft202012Validator,
    validators={"pattern": _pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)

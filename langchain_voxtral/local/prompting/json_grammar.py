"""`response_format` -> what constrains the decoding, and the check that it did.

A model of 135M follows a schema only as far as it is forced to: left open, it invents keys and
digits until its tokens run out. A copy of the schema with bounds therefore goes to llama.cpp.
Every answer to the copy is valid against the user's own schema, and is checked against that one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

from langchain_voxtral.local.prompting.schema_validation import check_schema, is_valid_json
from langchain_voxtral.local.response_formats import JsonObject, JsonSchema, PlainText, Regex
from langchain_voxtral.tools.json_schema import iter_subschemas, map_subschemas


@dataclass(frozen=True, slots=True)
class Constraint:
    """How a generation is constrained: llama.cpp's fields, and the check of a complete answer."""

    fields: Mapping[str, object]
    is_satisfied: Callable[[str], bool]

    @property
    def is_json(self) -> bool:
        """Whether the answer is JSON, of which a part is worth nothing."""
        return "json_schema" in self.fields


UNCONSTRAINED = Constraint({}, lambda _: True)

MAX_LENGTH, MAX_ITEMS, MAX_PROPERTIES, MAX_INTEGER, DECIMAL_STEP = 120, 8, 8, 10**9, 0.000001
_FORMATS_OF_FIXED_SIZE = frozenset({"date", "date-time", "time", "uuid", "ipv4", "ipv6"})
_FORMATS = _FORMATS_OF_FIXED_SIZE | {"email", "hostname", "duration"}
_COMBINERS = ("anyOf", "oneOf", "allOf", "$ref")
_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_SCALAR = {"anyOf": [{"type": name} for name in ("string", "number", "boolean", "null")]}
_ANY_OBJECT = {
    "type": "object",
    "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]},
}
"""What `json_object` is served with: an object that comes to an end."""


def constrain(response_format: PlainText | JsonObject | JsonSchema | Regex | None) -> Constraint:
    """Return the constraint that a request's `response_format` asks for, or refuse it (400)."""
    match response_format:
        case None | PlainText():
            return UNCONSTRAINED
        case JsonObject():
            return constrain_json(_ANY_OBJECT)
        case JsonSchema():
            return constrain_json(response_format.json_schema.schema_)
        case Regex():
            return _constrain_regex(response_format.regex)


def constrain_json(schema: dict[str, Any], where: str = "response_format") -> Constraint:
    """Return the constraint to JSON that is valid against a schema, or refuse the schema (400).

    `where` is what the request calls it.
    """
    check_schema(schema, where)
    fields = {"json_schema": {**bound_schema(schema), "x-guidance": _COMPACT}}
    return Constraint(fields, lambda text: is_valid_json(text, schema))


def _constrain_regex(pattern: str) -> Constraint:
    # In llguidance's notation a pattern stands between slashes.
    escaped = re.sub(r"(\\.)|/", lambda found: found[1] or r"\/", pattern, flags=re.DOTALL)
    fields = {"grammar": f"%llguidance {{}}\nstart: /{escaped}/"}
    return Constraint(fields, lambda text: _matches(pattern, text))


def _matches(pattern: str, text: str) -> bool:
    """Return whether a pattern matches a whole text, by Rust's dialect, as llguidance reads it.

    Rust's matching takes linear time. A pattern that it cannot compile matches nothing.
    """
    try:
        schema = core_schema.str_schema(pattern=rf"\A(?:{pattern})\z", regex_engine="rust-regex")
        return SchemaValidator(schema).isinstance_python(text)
    except SchemaError:
        return False


def bound_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema that a small model can only follow to an end.

    Objects that declare properties take no others; strings, arrays, open objects, integers
    and decimals get bounds where they have none.
    """
    # Objects that are intersected must stay open to each other's properties.
    is_intersected = any(len(part.get("allOf", ())) > 1 for part in iter_subschemas(schema))
    return _bound(schema, closing=not is_intersected)


def _bound(schema: Mapping[str, Any], *, closing: bool) -> dict[str, Any]:
    is_combined = "properties" in schema and any(name in schema for name in _COMBINERS)
    closing = closing and not is_combined
    bounded = map_subschemas(schema, lambda part: _bound(part, closing=closing))
    if bounded.get("format") not in _FORMATS:
        bounded.pop("format", None)  # an annotation (JSON Schema 2020-12, validation, section 7)
    if "enum" in bounded or "const" in bounded:
        return bounded
    kinds = bounded.get("type", "object" if "properties" in bounded else [])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind in _BOUNDS:
            _BOUNDS[kind](bounded)
    if closing and "properties" in bounded:
        bounded.setdefault("additionalProperties", False)
    return bounded


def _bound_string(schema: dict[str, Any]) -> None:
    if "pattern" not in schema and schema.get("format") not in _FORMATS_OF_FIXED_SIZE:
        schema.setdefault("maxLength", max(MAX_LENGTH, schema.get("minLength", 0)))


def _bound_array(schema: dict[str, Any]) -> None:
    least = max(schema.get("minItems", 0), len(schema.get("prefixItems", ())))
    schema.setdefault("maxItems", max(MAX_ITEMS, least))


def _bound_object(schema: dict[str, Any]) -> None:
    if "properties" not in schema:
        schema.setdefault("maxProperties", max(MAX_PROPERTIES, schema.get("minProperties", 0)))


def _bound_integer(schema: dict[str, Any]) -> None:
    most = schema.get("maximum", schema.get("exclusiveMaximum", MAX_INTEGER))
    least = schema.get("minimum", schema.get("exclusiveMinimum", -MAX_INTEGER))
    if "exclusiveMinimum" not in schema:
        schema.setdefault("minimum", min(-MAX_INTEGER, most))
    if "exclusiveMaximum" not in schema:
        schema.setdefault("maximum", max(MAX_INTEGER, least))


def _bound_number(schema: dict[str, Any]) -> None:
    _bound_integer(schema)
    schema.setdefault("multipleOf", DECIMAL_STEP)


_BOUNDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "string": _bound_string,
    "array": _bound_array,
    "object": _bound_object,
    "integer": _bound_integer,
    "number": _bound_number,
}

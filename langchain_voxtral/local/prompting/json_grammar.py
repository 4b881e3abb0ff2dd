"""`response_format` -> what constrains the decoding, and the check that it did.

A model of 135M follows a schema only as far as it is forced to: left open, it invents keys and
digits until its tokens run out. A copy of the schema with bounds therefore goes to llama.cpp.
Every answer to the copy is valid against the user's own schema, and is checked against that one.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, islice
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema, from_json

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralMissingExtraError
from langchain_voxtral.local.api.requests import (
    MAX_NEW_TOKENS,
    JsonObject,
    JsonSchema,
    PlainText,
    Regex,
)
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.tools.json_schema import iter_subschemas, map_subschemas, resolve_ref

try:
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend
except ImportError as error:
    raise VoxtralMissingExtraError("jsonschema") from error


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
MIN_NUMBER = -(10**18)
"""llguidance overflows the stack, and ends the process, where an integer must be near -2^63."""
MAX_SCHEMA_VALUES = 10_000
"""JSON values in a schema: its check takes a third of a millisecond for each, in the event loop."""
MAX_REFERENCES = 10_000
"""References followed in the check of one answer; nested ones can double at each step."""

_META_SCHEMA_ID = Draft202012Validator.META_SCHEMA["$id"]
_UNSUPPORTED = (
    *("not", "if", "then", "else", "nullable", "propertyNames"),
    *("uniqueItems", "contains", "minContains", "maxContains"),
    *("dependentRequired", "dependentSchemas", "dependencies"),
    *("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"),
)
"""Keywords that llguidance, llama.cpp's grammar engine, cannot compile."""
_SUPPORTED_SCHEMAS = Draft202012Validator(
    {
        "$schema": _META_SCHEMA_ID,
        "$id": "urn:langchain-voxtral:supported-schemas",
        "$dynamicAnchor": "meta",
        "properties": {
            **{keyword: {"const": False} for keyword in _UNSUPPORTED},
            # llguidance takes time and memory for each item there may be.
            "minItems": {"maximum": MAX_NEW_TOKENS},
            "maxItems": {"maximum": MAX_NEW_TOKENS},
            "enum": {"minItems": 1},
        },
        "allOf": [{"$ref": _META_SCHEMA_ID}],
    }
)

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


def constrain_json(schema: dict[str, Any]) -> Constraint:
    """Return the constraint to JSON that is valid against a schema, or refuse the schema (400)."""
    fields = {"json_schema": {**bound_schema(schema), "x-guidance": _COMPACT}}
    return Constraint(fields, lambda text: _is_valid_json(text, schema))


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


# The check of an answer


def _is_valid_json(text: str, schema: dict[str, Any]) -> bool:
    references = count()

    def check_reference(
        validator: Any, reference: str, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if next(references) >= MAX_REFERENCES:
            raise RecursionError
        yield from Draft202012Validator.VALIDATORS["$ref"](validator, reference, instance, schema)

    keywords = {"$ref": check_reference, "multipleOf": _check_multiple}
    validator = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]
    try:
        value = from_json(text, allow_inf_nan=False)
        return bool(validator(_without_patterns(schema)).is_valid(value))
    except (ValueError, ArithmeticError, RecursionError):
        return False  # no JSON, numbers beyond decimals, a schema that only names itself


def _check_multiple(_: Any, step: float, value: Any, __: Any) -> Iterator[ValidationError]:
    """Check `multipleOf` in decimals: as floats 0.07 is no multiple of 0.01."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and Decimal(repr(value)) % Decimal(repr(step)):
        yield ValidationError(f"{value} is not a multiple of {step}")


def _without_patterns(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without patterns, which Python may match for ever, and other dialects."""
    copy = map_subschemas(schema, _without_patterns)
    dropped = {"pattern", "$schema", "$id"}
    if "patternProperties" in copy:
        dropped |= {"patternProperties", "additionalProperties"}
    return {keyword: value for keyword, value in copy.items() if keyword not in dropped}


# The schema with bounds


def bound_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema that a small model can only follow to an end.

    Objects that declare properties take no others; strings, arrays, open objects, integers
    and decimals get bounds where they have none. A schema that is malformed, or cannot be
    enforced, is refused (400).
    """
    check_schema(schema)
    # Objects that are intersected must stay open to each other's properties.
    is_intersected = any(len(part.get("allOf", ())) > 1 for part in iter_subschemas(schema))
    return _bound(schema, closing=not is_intersected)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a schema (400) that is malformed, too large, or cannot be enforced."""
    try:
        _check_values(schema)
        _check_keywords(schema)
        _check_references(schema)
    except RecursionError as error:
        raise _refusal("the schema is nested too deeply") from error


def _check_values(schema: Mapping[str, Any]) -> None:
    values = list(islice(_values(schema), MAX_SCHEMA_VALUES + 1))
    if len(values) > MAX_SCHEMA_VALUES:
        raise _refusal(f"the schema has more than {MAX_SCHEMA_VALUES} values")
    if not all(map(_is_safe_number, values)):
        raise _refusal("a number in the schema is below -10^18 or has over 64 bits")


def _check_keywords(schema: Mapping[str, Any]) -> None:
    for misuse in _SUPPORTED_SCHEMAS.iter_errors(schema):
        path = misuse.absolute_path
        place = ".".join(map(str, ("schema", *path)))
        if path and path[-1] in _UNSUPPORTED:
            raise _refusal(f"{place} is not supported by the embedded engine")
        raise _refusal(f"{place} cannot be {misuse.instance!r:.80}")


def _check_references(schema: Mapping[str, Any]) -> None:
    parts = list(iter_subschemas(schema))
    known = set(map(id, parts))
    for reference in (part["$ref"] for part in parts if "$ref" in part):
        try:
            named = resolve_ref(reference, schema)
        except VoxtralInvalidRequestError as error:
            raise _refusal(error.message) from error
        if id(named) not in known and not isinstance(named, bool):
            raise _refusal(f"the $ref {reference!r} names no schema")


def _refusal(reason: str) -> ErrorResponse:
    return ErrorResponse.with_message(400, f"response_format: {reason}")


def _values(value: Any) -> Iterator[Any]:
    """Yield a JSON value and all values in it."""
    yield value
    if isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _values(inner)


def _is_safe_number(value: Any) -> bool:
    if not isinstance(value, int | float):
        return True
    # 1e400 was read as infinity.
    return MIN_NUMBER <= value < (2**64 if isinstance(value, int) else math.inf)


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

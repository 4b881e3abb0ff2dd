"""`response_format` -> what constrains the decoding, and the check that it did.

A model of 135M follows a schema only as far as it is forced to: left open, it invents keys and
digits until its tokens run out. The schema is therefore tightened, on a copy, before it
goes to llama.cpp. Every answer to the tightened schema is valid against the user's own, and it is
against the user's own that it is checked.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from langchain_voxtral.local.api.requests import (
    MAX_NEW_TOKENS,
    JsonObject,
    JsonSchema,
    PlainText,
    Regex,
)
from langchain_voxtral.local.errors import Refusal
from langchain_voxtral.tools.conforms import conforms, resolve

__all__ = ["FREE", "Constraint", "constrain", "constrain_json", "tighten"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """How a generation is constrained.

    Args:
        fields: What llama.cpp is told.
        holds: Whether a complete answer follows the constraint.
    """

    fields: Mapping[str, object]
    holds: Callable[[str], bool]

    @property
    def is_json(self) -> bool:
        """Whether the answer is JSON, of which a part is worth nothing."""
        return "json_schema" in self.fields


FREE = Constraint({}, lambda _: True)
"""No constraint."""

MAX_LENGTH, MAX_ITEMS, MAX_PROPERTIES, MAX_INTEGER, DECIMAL_STEP = 120, 8, 8, 10**9, 0.000001

LEAST_NUMBER = -(10**18)
"""llguidance overflows the stack, and ends the process, where an integer must be near -2^63."""

_UNSUPPORTED = frozenset(
    (
        *("not", "if", "then", "else", "nullable", "propertyNames"),
        *("uniqueItems", "contains", "minContains", "maxContains"),
        *("dependentRequired", "dependentSchemas", "dependencies"),
        *("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"),
    )
)
"""Keywords that constrain and that llguidance, llama.cpp's grammar engine, cannot compile."""

_FORMATS_OF_FIXED_SIZE = frozenset({"date", "date-time", "time", "uuid", "ipv4", "ipv6"})
_FORMATS = _FORMATS_OF_FIXED_SIZE | {"email", "hostname", "duration"}

_ONE_SCHEMA = frozenset({"items", "additionalProperties"})
_MANY_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_COMBINERS = ("anyOf", "oneOf", "allOf", "$ref")


def _as_list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


_TYPE_NAMES = ("null", "boolean", "integer", "number", "string", "array", "object")
_KINDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        _NAMED_SCHEMAS,
        lambda value: isinstance(value, dict) and all(map(_is_schema, value.values())),
    ),
    **dict.fromkeys(
        _MANY_SCHEMAS,
        lambda value: isinstance(value, list) and value != [] and all(map(_is_schema, value)),
    ),
    **dict.fromkeys(_ONE_SCHEMA, _is_schema),
    "enum": lambda value: isinstance(value, list) and value != [],
    **dict.fromkeys(("$ref", "pattern", "format"), lambda value: isinstance(value, str)),
    **dict.fromkeys(
        ("minLength", "maxLength", "minProperties", "maxProperties"),
        lambda value: type(value) is int and value >= 0,
    ),
    **dict.fromkeys(
        # llguidance takes time and memory for each item there may be; each is a token at least.
        ("minItems", "maxItems"),
        lambda value: type(value) is int and 0 <= value <= MAX_NEW_TOKENS,
    ),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        lambda value: type(value) in {int, float},
    ),
    "multipleOf": lambda value: type(value) in {int, float} and value > 0,
    "required": lambda value: isinstance(value, list) and all(isinstance(x, str) for x in value),
    "type": lambda value: all(one in _TYPE_NAMES for one in _as_list(value)),
}
"""What the values of keywords may be."""

_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

_SCALAR = {"anyOf": [{"type": name} for name in ("string", "number", "boolean", "null")]}
_ANY_OBJECT = {
    "type": "object",
    "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]},
}
"""What `json_object` is served with: an object that comes to an end."""


def constrain(wanted: PlainText | JsonObject | JsonSchema | Regex | None) -> Constraint:
    """Return the constraint that a request's `response_format` asks for.

    Raises:
        Refusal: 400, the schema is malformed, or a keyword in it cannot be enforced.

    Example:
        ```python
        from langchain_voxtral.local.prompting.json_grammar import constrain
        from langchain_voxtral.local.api.requests import Regex

        assert constrain(Regex(type="regex", regex="[0-9]{4}")).holds("1969")
        ```
    """
    match wanted:
        case None | PlainText():
            return FREE
        case JsonObject():
            return constrain_json(_ANY_OBJECT)
        case JsonSchema():
            return constrain_json(wanted.json_schema.schema_)
        case Regex():
            return _regex(wanted.regex)


def constrain_json(schema: dict[str, Any]) -> Constraint:
    """Return the constraint to JSON that is valid against a schema.

    Raises:
        Refusal: 400, the schema is malformed, or a keyword in it cannot be enforced.
    """
    tightened = {**tighten(schema), "x-guidance": _COMPACT}
    return Constraint({"json_schema": tightened}, lambda text: _is_json_of(text, schema))


def _is_json_of(text: str, schema: dict[str, Any]) -> bool:
    try:
        return conforms(json.loads(text, parse_float=Decimal), schema)
    except (ValueError, ArithmeticError, RecursionError):
        # Numbers beyond decimals, patterns beyond expressions, a schema that only names itself.
        return False


def _regex(pattern: str) -> Constraint:
    # In llguidance's notation a pattern stands between slashes.
    escaped = re.sub(r"(\\.)|/", lambda found: found[1] or r"\/", pattern, flags=re.DOTALL)
    return Constraint(
        {"grammar": f"%llguidance {{}}\nstart: /{escaped}/"},
        lambda text: _matches(pattern, text),
    )


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.fullmatch(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        return True  # Rust's dialect knows patterns that Python's does not


def tighten(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema that a small model can only follow to an end.

    Objects that declare properties take no others, strings, arrays, open objects, integers
    and decimals get bounds where they have none.

    Raises:
        Refusal: 400, the schema is malformed, or a keyword in it cannot be enforced.

    Example:
        ```python
        from langchain_voxtral.local.prompting.json_grammar import tighten

        assert tighten({"type": "string"}) == {"type": "string", "maxLength": 120}
        ```
    """
    if not all(map(_is_safe, _numbers(schema))):
        raise Refusal.saying(
            400, "response_format: a number in the schema is below -10^18 or has over 64 bits"
        )
    parts = list(_subschemas(schema))
    for part in parts:
        _refuse_malformed(part, schema)
    # Objects that are intersected must stay open to each other's properties.
    intersected = any(len(part.get("allOf", ())) > 1 for part in parts)
    tightened: dict[str, Any] = _tighten(schema, "schema", closing=not intersected)
    return tightened


def _tighten(schema: Any, path: str, *, closing: bool) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    combined = "properties" in schema and any(name in schema for name in _COMBINERS)
    closing = closing and not combined
    tightened = {}
    for keyword, value in schema.items():
        where = f"{path}.{keyword}"
        if keyword in _UNSUPPORTED and value is not False:
            raise Refusal.saying(
                400, f"response_format: {where} is not supported by the embedded engine"
            )
        if keyword == "format" and value not in _FORMATS:
            continue  # an annotation, by JSON Schema 2020-12 (validation, section 7)
        tightened[keyword] = _tighten_value(keyword, value, where, closing=closing)
    _add_bounds(tightened, closing=closing)
    return tightened


def _tighten_value(keyword: str, value: Any, path: str, *, closing: bool) -> Any:
    if keyword in _ONE_SCHEMA:
        return _tighten(value, path, closing=closing)
    if keyword in _MANY_SCHEMAS and isinstance(value, list):
        return [_tighten(one, f"{path}[{i}]", closing=closing) for i, one in enumerate(value)]
    if keyword in _NAMED_SCHEMAS and isinstance(value, Mapping):
        return {
            name: _tighten(one, f"{path}.{name}", closing=closing) for name, one in value.items()
        }
    return value


def _add_bounds(schema: dict[str, Any], *, closing: bool) -> None:
    if "enum" in schema or "const" in schema:
        return
    kind = schema.get("type", "object" if "properties" in schema else [])
    for name in _as_list(kind):
        if name in _BOUNDS:
            _BOUNDS[name](schema)
    if closing and "properties" in schema:
        schema.setdefault("additionalProperties", False)


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


def _numbers(value: Any) -> Iterator[float]:
    """Yield all numbers in a JSON value."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(inner)


def _is_safe(number: float) -> bool:
    # 1e400 was read as infinity.
    return LEAST_NUMBER <= number < (2**64 if isinstance(number, int) else math.inf)


def _subschemas(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and every schema within it."""
    if not isinstance(node, Mapping):
        return
    yield node
    for keyword, value in node.items():
        inner: Iterable[Any] = ()
        if keyword in _ONE_SCHEMA:
            inner = [value]
        elif keyword in _MANY_SCHEMAS and isinstance(value, list):
            inner = value
        elif keyword in _NAMED_SCHEMAS and isinstance(value, Mapping):
            inner = value.values()
        for part in inner:
            yield from _subschemas(part)


def _refuse_malformed(schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    for keyword, value in schema.items():
        if keyword in _KINDS and not _KINDS[keyword](value):
            raise Refusal.saying(400, f"response_format: {keyword} cannot be {value!r:.80}")
    if "$ref" not in schema:
        return
    try:
        resolve(schema["$ref"], root)
    except (LookupError, TypeError, ValueError) as error:
        raise Refusal.saying(
            400, f"response_format: {schema['$ref']!r} names nothing within the schema"
        ) from error

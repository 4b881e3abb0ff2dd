"""JSON schemas and answers, checked by jsonschema in bounded time."""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import count, islice
from typing import Any

from pydantic_core import from_json, to_json

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralMissingExtraError
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.response_formats import MAX_NEW_TOKENS, MAX_PATTERN_CHARACTERS
from langchain_voxtral.tools.json_schema import (
    iter_subschemas,
    iter_values,
    map_subschemas,
    resolve_ref,
)

try:
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend
except ImportError as error:
    raise VoxtralMissingExtraError("jsonschema") from error

MIN_NUMBER = -(10**18)
"""llguidance overflows the stack, and ends the process, where an integer must be near -2^63."""
MAX_SCHEMA_VALUES = 10_000
"""JSON values in a schema."""
MAX_SCHEMA_BYTES = 2**18
"""Bytes of a schema as JSON; llguidance takes more than linear time for long texts."""
MAX_SUBSCHEMAS = 2_000
"""Schemas in a schema; the check takes half a millisecond for each."""
MAX_SUM_OF_ITEMS = 8 * MAX_NEW_TOKENS
"""Items that the arrays of a schema may have together; each array takes time for its own."""
MAX_INTERSECTED_PATTERNS = 4
"""Patterns in a schema where they may apply to one text; the time is exponential in them."""
MAX_REFERENCES = 10_000
"""References followed in the check of one answer; nested ones can double at each step."""

_REFERRING = {"$ref", "anyOf", "oneOf"}
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
            "const": {"maxLength": MAX_PATTERN_CHARACTERS},
            "enum": {"minItems": 1, "items": {"maxLength": MAX_PATTERN_CHARACTERS}},
            "properties": {"propertyNames": {"maxLength": MAX_PATTERN_CHARACTERS}},
            "pattern": {"maxLength": MAX_PATTERN_CHARACTERS},
            "patternProperties": {"propertyNames": {"maxLength": MAX_PATTERN_CHARACTERS}},
        },
        "allOf": [{"$ref": _META_SCHEMA_ID}],
    }
)


class _RefusedError(Exception):
    """Why a schema is refused."""


def check_schema(schema: Mapping[str, Any], where: str = "response_format") -> None:
    """Refuse a schema (400) that is malformed, too large, or cannot be enforced.

    Args:
        schema: The schema.
        where: What the request calls it, for the message.
    """
    try:
        _check(schema)
    except _RefusedError as error:
        raise ErrorResponse.with_message(400, f"{where}: {error}") from error
    except (RecursionError, ValueError) as error:  # ValueError: what `to_json` raises for depth
        message = f"{where}: the schema is nested too deeply"
        raise ErrorResponse.with_message(400, message) from error


def _check(schema: Mapping[str, Any]) -> None:
    _check_values(schema)
    parts = list(iter_subschemas(schema))
    if len(parts) > MAX_SUBSCHEMAS:
        raise _RefusedError(f"the schema has more than {MAX_SUBSCHEMAS} schemas in it")
    _check_keywords(schema)
    _check_products(parts)
    _check_references(schema, parts)


def _check_values(schema: Mapping[str, Any]) -> None:
    values = list(islice(iter_values(schema), MAX_SCHEMA_VALUES + 1))
    if len(values) > MAX_SCHEMA_VALUES:
        raise _RefusedError(f"the schema has more than {MAX_SCHEMA_VALUES} values")
    if len(to_json(schema)) > MAX_SCHEMA_BYTES:
        raise _RefusedError(f"the schema has more than {MAX_SCHEMA_BYTES} bytes")
    if not all(map(_is_safe_number, values)):
        raise _RefusedError("a number in the schema is below -10^18 or has over 64 bits")


def _check_keywords(schema: Mapping[str, Any]) -> None:
    for misuse in _SUPPORTED_SCHEMAS.iter_errors(schema):
        place = ".".join(map(str, ("schema", *misuse.absolute_path)))
        if misuse.validator == "const":
            raise _RefusedError(f"{place} is not supported by the embedded engine")
        raise _RefusedError(f"{place} cannot be {misuse.instance!r:.80}")


def _check_products(parts: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what is small as a schema and large as a grammar."""
    items = sum(max(part.get("maxItems", 0), part.get("minItems", 0)) for part in parts)
    if items > MAX_SUM_OF_ITEMS:
        raise _RefusedError(f"its arrays may have more than {MAX_SUM_OF_ITEMS} items together")
    patterns = sum("pattern" in part for part in parts)
    is_intersected = any(
        "allOf" in part or ("pattern" in part and _REFERRING & part.keys()) for part in parts
    )
    if is_intersected and patterns > MAX_INTERSECTED_PATTERNS:
        raise _RefusedError(
            f"it combines more than {MAX_INTERSECTED_PATTERNS} patterns by allOf or $ref"
        )


def _check_references(schema: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> None:
    known = set(map(id, parts))
    for reference in (part["$ref"] for part in parts if "$ref" in part):
        try:
            named = resolve_ref(reference, schema)
        except VoxtralInvalidRequestError as error:
            raise _RefusedError(error.message) from error
        if id(named) not in known and not isinstance(named, bool):
            raise _RefusedError(f"the $ref {reference!r} names no schema")


def _is_safe_number(value: Any) -> bool:
    if not isinstance(value, int | float):
        return True
    # 1e400 was read as infinity.
    return MIN_NUMBER <= value < (2**64 if isinstance(value, int) else math.inf)


def is_valid_json(text: str, schema: dict[str, Any]) -> bool:
    """Return whether a text is JSON that is valid against a schema."""
    references = count()

    def check_reference(*arguments: Any) -> Iterator[ValidationError]:
        if next(references) >= MAX_REFERENCES:
            raise RecursionError
        yield from Draft202012Validator.VALIDATORS["$ref"](*arguments)

    keywords = {**_CHECKED_KEYWORDS, "$ref": check_reference}
    validator = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]
    try:
        value = from_json(text, allow_inf_nan=False)
        return bool(validator(_without_dialects(schema)).is_valid(value))
    except (ValueError, ArithmeticError, RecursionError):
        return False  # no JSON, numbers beyond decimals, a schema that only names itself


def _check_multiple(_: Any, step: float, value: Any, __: Any) -> Iterator[ValidationError]:
    """Check `multipleOf` in decimals: as floats 0.07 is no multiple of 0.01."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and Decimal(repr(value)) % Decimal(repr(step)):
        yield ValidationError(f"{value} is not a multiple of {step}")


def _check_additional(
    validator: Any, wanted: Any, value: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if "patternProperties" not in schema:
        check = Draft202012Validator.VALIDATORS["additionalProperties"]
        yield from check(validator, wanted, value, schema)


def _skip(*_: Any) -> Iterator[ValidationError]:
    """Leave a pattern to llguidance: Python can take exponential time for it."""
    yield from ()


_CHECKED_KEYWORDS = {
    "multipleOf": _check_multiple,
    "pattern": _skip,
    "patternProperties": _skip,
    "additionalProperties": _check_additional,
}


def _without_dialects(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema whose parts name no dialect, which would bring back its own checks."""
    copy = map_subschemas(schema, _without_dialects)
    return {keyword: value for keyword, value in copy.items() if keyword not in {"$schema", "$id"}}

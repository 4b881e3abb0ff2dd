"""Does a JSON value follow a schema? The keywords that the engine can constrain, no more.

llama.cpp generates freely, without a word, when it cannot compile a grammar; this check is
what turns that into an error.
"""

import re
from collections.abc import Callable, Mapping, Sized
from decimal import Decimal
from typing import Any

__all__ = ["conforms", "resolve"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and value == int(value),
    "number": _is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """Return what a `$ref` into the same document names.

    Raises:
        KeyError: It names nothing there.
    """
    place: Any = root
    if not reference.startswith("#"):
        raise KeyError(reference)
    for part in reference.removeprefix("#").removeprefix("/").split("/"):
        if part:
            name = part.replace("~1", "/").replace("~0", "~")
            place = place[int(name)] if isinstance(place, list) else place[name]
    return place


def conforms(value: Any, schema: Any, root: Mapping[str, Any] | None = None) -> bool:
    """Return whether a value follows a schema (JSON Schema 2020-12, the supported keywords).

    Args:
        value: A JSON value whose fractions were parsed as `Decimal`.
        schema: The schema.
        root: The document that `$ref` points into; the schema itself by default.

    Example:
        ```python
        from langchain_voxtral.local.conforms import conforms

        assert conforms([1, 2], {"type": "array", "items": {"type": "integer"}})
        ```
    """
    if isinstance(schema, bool):
        return schema
    document = schema if root is None else root
    return all(
        _CHECKS[keyword](value, wanted, schema, document)
        for keyword, wanted in schema.items()
        if keyword in _CHECKS
    )


_Check = Callable[[Any, Any, Mapping[str, Any], Mapping[str, Any]], bool]


def _type(value: Any, wanted: Any, *_: Any) -> bool:
    return any(_TYPES[name](value) for name in ([wanted] if isinstance(wanted, str) else wanted))


def _equal(value: Any, wanted: Any) -> bool:
    # JSON keeps true and 1 apart, Python does not.
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, Decimal) or isinstance(wanted, float):
        are_numbers = _is_number(value) and isinstance(wanted, int | float)
        return are_numbers and Decimal(value) == Decimal(str(wanted))
    return bool(value == wanted)


def _properties(value: Any, wanted: Any, _: Any, root: Mapping[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    return all(conforms(value[name], wanted[name], root) for name in wanted if name in value)


def _pattern_properties(value: Any, wanted: Any, _: Any, root: Mapping[str, Any]) -> bool:
    return not isinstance(value, dict) or all(
        conforms(item, part, root)
        for name, item in value.items()
        for pattern, part in wanted.items()
        if _search(pattern, name)
    )


def _additional(
    value: Any, wanted: Any, schema: Mapping[str, Any], root: Mapping[str, Any]
) -> bool:
    if not isinstance(value, dict):
        return True
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    return all(
        conforms(item, wanted, root)
        for name, item in value.items()
        if name not in declared and not any(_search(pattern, name) for pattern in patterns)
    )


def _items(value: Any, wanted: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    return all(conforms(item, wanted, root) for item in value[len(schema.get("prefixItems", ())) :])


def _prefix_items(value: Any, wanted: Any, _: Any, root: Mapping[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    return all(conforms(*pair, root) for pair in zip(value, wanted, strict=False))


def _search(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:  # a pattern of another dialect: nothing is known
        return True


def _number_check(holds: Callable[[Decimal, Decimal], bool]) -> _Check:
    return lambda value, wanted, *_: (
        not _is_number(value) or holds(Decimal(value), Decimal(str(wanted)))
    )


def _length_check(kind: type[Sized], holds: Callable[[int, int], bool]) -> _Check:
    return lambda value, wanted, *_: not isinstance(value, kind) or holds(len(value), wanted)


_CHECKS: dict[str, _Check] = {
    "type": _type,
    "enum": lambda value, wanted, *_: any(_equal(value, one) for one in wanted),
    "const": lambda value, wanted, *_: _equal(value, wanted),
    "$ref": lambda value, wanted, _, root: conforms(value, resolve(wanted, root), root),
    "anyOf": lambda value, wanted, _, root: any(conforms(value, one, root) for one in wanted),
    "allOf": lambda value, wanted, _, root: all(conforms(value, one, root) for one in wanted),
    "oneOf": lambda value, wanted, _, root: sum(conforms(value, one, root) for one in wanted) == 1,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "required": lambda value, wanted, *_: not isinstance(value, dict) or set(wanted) <= set(value),
    "items": _items,
    "prefixItems": _prefix_items,
    "pattern": lambda value, wanted, *_: not isinstance(value, str) or _search(wanted, value),
    "minLength": _length_check(str, lambda size, least: size >= least),
    "maxLength": _length_check(str, lambda size, most: size <= most),
    "minItems": _length_check(list, lambda size, least: size >= least),
    "maxItems": _length_check(list, lambda size, most: size <= most),
    "minProperties": _length_check(dict, lambda size, least: size >= least),
    "maxProperties": _length_check(dict, lambda size, most: size <= most),
    "minimum": _number_check(lambda value, least: value >= least),
    "maximum": _number_check(lambda value, most: value <= most),
    "exclusiveMinimum": _number_check(lambda value, least: value > least),
    "exclusiveMaximum": _number_check(lambda value, most: value < most),
    "multipleOf": _number_check(lambda value, step: value % step == 0),
}

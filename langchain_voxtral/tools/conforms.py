"""Does a JSON value follow a schema? The keywords that the engine can constrain, no more.

A server may generate freely, without a word, where it cannot constrain; this check is what
turns that into an error.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sized
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

__all__ = ["conforms", "misfit", "resolve"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _whole(value: int | Decimal) -> int | Decimal:
    return value.to_integral_value() if isinstance(value, Decimal) else value


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    # Rounded, not as an int: the int of 1e999999999 would have a gigabyte of digits.
    "integer": lambda value: _is_number(value) and value == _whole(value),
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
            name = unquote(part).replace("~1", "/").replace("~0", "~")
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
        from langchain_voxtral.tools.conforms import conforms

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


# What a value holds: for each item the step to it, the item, and the schema it must follow.

_Held = Iterator[tuple[str, Any, Any]]


def _properties(value: Any, wanted: Any, _: Mapping[str, Any]) -> _Held:
    if isinstance(value, dict):
        yield from ((f".{name}", value[name], wanted[name]) for name in wanted if name in value)


def _pattern_properties(value: Any, wanted: Any, _: Mapping[str, Any]) -> _Held:
    for name, item in value.items() if isinstance(value, dict) else ():
        for pattern, part in wanted.items():
            if _search(pattern, name):
                yield f".{name}", item, part


def _additional(value: Any, wanted: Any, schema: Mapping[str, Any]) -> _Held:
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, item in value.items() if isinstance(value, dict) else ():
        if name not in declared and not any(_search(pattern, name) for pattern in patterns):
            yield f".{name}", item, wanted


def _items(value: Any, wanted: Any, schema: Mapping[str, Any]) -> _Held:
    first = len(schema.get("prefixItems", ()))
    for at, item in enumerate(value) if isinstance(value, list) else ():
        if at >= first:
            yield f"[{at}]", item, wanted


def _prefix_items(value: Any, wanted: Any, _: Mapping[str, Any]) -> _Held:
    if isinstance(value, list):
        for at, (item, part) in enumerate(zip(value, wanted, strict=False)):
            yield f"[{at}]", item, part


_HELD: dict[str, Callable[[Any, Any, Mapping[str, Any]], _Held]] = {
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "items": _items,
    "prefixItems": _prefix_items,
}


def _held_check(held: Callable[[Any, Any, Mapping[str, Any]], _Held]) -> _Check:
    return lambda value, wanted, schema, root: all(
        conforms(item, part, root) for _, item, part in held(value, wanted, schema)
    )


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
    **{keyword: _held_check(held) for keyword, held in _HELD.items()},
    "required": lambda value, wanted, *_: not isinstance(value, dict) or set(wanted) <= set(value),
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


# Why not

_LONGEST = 80


def misfit(value: Any, schema: Any) -> str | None:
    """Return why a value does not follow a schema, or None if it does.

    Args:
        value: A JSON value whose fractions were parsed as `Decimal`.
        schema: The schema.

    Returns:
        The first reason found, with its place; of several alternatives the reason why the one
        that fits furthest does not.

    Example:
        ```python
        from langchain_voxtral.tools.conforms import misfit

        assert misfit({}, {"required": ["city"]}) == "$.city: is required"
        ```
    """
    found = _misfit(value, schema, schema, "$")
    return None if found is None else ": ".join(found)


_Misfit = tuple[str, str] | None
"""A place and what is wrong there."""


def _misfit(value: Any, schema: Any, root: Any, place: str) -> _Misfit:
    if conforms(value, schema, root):
        return None
    if schema is False:
        return place, "must not be there"
    keyword = next(
        keyword
        for keyword, wanted in schema.items()
        if keyword in _CHECKS and not _CHECKS[keyword](value, wanted, schema, root)
    )
    return _reason(keyword, value, schema, root, place)


def _reason(keyword: str, value: Any, schema: Any, root: Any, place: str) -> tuple[str, str]:
    wanted = schema[keyword]
    match keyword:
        case "required":
            missing = next(name for name in wanted if name not in value)
            return f"{place}.{missing}", "is required"
        case "$ref":
            inner = [("", value, resolve(wanted, root))]
        case "anyOf" | "oneOf" | "allOf":
            inner = [("", value, one) for one in wanted]
        case _:
            inner = list(_HELD[keyword](value, wanted, schema)) if keyword in _HELD else []
    found = [_misfit(item, part, root, place + step) for step, item, part in inner]
    reasons = [reason for reason in found if reason is not None]
    if keyword == "oneOf" and len(reasons) < len(wanted):
        return place, "fits more than one of the alternatives"
    if reasons:
        return max(reasons, key=_depth) if keyword in {"anyOf", "oneOf"} else reasons[0]
    return place, f"must have {keyword} {_short(wanted)}, is {_short(value)}"


def _depth(reason: tuple[str, str]) -> int:
    return len(re.findall(r"[.\[]", reason[0]))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=float)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

"""The schemas within a JSON schema: where they stand, how they are closed and moved."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.conforms import resolve

__all__ = ["closed", "every", "moved", "rebuilt", "target"]

Schema = Mapping[str, Any]

# JSON Schema 2020-12, core, section 10 (and the two older spellings of draft 7).
_DEFINITIONS = frozenset({"$defs", "definitions"})
_NAMED = _DEFINITIONS | {"properties", "patternProperties", "dependentSchemas", "dependencies"}
_LISTED = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_SINGLE = frozenset(
    (
        *("items", "additionalItems", "unevaluatedItems", "contains"),
        *("additionalProperties", "unevaluatedProperties", "propertyNames"),
        *("not", "if", "then", "else"),
    )
)
_IN_PLACE = frozenset(("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"))
_IN_PLACE |= {"dependentSchemas", "dependencies", "$dynamicRef"}
"""Keywords whose schemas look at the very value that the schema around them looks at."""

_LEFT_OPEN = frozenset({"not", "if", "contains", "dependentSchemas", "dependencies"})
"""Keywords for which a narrower schema is not a narrower whole, or that speak of more names."""

_ABOUT_NAMES = frozenset(
    (
        *("properties", "patternProperties", "additionalProperties", "unevaluatedProperties"),
        *("required", "dependentRequired", "propertyNames", "minProperties"),
    )
)


def _parts(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield each schema directly within this one, with the keyword it stands under."""
    for keyword, value in schema.items():
        held: Any = ()
        if keyword in _NAMED and isinstance(value, Mapping):
            held = value.values()
        elif keyword in _LISTED and isinstance(value, list):
            held = value
        elif keyword in _SINGLE:
            held = (value,)
        yield from ((keyword, part) for part in held if isinstance(part, Mapping))


def every(schema: Schema) -> Iterator[Schema]:
    """Yield a schema and every schema within it, however deep.

    Names of properties and values in `enum`, `const`, `default` and `examples` are no schemas.

    Example:
        ```python
        from langchain_voxtral.tools.json_schema import every

        assert list(every({"items": {"default": {}}})) == [
            {"items": {"default": {}}},
            {"default": {}},
        ]
        ```
    """
    yield schema
    for _, part in _parts(schema):
        yield from every(part)


def rebuilt(schema: Schema, change: Callable[[Schema], Any]) -> dict[str, Any]:
    """Return a deep copy of a schema in which each schema directly within it was changed.

    Args:
        schema: The schema; it stays as it is.
        change: What makes of an inner schema the one that takes its place.
    """

    def one(value: Any) -> Any:
        return change(value) if isinstance(value, Mapping) else deepcopy(value)

    def held(keyword: str, value: Any) -> Any:
        if keyword in _NAMED and isinstance(value, Mapping):
            return {name: one(part) for name, part in value.items()}
        if keyword in _LISTED and isinstance(value, list):
            return [one(part) for part in value]
        return one(value) if keyword in _SINGLE else deepcopy(value)

    return {keyword: held(keyword, value) for keyword, value in schema.items()}


def target(reference: object, root: Schema) -> Any:
    """Return what a `$ref` names within its document.

    Raises:
        VoxtralInvalidRequestError: It names nothing there.
    """
    try:
        return resolve(str(reference), root)
    except (LookupError, TypeError, ValueError) as error:
        raise VoxtralInvalidRequestError(
            f"The $ref {reference!r} names nothing within its schema; a reference must point "
            'into the same schema, like "#/$defs/City".'
        ) from error


def closed(schema: Schema) -> dict[str, Any]:
    """Return a copy of a schema whose objects take no other properties than they declare.

    `additionalProperties: false` is added to objects that have `properties` and do not say it
    themselves, and to nothing else. An object stays open where closing it would refuse what
    the schema asks for: where another schema looks at the same object (`allOf`, or `anyOf` and
    `$ref` beside `properties`), and where a property is required that is not declared. Within
    `not`, `if` and a `oneOf` without a discriminator a closed object could let more through;
    these stay open as well. So what is valid against the copy is valid against the schema.

    Args:
        schema: An object of JSON Schema 2020-12; it stays as it is.

    Raises:
        VoxtralInvalidRequestError: A `$ref` names nothing within the schema.

    Example:
        ```python
        from langchain_voxtral.tools.json_schema import closed

        assert closed({"properties": {"a": {"type": "object"}}}) == {
            "properties": {"a": {"type": "object"}},
            "additionalProperties": False,
        }
        ```
    """
    left_open = _looked_at_by_others(schema)

    def close(node: Schema) -> dict[str, Any]:
        copy = rebuilt(node, close)
        if id(node) not in left_open and _may_close(node):
            copy["additionalProperties"] = False
        return copy

    return close(schema)


def _may_close(node: Schema) -> bool:
    declared = node.get("properties")
    return (
        isinstance(declared, Mapping)
        and not {"additionalProperties", "unevaluatedProperties"} & node.keys()
        and not _IN_PLACE & node.keys()
        and ("patternProperties" in node or _is_possible_with(declared, node))
    )


def _is_possible_with(declared: Mapping[str, Any], node: Schema) -> bool:
    return set(node.get("required", ())) <= declared.keys() and (
        node.get("minProperties", 0) <= len(declared)
    )


def _looked_at_by_others(root: Schema) -> set[int]:
    """Return the identities of the schemas that are not alone in what they look at."""
    seen: set[tuple[int, bool]] = set()
    waiting: list[tuple[Schema, bool]] = [(root, False)]
    while waiting:
        node, shared = waiting.pop()
        if (id(node), shared) in seen:
            continue
        seen.add((id(node), shared))
        inner = [(keyword, part) for keyword, part in _parts(node) if keyword not in _DEFINITIONS]
        if "$ref" in node and isinstance(found := target(node["$ref"], root), Mapping):
            inner.append(("$ref", found))
        waiting += [(part, shared or _shares(node, keyword)) for keyword, part in inner]
    return {identity for identity, shared in seen if shared}


def _shares(node: Schema, keyword: str) -> bool:
    if keyword in _LEFT_OPEN:
        return True
    if keyword not in _IN_PLACE:
        # Two of these may look at one property, or at one item.
        return "patternProperties" in node or "contains" in node
    if keyword == "oneOf" and "discriminator" not in node:
        return True
    lookers = len(_IN_PLACE & node.keys()) + bool(_ABOUT_NAMES & node.keys())
    return lookers > 1 or (keyword == "allOf" and len(node[keyword]) > 1)


_LOCAL = "#/$defs/"


def moved(schema: Schema, home: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a schema as a part of another document, and the definitions it needs there.

    Definitions are named `HOME.NAME`, and references rewritten to match. A schema that refers
    to itself, or to a place in itself, becomes a definition named `HOME`.

    Args:
        schema: A whole schema; it stays as it is.
        home: What the names of the definitions begin with, letters and digits; unique within
            the other document.

    Example:
        ```python
        from langchain_voxtral.tools.json_schema import moved

        assert moved({"$ref": "#/$defs/A", "$defs": {"A": {"type": "null"}}}, "x") == (
            {"$ref": "#/$defs/x.A"},
            {"x.A": {"type": "null"}},
        )
        ```
    """

    def rewritten(node: Any) -> Any:
        if not isinstance(node, Mapping):
            return node
        copy = rebuilt(node, rewritten)
        if "$ref" in node:
            copy["$ref"] = _rewritten(str(node["$ref"]), home)
        return copy

    # These hold for a document, not for a part of one.
    body = {key: value for key, value in schema.items() if key not in {"$defs", "$schema", "$id"}}
    part: dict[str, Any] = rewritten(body)
    named = {f"{home}.{name}": rewritten(one) for name, one in schema.get("$defs", {}).items()}
    if all(str(node.get("$ref", _LOCAL)).startswith(_LOCAL) for node in every(schema)):
        return part, named
    return {"$ref": f"{_LOCAL}{home}"}, {home: part} | named


def _rewritten(reference: str, home: str) -> str:
    if reference.startswith(_LOCAL):
        return f"{_LOCAL}{home}.{reference.removeprefix(_LOCAL)}"
    return f"{_LOCAL}{home}{reference.removeprefix('#')}"

"""JSON schemas: walk through them, close their objects, move them into another document."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any
from urllib.parse import unquote

from langchain_voxtral.errors import VoxtralInvalidRequestError

Schema = Mapping[str, Any]

# JSON Schema 2020-12, core, section 10 (and the older spellings of draft 7): which keywords
# hold schemas, by name, in a list, or alone.
_NAMED = {"$defs", "definitions", "properties", "patternProperties"}
_NAMED |= {"dependentSchemas", "dependencies"}
_LISTED = {"allOf", "anyOf", "oneOf", "prefixItems", "items"}
_SINGLE = {"items", "additionalItems", "unevaluatedItems", "contains", "propertyNames"}
_SINGLE |= {"additionalProperties", "unevaluatedProperties", "not", "if", "then", "else"}


def iter_values(value: Any) -> Iterator[Any]:
    """Yield a JSON value and all values in it."""
    waiting = [value]
    while waiting:
        yield (value := waiting.pop())
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def map_subschemas(schema: Schema, change: Callable[[Schema], Any]) -> dict[str, Any]:
    """Return a deep copy of a schema in which `change` replaced each schema directly within."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, Mapping) else deepcopy(value)

    def copied(keyword: str, value: Any) -> Any:
        if keyword in _NAMED and isinstance(value, Mapping):
            return {name: changed(part) for name, part in value.items()}
        if keyword in _LISTED and isinstance(value, list):
            return [changed(part) for part in value]
        return changed(value) if keyword in _SINGLE else deepcopy(value)

    return {keyword: copied(keyword, value) for keyword, value in schema.items()}


def iter_subschemas(schema: Schema) -> Iterator[Schema]:
    """Yield a schema and every schema within it, however deep."""
    yield schema
    for keyword, value in schema.items():
        parts: Any = ()
        if keyword in _NAMED and isinstance(value, Mapping):
            parts = value.values()
        elif keyword in _LISTED and isinstance(value, list):
            parts = value
        elif keyword in _SINGLE:
            parts = (value,)
        for part in parts:
            if isinstance(part, Mapping):
                yield from iter_subschemas(part)


def resolve_ref(reference: object, root: Schema) -> Any:
    """Return what a `$ref` into its own document names.

    Raises:
        VoxtralInvalidRequestError: It names nothing there.
    """
    place: Any = {"#": root}
    try:
        for part in str(reference).split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            place = place[int(name)] if isinstance(place, list) else place[name]
    except (LookupError, TypeError, ValueError) as error:
        raise VoxtralInvalidRequestError(
            f"The $ref {reference!r} names nothing within its schema; a reference must point "
            'into the same schema, like "#/$defs/City".'
        ) from error
    return place


_SAME_VALUE = {"$ref", "allOf", "anyOf", "oneOf", "then", "else"}
"""Keywords whose schemas apply to the same value as the schema that they stand in."""
_NARROWING = {"not", "if", "contains", "dependentSchemas", "dependencies", "$dynamicRef"}
"""Keywords under which a closed object could allow more, or forbid what is wanted."""
_PROPERTIES = {"properties", "patternProperties", "additionalProperties", "propertyNames"}
_PROPERTIES |= {"unevaluatedProperties", "required", "dependentRequired", "minProperties"}


def close_objects(schema: Schema) -> dict[str, Any]:
    """Return a copy of a schema whose objects allow no other properties than they declare.

    A schema that applies several schemas to one value (`allOf`, `oneOf`, `$ref` beside
    `properties`, ...) is copied as it is: closing one of them could refuse what another
    demands. So what is valid against the copy is valid against the schema.
    """
    if any(map(_combines, iter_subschemas(schema))):
        return deepcopy(dict(schema))
    return _close(schema)


def _combines(node: Schema) -> bool:
    applied = len(_SAME_VALUE & node.keys()) + bool(_PROPERTIES & node.keys())
    return (
        applied > 1
        or bool(_NARROWING & node.keys())
        or {"properties", "patternProperties"} <= node.keys()
        or len(node.get("allOf", ())) > 1
        or ("oneOf" in node and "discriminator" not in node)
    )


def _close(node: Schema) -> dict[str, Any]:
    copy = map_subschemas(node, _close)
    declared = node.get("properties")
    if isinstance(declared, Mapping) and not node.keys() & {
        "additionalProperties",
        "unevaluatedProperties",
    }:
        needed = node.get("minProperties", 0)
        if declared.keys() >= set(node.get("required", ())) and len(declared) >= needed:
            copy["additionalProperties"] = False
    return copy


_DEFINITIONS = "#/$defs/"


def relocate_definitions(schema: Schema, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a schema as a part of another document, and the definitions it needs there.

    Definitions are named `PREFIX.NAME`, and references rewritten to match. A schema that refers
    to itself, or to a place in itself, becomes a definition named `PREFIX`.

    Raises:
        VoxtralInvalidRequestError: A `$ref` names nothing within the schema.
    """
    refers_to_itself = False

    def relocated(node: Any) -> Any:
        nonlocal refers_to_itself
        if not isinstance(node, Mapping):
            return node
        copy = map_subschemas(node, relocated)
        if "$ref" in node:
            resolve_ref(node["$ref"], schema)
            path = str(node["$ref"])
            if path.startswith(_DEFINITIONS):
                copy["$ref"] = f"{_DEFINITIONS}{prefix}.{path.removeprefix(_DEFINITIONS)}"
            else:
                refers_to_itself = True
                copy["$ref"] = f"{_DEFINITIONS}{prefix}{path.removeprefix('#')}"
        return copy

    # `$schema` and `$id` hold for a document, not for a part of one.
    body = {key: value for key, value in schema.items() if key not in {"$defs", "$schema", "$id"}}
    part: dict[str, Any] = relocated(body)
    named = {f"{prefix}.{name}": relocated(one) for name, one in schema.get("$defs", {}).items()}
    if not refers_to_itself:
        return part, named
    return {"$ref": f"{_DEFINITIONS}{prefix}"}, {prefix: part} | named

"""One tool, whatever LangChain takes for one, as an OpenAI tool dict."""

import json
import re
import weakref
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.json_schema import iter_subschemas, map_subschemas, resolve_ref

__all__ = ["convert"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""OpenAI's API reference, `tools[].function.name`; DeepInfra speaks that protocol."""

_LONGEST_REASON = 400
_JSON_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_CONVERSION_ERRORS = (ValueError, TypeError, AttributeError, LookupError, NameError, RuntimeError)
"""What langchain-core, pydantic and pydantic.v1 raise for what they cannot convert."""


def convert(tool: object, place: str, *, strict: bool | None = None) -> dict[str, Any]:
    """Return a tool as an OpenAI tool dict, a fresh one each time.

    The conversion is remembered while the tool lives, and made again when its name, its
    description or its schema was changed.

    Args:
        tool: A tool, function, pydantic class, TypedDict, JSON schema, or tool dict.
        place: Where it stands, for errors: `tools[0]`.
        strict: OpenAI's `strict`; None says nothing about it.

    Raises:
        VoxtralInvalidRequestError: It is no tool, its name is missing or malformed, or its
            parameters are no object schema.
    """
    text = _converted.get(tool, strict)
    if text is None:
        try:
            text = _as_json(_function(tool, strict=strict))
        except _CONVERSION_ERRORS as error:
            reason = " ".join(str(error).split())[:_LONGEST_REASON]
            raise VoxtralInvalidRequestError(
                f"{place} ({_label(tool)}) cannot be offered to the model: {reason}"
            ) from error
        _converted.put(tool, strict, text)
    return {"type": "function", "function": json.loads(text)}


def _label(tool: object) -> str:
    """Return how an error names a tool that may be anything."""
    if isinstance(tool, Mapping):
        inner = tool.get("function")
        named = inner if isinstance(inner, Mapping) else tool
        name = named.get("name") or named.get("title") or tool.get("type")
    else:
        name = getattr(tool, "name", None) or getattr(tool, "__name__", None)
    return name if isinstance(name, str) else type(tool).__name__


# What comes in


def _function(tool: Any, *, strict: bool | None) -> dict[str, Any]:
    if isinstance(tool, Runnable) and not isinstance(tool, BaseTool):
        raise TypeError(
            "a Runnable has no name and no description for the model; make a tool of it with "
            ".as_tool(name=..., description=...)"
        )
    if isinstance(tool, Mapping):
        tool = _function_dict(tool)
    if _is_custom(tool):
        raise ValueError("OpenAI's custom tools take free text; this model takes JSON arguments")
    function = {
        key: value
        for key, value in convert_to_openai_function(tool).items()
        if value is not None and (key != "parameters" or value != {})
    }
    if (schema := _recursive_source(tool)) is not None:
        function["parameters"] = schema
    if strict is not None:
        # langchain-core 1.7 fails with a KeyError where a strict function has no parameters.
        plain = {"parameters": {"type": "object", "properties": {}}} if strict else {}
        function = convert_to_openai_function(plain | function, strict=strict)
    _check(function)
    return function


def _is_custom(tool: Any) -> bool:
    return isinstance(tool, BaseTool) and (tool.metadata or {}).get("type") == "custom_tool"


def _function_dict(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return what langchain-core converts rightly, out of a dict that it might not."""
    kind = tool.get("type")
    if kind == "function":
        # OpenAI's chat completions wrap the function, its responses API does not.
        return dict(tool.get("function", tool))
    if isinstance(kind, str) and kind not in _JSON_TYPES and "input_schema" not in tool:
        raise ValueError(
            f"{kind!r} is a built-in tool of another provider, and this model has none; write "
            "it as a function or a tool of your own"
        )
    rest = {key: value for key, value in tool.items() if key not in {"title", "description"}}
    if "title" in tool and not {"name", "input_schema", "toolSpec"} & tool.keys():
        # langchain-core 1.7 drops the parameters of such a schema when it has no `properties`.
        described = {"description": tool["description"]} if "description" in tool else {}
        return {"name": tool["title"], **described, "parameters": rest}
    return dict(tool)


def _recursive_source(tool: Any) -> dict[str, Any] | None:
    """Return a tool's parameters if they refer to themselves, else None.

    langchain-core writes what a `$ref` names in its place, and where that comes round to
    itself it leaves an empty schema, which takes anything.
    """
    source = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    schema = None
    if isinstance(source, type) and issubclass(source, BaseModel):
        schema = source.model_json_schema()
    elif isinstance(source, type) and issubclass(source, BaseModelV1):
        schema = source.schema()
    elif isinstance(tool, BaseTool) and isinstance(source, dict):
        schema = source
    if schema is None or not _is_recursive(schema):
        return None
    untitled = _without_titles(schema)
    untitled.pop("description", None)
    return untitled


def _is_recursive(schema: Mapping[str, Any]) -> bool:
    leads_to = {
        reference: {inner["$ref"] for inner in iter_subschemas(found) if "$ref" in inner}
        for reference in {part["$ref"] for part in iter_subschemas(schema) if "$ref" in part}
        if isinstance(found := resolve_ref(reference, schema), Mapping)
    }
    for start, reached in leads_to.items():
        waiting, seen = list(reached), set(reached)
        while waiting:
            new = leads_to.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        if start in seen:
            return True
    return False


def _without_titles(schema: Mapping[str, Any]) -> dict[str, Any]:
    untitled = map_subschemas(schema, _without_titles)
    untitled.pop("title", None)
    return untitled


# What goes out


def _check(function: Mapping[str, Any]) -> None:
    name = function.get("name")
    if not name:
        raise ValueError("it has no name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"its name {name!r} is not 1 to 64 letters of A-Z and a-z, digits, underscores "
            "and dashes; give it another name (the title of a schema is its name)"
        )
    parameters = function.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, Mapping) or not _is_object(parameters, parameters, ()):
        raise ValueError(
            "its parameters are not the JSON schema of an object; write "
            '{"type": "object", "properties": {...}}'
        )
    for part in iter_subschemas(parameters):
        _check_part(part, parameters)


_KINDS: Mapping[str, type] = {
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), dict),
    **dict.fromkeys(("required", "enum", "anyOf", "allOf", "oneOf", "prefixItems"), list),
}


def _check_part(part: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    for keyword, kind in _KINDS.items():
        if keyword in part and not isinstance(part[keyword], kind):
            raise ValueError(f"{keyword!r} in its parameters cannot be {part[keyword]!r:.80}")
    if "$ref" in part:
        resolve_ref(part["$ref"], root)


def _is_object(schema: object, root: Mapping[str, Any], above: tuple[object, ...]) -> bool:
    """Return whether every value of a schema is an object."""
    match schema:
        case {"type": kind}:
            return kind in ("object", ["object"])
        case {"$ref": reference}:
            found = None if reference in above else resolve_ref(reference, root)
            return _is_object(found, root, (*above, reference))
        case {"anyOf": [*some]} | {"oneOf": [*some]}:
            return bool(some) and all(_is_object(one, root, above) for one in some)
        case {"allOf": [*parts]} if any(_is_object(one, root, above) for one in parts):
            return True
        case {"properties": _}:
            return True
    return False


def _as_json(function: dict[str, Any]) -> str:
    try:
        return json.dumps(function, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"JSON cannot express it: {error}") from error


# What is remembered


class _Converted:
    """Conversions as JSON text, each for as long as its tool lives.

    Tools are told apart by identity: they compare by value, and are not hashable.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, bool | None], tuple[weakref.ref[Any], object, str]] = {}

    def get(self, tool: object, strict: bool | None) -> str | None:  # noqa: FBT001 - part of a key
        known = self._known.get((id(tool), strict))
        if known is None or known[0]() is not tool or known[1] != _face(tool):
            return None
        return known[2]

    def put(self, tool: object, strict: bool | None, text: str) -> None:  # noqa: FBT001 - the same
        key = (id(tool), strict)
        with suppress(TypeError):  # dicts and some callables take no weak references
            reference = weakref.ref(tool, lambda _: self._known.pop(key, None))
            if _is_steady(tool):
                # A schema that is a dict may be changed in place.
                self._known[key] = (reference, deepcopy(_face(tool)), text)


def _is_steady(tool: object) -> bool:
    """Return whether a tool describes itself alike as long as its face stays the same."""
    if isinstance(tool, BaseTool):
        return type(tool).tool_call_schema is BaseTool.tool_call_schema
    return not isinstance(tool, Mapping)


def _face(tool: Any) -> object:
    if isinstance(tool, BaseTool):
        return tool.name, tool.description, tool.args_schema
    return getattr(tool, "__name__", None), getattr(tool, "__doc__", None)


_converted = _Converted()

"""Tools in OpenAI's form."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from typing import Any

from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_function
from langchain_core.utils.json_schema import dereference_refs
from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.json_schema import (
    iter_subschemas,
    map_subschemas,
    resolve_ref,
)
from langchain_voxtral.tools.names import is_generic_class, is_name

NO_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}
"""The parameters of a tool that takes none."""

_MAX_REASON = 400
_JSON_TYPES = {"null", "boolean", "integer", "number", "string", "array", "object"}
_KEYWORD_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), dict),
    **dict.fromkeys(("required", "enum", "anyOf", "allOf", "oneOf", "prefixItems"), list),
}
_CONVERSION_ERRORS = (ValueError, TypeError, AttributeError, LookupError, NameError, RuntimeError)
"""What langchain-core, pydantic and pydantic.v1 raise for what they cannot convert."""


def to_openai_tools(
    tools: Iterable[dict[str, Any] | type | Callable[..., Any] | BaseTool],
    *,
    strict: bool | None = None,
) -> list[dict[str, Any]]:
    """Return tools as new dicts in OpenAI's form; equal ones once.

    Raises:
        VoxtralInvalidRequestError: One of them is no tool, its name is malformed or that of
            another, or its parameters are no object schema.
    """
    if isinstance(tools, str | Mapping | BaseTool | type) or not isinstance(tools, Iterable):
        raise VoxtralInvalidRequestError(
            f"tools must be a list of tools, not {type(tools).__name__}: write tools=[...]."
        )
    by_name: dict[str, tuple[int, dict[str, Any]]] = {}
    for index, tool in enumerate(tools):
        converted = to_openai_tool(tool, f"tools[{index}]", strict=strict)
        first, known = by_name.setdefault(tool_name(converted), (index, converted))
        if known != converted and _comparable(known) != _comparable(converted):
            raise VoxtralInvalidRequestError(
                f"tools[{first}] and tools[{index}] are both named {tool_name(converted)!r}. The "
                "model knows tools by their names: rename one."
            )
    return [tool for _, tool in by_name.values()]


def tool_name(tool: Mapping[str, Any]) -> str:
    """Return the name of a tool in OpenAI's form."""
    return str(tool["function"]["name"])


def _comparable(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function without the titles and references that only a class's JSON schema has."""
    inlined = inline_definitions(tool["function"].get("parameters", {}))
    return {**tool["function"], "parameters": _without_titles(inlined)}


def inline_definitions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON schema without references; what refers to itself is followed once."""
    inlined = dereference_refs(dict(schema))
    return {key: part for key, part in inlined.items() if key not in {"$defs", "definitions"}}


def to_openai_tool(tool: object, place: str, *, strict: bool | None = None) -> dict[str, Any]:
    """Return one tool as a new dict in OpenAI's form; errors name its `place`.

    Raises:
        VoxtralInvalidRequestError: It is no tool, its name is missing or malformed, or its
            parameters are no object schema.
    """
    with explain_errors(tool, place):
        return checked_tool(to_function(tool, strict=strict))


@contextmanager
def explain_errors(tool: object, place: str) -> Iterator[None]:
    """Raise what goes wrong in converting a tool as an error that names it and its `place`."""
    try:
        yield
    except _CONVERSION_ERRORS as error:
        reason = " ".join(str(error).split())[:_MAX_REASON]
        raise VoxtralInvalidRequestError(
            f"{place} ({_label(tool)}) cannot be offered to the model: {reason}"
        ) from error


def checked_tool(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function as a tool, if its name and its parameters can be sent."""
    _check_function(function)
    # By way of JSON: a copy that is the caller's own, of what can be sent.
    return {"type": "function", "function": json.loads(json.dumps(function, allow_nan=False))}


def _label(tool: object) -> str:
    """Return how an error names a tool, which may be anything."""
    if isinstance(tool, Mapping):
        inner = tool.get("function")
        named = inner if isinstance(inner, Mapping) else tool
        name = named.get("name") or named.get("title") or tool.get("type")
    else:
        name = getattr(tool, "name", None) or getattr(tool, "__name__", None)
    return name if isinstance(name, str) else type(tool).__name__


def to_function(tool: Any, *, strict: bool | None) -> dict[str, Any]:
    """Return what langchain-core makes of a tool, where it is right."""
    if isinstance(tool, Runnable) and not isinstance(tool, BaseTool):
        raise TypeError(
            "a Runnable has no name and no description for the model; make a tool of it with "
            ".as_tool(name=..., description=...)"
        )
    if isinstance(tool, BaseTool) and (tool.metadata or {}).get("type") == "custom_tool":
        raise ValueError("OpenAI's custom tools take free text; this model takes JSON arguments")
    if _is_constructor(tool):
        raise TypeError(
            f"{tool!r:.100} is no tool; give a function, a pydantic class, a dataclass, a "
            "TypedDict, a LangChain tool or a dict"
        )
    if isinstance(tool, Mapping):
        tool = _function_dict(tool)
    converted = convert_to_openai_function(tool)
    function = {key: value for key, value in converted.items() if value not in (None, {})}
    if (schema := _recursive_parameters(tool)) is not None:
        function["parameters"] = schema
    if strict is None:
        return function
    # langchain-core fails with a KeyError where a strict function has no parameters.
    parameters = {"parameters": {"type": "object", "properties": {}}} if strict else {}
    return convert_to_openai_function(parameters | function, strict=strict)


def _is_constructor(tool: Any) -> bool:
    """Return whether langchain-core would describe how Python makes objects or types."""
    is_enum = isinstance(tool, type) and issubclass(tool, Enum)
    return is_enum or getattr(tool, "__module__", "") in {"builtins", "typing", "enum"}


def _function_dict(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict that langchain-core converts correctly, from one that it might not."""
    kind = tool.get("type")
    if kind == "function":
        # OpenAI's chat completions wrap the function, its responses API does not.
        return dict(tool.get("function", tool))
    if isinstance(kind, str) and kind not in _JSON_TYPES and "input_schema" not in tool:
        raise ValueError(
            f"{kind!r} is a built-in tool of another provider, and this model has none; write "
            "it as a function or a tool of your own"
        )
    if "title" in tool and not {"name", "input_schema", "toolSpec"} & tool.keys():
        # langchain-core drops the parameters of such a schema when it has no `properties`.
        schema = {key: tool[key] for key in tool.keys() - {"title", "description"}}
        return {"name": tool["title"], "description": tool.get("description"), "parameters": schema}
    return dict(tool)


def _recursive_parameters(tool: Any) -> dict[str, Any] | None:
    """Return the parameters of a tool if they refer to themselves, else None.

    langchain-core replaces each `$ref` by what it names, and a `$ref` to a schema around it by
    an empty schema, which allows anything.
    """
    source = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if isinstance(source, type) and issubclass(source, BaseModel):
        schema = source.model_json_schema()
    elif isinstance(source, type) and issubclass(source, BaseModelV1):
        schema = source.schema()
    elif isinstance(source, dict) and isinstance(tool, BaseTool):
        schema = source
    else:
        return None
    graph = {ref: _references(resolve_ref(ref, schema)) for ref in _references(schema)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        untitled = _without_titles(schema)
        untitled.pop("description", None)
        return untitled
    return None


def _references(schema: object) -> set[str]:
    parts = iter_subschemas(schema) if isinstance(schema, Mapping) else ()
    return {part["$ref"] for part in parts if "$ref" in part}


def _without_titles(schema: Mapping[str, Any]) -> dict[str, Any]:
    untitled = map_subschemas(schema, _without_titles)
    untitled.pop("title", None)
    return untitled


def _check_function(function: Mapping[str, Any]) -> None:
    name, parameters = function.get("name"), function.get("parameters")
    if not name:
        raise ValueError("it has no name")
    if not isinstance(name, str) or not (is_name(name) or is_generic_class(name)):
        raise ValueError(
            f"its name {name!r} is not 1 to 64 letters of A-Z and a-z, digits, underscores "
            "and dashes; give it another name (the title of a schema is its name)"
        )
    if parameters is None:
        return
    if not _is_object_schema(parameters):
        raise ValueError(
            "its parameters are not the JSON schema of an object; write "
            '{"type": "object", "properties": {...}}'
        )
    for part in iter_subschemas(parameters):
        for keyword in part.keys() & _KEYWORD_TYPES.keys():
            if not isinstance(part[keyword], _KEYWORD_TYPES[keyword]):
                raise TypeError(f"{keyword!r} in its parameters cannot be {part[keyword]!r:.80}")
        if "$ref" in part:
            resolve_ref(part["$ref"], parameters)


def _is_object_schema(schema: object) -> bool:
    """Return whether a schema is one of objects, judged by its first level."""
    if not isinstance(schema, Mapping):
        return False
    if "type" in schema:
        return schema["type"] in ("object", ["object"])
    return bool(schema.keys() & {"properties", "$ref", "anyOf", "oneOf", "allOf"})

"""Schemas of tool calls: which alternatives of a schema are calls, and fewer of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.json_grammar import bound_schema
from langchain_voxtral.tools.schema import tool_call_schema

__all__ = ["CallSchema", "make_call_schema", "read_call_schema"]

_NAME_AND_ARGUMENTS = 2
_ONE_ITEM = {"type": "array", "minItems": 1, "maxItems": 1}


@dataclass(frozen=True, slots=True)
class CallSchema:
    """A JSON schema for which an answer is a call of a tool, or else what the user wants.

    Args:
        calls: The schemas of calls, by the tool's name.
        arguments_key: The key of a call's arguments.
        definitions: What `$ref` points into.
        final: The alternative that is no call; None if there is none.
        array: Calls are items of an array.
    """

    calls: Mapping[str, Mapping[str, Any]]
    arguments_key: str
    definitions: Mapping[str, Any]
    final: Mapping[str, Any] | None = None
    array: bool = False

    def arguments(self, name: str) -> Any:
        """Return the schema of a tool's arguments."""
        return self.calls[name]["properties"][self.arguments_key]

    def one_of(self, names: Collection[str]) -> dict[str, Any]:
        """Return the schema of one call of one of these tools (in an array, if asked for)."""
        alternatives = [call for name, call in self.calls.items() if name in names]
        schema = alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
        return self._whole({**_ONE_ITEM, "items": schema} if self.array else schema)

    def final_schema(self) -> dict[str, Any]:
        """Return the schema of the alternative that is no call."""
        return self._whole(self.final or {})

    def in_array(self, **constants: str) -> "CallSchema":
        """Return the schema of such calls in an array, with further constant properties."""
        more = {key: {"const": value} for key, value in constants.items()}
        calls = {
            name: {
                **call,
                "properties": {**call["properties"], **more},
                "required": [*call["required"], *more],
            }
            for name, call in self.calls.items()
        }
        return replace(self, calls=calls, array=True)

    def _whole(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {**schema, "$defs": self.definitions} if self.definitions else {**schema}


def make_call_schema(
    tools: Sequence[Mapping[str, Any]], names: Collection[str], arguments_key: str
) -> CallSchema:
    """Return the schema of calls of tools.

    Args:
        tools: Tools in OpenAI's form.
        names: Those that may be called; there is one at least.
        arguments_key: The key of the arguments in a call.

    Raises:
        ErrorResponse: 400, the parameters of one of them are no schema that can be enforced.
    """
    chosen = [tool for tool in tools if tool["function"]["name"] in names]
    try:
        for tool in chosen:
            bound_schema(tool["function"].get("parameters") or {})
        schema = tool_call_schema(chosen, arguments_key=arguments_key)
    except VoxtralInvalidRequestError as error:
        raise ErrorResponse.with_message(400, error.message) from error
    except RecursionError as error:
        raise ErrorResponse.with_message(
            400, "tools: the parameters are nested too deeply"
        ) from error
    calls = {part["properties"]["name"]["const"]: part for part in schema.get("anyOf", [schema])}
    bare = {name: _without_definitions(call) for name, call in calls.items()}
    return CallSchema(bare, arguments_key, schema.get("$defs", {}))


def read_call_schema(schema: Mapping[str, Any], names: Collection[str]) -> CallSchema | None:
    """Return what a schema says about calls; None unless an alternative is a call.

    Recognised are: an object with the properties `name`, a constant, and one other, which holds
    the arguments; `anyOf` such objects; an array of either; and `anyOf` of these with another
    schema at its end, that of a final answer.

    Args:
        schema: The schema of an answer.
        names: The tools on offer: the constants that are calls.

    Example:
        ```python
        from langchain_voxtral.local.prompting.tool_calling import read_call_schema

        call = {"properties": {"name": {"const": "add"}, "arguments": {"type": "object"}}}
        assert read_call_schema(call, ["add"]).arguments_key == "arguments"
        assert read_call_schema(call, ["subtract"]) is None
        ```
    """
    *parts, last = _alternatives(schema)
    final = None if _is_calls(last, names) else last
    if final is None:
        parts.append(last)
    array = len(parts) == 1 and _is_array(parts[0])
    if array:
        parts = _alternatives(parts[0]["items"]) if _is_calls(parts[0], names) else []
    keys = {_arguments_key(part, names) for part in parts}
    if len(keys) != 1 or "" in keys:
        return None
    return CallSchema(
        {part["properties"]["name"]["const"]: _without_definitions(part) for part in parts},
        keys.pop(),
        schema.get("$defs", {}),
        final,
        array=array,
    )


def _alternatives(schema: Any) -> list[Any]:
    """Return the schemas that a value may follow, itself if it has no alternatives."""
    any_of = schema.get("anyOf") if isinstance(schema, Mapping) else None
    return any_of if isinstance(any_of, list) and any_of else [schema]


def _is_calls(schema: Any, names: Collection[str]) -> bool:
    """Return whether a schema is that of a call, or of an array of calls."""
    if _is_array(schema):
        items = _alternatives(schema.get("items"))
        return all(_arguments_key(item, names) for item in items)
    return bool(_arguments_key(schema, names))


def _is_array(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "array"


def _arguments_key(schema: Any, names: Collection[str]) -> str:
    """Return the key of the arguments in the schema of a call; "" if it is none."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or len(properties) != _NAME_AND_ARGUMENTS:
        return ""
    name = properties.get("name")
    called = name.get("const") if isinstance(name, Mapping) else None
    if not isinstance(called, str) or called not in names:
        return ""
    return next(str(key) for key in properties if key != "name")


def _without_definitions(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "$defs"}

"""Tools as LangChain has them, as OpenAI writes them, and as the schema of their calls."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from langchain_core.tools import BaseTool

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.conversion import convert
from langchain_voxtral.tools.json_schema import close_objects, relocate_definitions

__all__ = [
    "NO_PARAMETERS",
    "TOOL_CHOICES",
    "normalize_tool_choice",
    "to_openai_tools",
    "tool_call_schema",
]

NO_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}
"""The parameters of a tool that takes none."""

TOOL_CHOICES: Mapping[object, str] = {
    None: "auto",
    "auto": "auto",
    "any": "any",
    "required": "any",
    True: "any",
    "none": "none",
    False: "none",
}
"""Every `tool_choice` that is not a tool's name, and what it means."""


def to_openai_tools(
    tools: Iterable[dict[str, Any] | type | Callable[..., Any] | BaseTool],
    *,
    strict: bool | None = None,
) -> list[dict[str, Any]]:
    """Return tools as OpenAI tool dicts: `{"type": "function", "function": {...}}`.

    The conversion is remembered for as long as the tool lives; the dicts are fresh each time.

    Args:
        tools: Tools, functions, pydantic classes, TypedDicts, JSON schemas with a title, tool
            dicts of OpenAI, Anthropic or Bedrock.
        strict: OpenAI's `strict`; None says nothing about it.

    Raises:
        VoxtralInvalidRequestError: One of them is no tool, its name is missing, malformed or
            taken, or its parameters are no object schema.

    Example:
        ```python
        from langchain_voxtral.tools.schema import to_openai_tools

        def add(a: int, b: int) -> int:
            '''Add two integers.'''
            return a + b

        assert to_openai_tools([add])[0]["function"]["parameters"]["required"] == ["a", "b"]
        ```
    """
    if isinstance(tools, str | Mapping | BaseTool | type) or not isinstance(tools, Iterable):
        raise VoxtralInvalidRequestError(
            f"tools must be a list of tools, not {type(tools).__name__}: write tools=[...]."
        )
    offered = [convert(tool, f"tools[{at}]", strict=strict) for at, tool in enumerate(tools)]
    seen: dict[str, int] = {}
    for at, name in enumerate(map(_name, offered)):
        if name in seen:
            raise VoxtralInvalidRequestError(
                f"tools[{seen[name]}] and tools[{at}] are both named {name!r}. The model tells "
                "tools apart by their names: rename one."
            )
        seen[name] = at
    return offered


def _name(tool: Mapping[str, Any]) -> str:
    return str(tool["function"]["name"])


def normalize_tool_choice(tool_choice: object, tools: Sequence[Mapping[str, Any]]) -> str:
    """Return what a `tool_choice` asks for: `auto`, `any`, `none`, or a tool's name.

    Args:
        tool_choice: None or `"auto"` (the model decides), `"any"`, `"required"` or True (it
            must call a tool), `"none"` or False (it must not), a tool's name, or OpenAI's
            `{"type": "function", "function": {"name": NAME}}`. A tool that is named like one
            of these words cannot be chosen by name: the word keeps its meaning.
        tools: The tools, as `to_openai_tools` returns them.

    Raises:
        VoxtralInvalidRequestError: It is none of these, names a tool that is not there, or
            demands a call where there are no tools.

    Example:
        ```python
        from langchain_voxtral.tools.schema import normalize_tool_choice

        tools = [{"type": "function", "function": {"name": "add"}}]
        assert normalize_tool_choice("required", tools) == "any"
        assert normalize_tool_choice("add", tools) == "add"
        ```
    """
    if tool_choice is None or isinstance(tool_choice, str | bool):
        choice = TOOL_CHOICES.get(tool_choice)
    else:
        tool_choice, choice = _named(tool_choice), None
    if choice in {"auto", "none"}:
        return str(choice)
    if not tools:
        raise VoxtralInvalidRequestError(
            f"tool_choice={tool_choice!r} demands a call, but there are no tools."
        )
    if choice is not None:
        return choice
    names = [_name(tool) for tool in tools]
    if tool_choice in names:
        return str(tool_choice)
    near = get_close_matches(str(tool_choice), names, n=1)
    raise VoxtralInvalidRequestError(
        f"tool_choice={tool_choice!r} names none of the tools; they are {', '.join(names)}"
        + (f". Did you mean {near[0]!r}?" if near else ".")
    )


def _named(tool_choice: object) -> str:
    match tool_choice:
        case {"type": "function", "function": {"name": str(name)}}:
            if name in TOOL_CHOICES:
                raise VoxtralInvalidRequestError(
                    f"The tool {name!r} cannot be chosen by name, because the word has a "
                    "meaning of its own in tool_choice: rename the tool."
                )
            return name
    raise VoxtralInvalidRequestError(
        f"tool_choice cannot be {tool_choice!r}. Give 'auto', 'any', 'none', a tool's name, or "
        "{'type': 'function', 'function': {'name': NAME}}."
    )


def tool_call_schema(
    tools: Sequence[Mapping[str, Any]],
    *,
    arguments_key: str,
    several: bool = False,
    final: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON schema that a call of one of the tools follows.

    Args:
        tools: The tools, as `to_openai_tools` returns them.
        arguments_key: What the prompt format calls the arguments: `parameters`, `arguments`.
        several: Whether the answer is a list of calls, one or more, instead of one call.
        final: The schema of a final answer that may be given instead of a call.

    Raises:
        VoxtralInvalidRequestError: There is nothing to choose from, or a `$ref` names nothing.

    Example:
        ```python
        from langchain_voxtral.tools.schema import NO_PARAMETERS, tool_call_schema

        tools = [{"type": "function", "function": {"name": "now"}}]
        assert tool_call_schema(tools, arguments_key="arguments") == {
            "type": "object",
            "properties": {"name": {"const": "now"}, "arguments": NO_PARAMETERS},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        ```
    """
    alternatives: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for at, tool in enumerate(tools):
        parameters = tool["function"].get("parameters") or NO_PARAMETERS
        arguments, named = relocate_definitions(close_objects(parameters), f"call{at}")
        alternatives.append(_call(_name(tool), arguments_key, arguments))
        definitions |= named
    if several and alternatives:
        alternatives = [{"type": "array", "minItems": 1, "items": _any(alternatives)}]
    if final is not None:
        answer, named = relocate_definitions(close_objects(final), "final")
        alternatives.append(answer)
        definitions |= named
    if not alternatives:
        raise VoxtralInvalidRequestError("A call is demanded, but there are no tools.")
    schema = _any(alternatives)
    return schema | {"$defs": definitions} if definitions else schema


def _any(alternatives: list[dict[str, Any]]) -> dict[str, Any]:
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}


def _call(name: str, arguments_key: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, arguments_key: arguments},
        "required": ["name", arguments_key],
        "additionalProperties": False,
    }

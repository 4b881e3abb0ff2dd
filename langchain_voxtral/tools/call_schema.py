"""The JSON schema of calls of tools."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.json_schema import close_objects, relocate_definitions
from langchain_voxtral.tools.schema import NO_PARAMETERS, tool_name


def tool_call_schema(
    tools: Sequence[Mapping[str, Any]],
    *,
    arguments_key: str,
    several: bool = False,
    final: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON schema of a call of one of the tools, its arguments under `arguments_key`.

    With `several` it is that of a list of calls, one or more. `final` is the schema of an answer
    that may be given instead of a call.

    Raises:
        VoxtralInvalidRequestError: There is nothing to choose from, or a `$ref` names nothing.
    """
    alternatives: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for index, tool in enumerate(tools):
        parameters = tool["function"].get("parameters") or NO_PARAMETERS
        arguments, named = relocate_definitions(close_objects(parameters), f"call{index}")
        alternatives.append(_call_schema(tool_name(tool), arguments_key, arguments))
        definitions |= named
    if several and alternatives:
        alternatives = [{"type": "array", "minItems": 1, "items": _any_of(alternatives)}]
    if final is not None:
        answer, named = relocate_definitions(close_objects(final), "final")
        alternatives.append(answer)
        definitions |= named
    if not alternatives:
        raise VoxtralInvalidRequestError("A call is demanded, but there are no tools.")
    schema = _any_of(alternatives)
    return schema | {"$defs": definitions} if definitions else schema


def _any_of(alternatives: list[dict[str, Any]]) -> dict[str, Any]:
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}


def _call_schema(name: str, arguments_key: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, arguments_key: arguments},
        "required": ["name", arguments_key],
        "additionalProperties": False,
    }

"""Tools on offer: written and read by the same table."""

import json
from collections.abc import Callable, Mapping, Sequence

from langchain_voxtral.prompts.formats import ToolDefinitionSyntax
from langchain_voxtral.tools.json_text import dumps

BLANK_LINE = "\n\n"
"""Stands between what a system turn says, the tools on offer, and an instruction."""

Tools = tuple[dict[str, object], ...]


def render_tools(
    tools: Sequence[Mapping[str, object]],
    syntax: ToolDefinitionSyntax,
    treated: Callable[[str], str],
) -> str:
    """Return the text that offers tools to the model.

    Args:
        tools: The tools, in OpenAI's form; at least one.
        syntax: How the format writes them.
        treated: What is done to control markers in their JSON.

    Raises:
        VoxtralInvalidRequestError: JSON cannot express a tool.
    """
    values = [dict(tool) if syntax.wrapped else _unwrapped(tool) for tool in tools]
    texts = [dumps(value, what="the tools") for value in ([values] if syntax.array else values)]
    return syntax.open + treated("\n".join(texts)) + syntax.close


def parse_tools(text: str, syntax: ToolDefinitionSyntax) -> Tools | None:
    """Return the tools that JSON text describes; None unless all of it is tools.

    Args:
        text: What stands between the section's markers.
        syntax: How the format writes tools.
    """
    try:
        values = json.loads(text) if syntax.array else list(map(json.loads, text.split("\n")))
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        return None
    return tuple(value if syntax.wrapped else _wrapped(value) for value in values)


def split_tools(text: str, syntax: ToolDefinitionSyntax) -> tuple[str, Tools]:
    """Split the content of a system turn into what it says without the tools, and the tools.

    Args:
        text: What stands between the turn's markers.
        syntax: How the format writes tools.
    """
    before, _, rest = text.partition(syntax.open)
    section, _, after = rest.partition(syntax.close + BLANK_LINE)
    tools = parse_tools(section if after else section.removesuffix(syntax.close), syntax)
    if not tools:
        return text, ()
    return BLANK_LINE.join(filter(None, (before.removesuffix(BLANK_LINE), after))), tools


def _unwrapped(tool: Mapping[str, object]) -> object:
    """Return only the function of a tool in OpenAI's form; anything else as it is."""
    function = tool.get("function")
    is_plain = tool.keys() == {"type", "function"} and tool["type"] == "function"
    return function if is_plain and isinstance(function, dict) and "name" in function else tool


def _wrapped(value: dict[str, object]) -> dict[str, object]:
    return {"type": "function", "function": value} if "name" in value else value

"""Tools on offer: written and read by the same table."""

import json

from langchain_voxtral.prompts.formats import ToolDefinitionSyntax
from langchain_voxtral.prompts.render import BLANK_LINE

Tools = tuple[dict[str, object], ...]


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


def _wrapped(value: dict[str, object]) -> dict[str, object]:
    return {"type": "function", "function": value} if "name" in value else value

"""The choice among tools."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.schema import tool_name

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


def normalize_tool_choice(tool_choice: object, tools: Sequence[Mapping[str, Any]]) -> str:
    """Return what a `tool_choice` asks for: `auto`, `any`, `none`, or a tool's name.

    A tool that is named like one of the words in `TOOL_CHOICES` cannot be chosen by name.

    Raises:
        VoxtralInvalidRequestError: It means nothing, names a tool that is not there, or
            demands a call where there are no tools.
    """
    if tool_choice is None or isinstance(tool_choice, str | bool):
        choice = TOOL_CHOICES.get(tool_choice)
    else:
        tool_choice, choice = _chosen_name(tool_choice), None
    if choice in {"auto", "none"}:
        return str(choice)
    if not tools:
        raise VoxtralInvalidRequestError(
            f"tool_choice={tool_choice!r} demands a call, but there are no tools."
        )
    if choice is not None:
        return choice
    names = [tool_name(tool) for tool in tools]
    if tool_choice in names:
        return str(tool_choice)
    near = get_close_matches(str(tool_choice), names, n=1)
    raise VoxtralInvalidRequestError(
        f"tool_choice={tool_choice!r} names none of the tools; they are {', '.join(names)}"
        + (f". Did you mean {near[0]!r}?" if near else ".")
    )


def _chosen_name(tool_choice: object) -> str:
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

"""Tool calls in an assistant turn: written and read by the same table."""

import json

from langchain_voxtral.messages.turns import ToolCall
from langchain_voxtral.prompts.formats import ToolCallSyntax


def split_calls(text: str, syntax: ToolCallSyntax) -> tuple[str, list[ToolCall]]:
    """Split the content of an assistant turn into its text and the calls at its end.

    Args:
        text: What stands between the turn's markers.
        syntax: How the format writes calls.

    Returns:
        The text, and the calls in order; the id of a call is "" where none is written.
    """
    found: list[list[ToolCall]] = []
    gap = syntax.separator + syntax.open
    end = len(text)
    while text.endswith(syntax.close, 0, end):
        json_end = end - len(syntax.close)
        at = text.rfind(gap, 0, json_end)
        if at < 0 and not text.startswith(syntax.open):
            break
        json_start = at + len(gap) if at >= 0 else len(syntax.open)
        calls = _parsed(text[json_start:json_end], syntax)
        if not calls:
            break
        found.append(calls)
        end = max(at, 0)
        if at < 0:
            break
    return text[:end], [call for calls in reversed(found) for call in calls]


def _parsed(text: str, syntax: ToolCallSyntax) -> list[ToolCall]:
    """Return the calls that one JSON text makes; none unless all of it is calls."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    values = value if syntax.array and isinstance(value, list) else [value]
    calls = [call for value in values if (call := _call(value, syntax)) is not None]
    return calls if len(calls) == len(values) else []


def _call(value: object, syntax: ToolCallSyntax) -> ToolCall | None:
    known = {"name", syntax.arguments_key, syntax.id_key} - {""}
    if not isinstance(value, dict) or not value.keys() <= known:
        return None
    name, arguments = value.get("name"), value.get(syntax.arguments_key)
    call_id = value.get(syntax.id_key, "")
    if isinstance(name, str) and isinstance(arguments, dict) and isinstance(call_id, str):
        return ToolCall(call_id, name, arguments)
    return None

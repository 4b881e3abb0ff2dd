"""Ask for tool calls in each call mode, and compare the responses."""

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable
from support.call_modes import sum_of
from support.tool_dialects import USAGE, Dialect, ScriptedCall

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Tell the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
WEATHER_TOOL: dict[str, Any] = {"type": "function", "function": WEATHER}
NOW: dict[str, Any] = {"name": "now", "description": "Tell the time."}
NOW_TOOL: dict[str, Any] = {"type": "function", "function": NOW}

PARIS = ScriptedCall("get_weather", '{"city": "Paris"}', "parisAAA1")
LYON = ScriptedCall("get_weather", '{"city": "Lyon"}', "lyonAAAA2")
_ID = re.compile("[A-Za-z0-9]{9}")


async def chunks_of(
    model: Runnable[Any, Any], call_mode: str, prompt: Any = "Hello!", **options: Any
) -> list[AIMessageChunk]:
    """Return the chunks of a streamed answer."""
    if call_mode == "stream":
        return list(model.stream(prompt, **options))
    return [chunk async for chunk in model.astream(prompt, **options)]


async def get_message(
    model: Runnable[Any, Any], call_mode: str, prompt: Any = "Hello!", **options: Any
) -> AIMessage:
    """Call the model; add up the chunks if it streams."""
    if "stream" in call_mode:
        return sum_of(await chunks_of(model, call_mode, prompt, **options))
    if call_mode == "invoke":
        invoked: AIMessage = model.invoke(prompt, **options)
        return invoked
    awaited: AIMessage = await model.ainvoke(prompt, **options)
    return awaited


def fields_of(message: AIMessage) -> dict[str, Any]:
    """Return the fields of an answer that are compared: all but its random id."""
    return {
        "content": message.content,
        "tool_calls": message.tool_calls,
        "invalid_tool_calls": message.invalid_tool_calls,
        "usage_metadata": message.usage_metadata,
        "response_metadata": message.response_metadata,
        "additional_kwargs": message.additional_kwargs,
    }


def expected(  # noqa: D417 - the rest is what a server scripted
    dialect: Dialect,
    text: str,
    made: Sequence[tuple[ScriptedCall, dict[str, Any]]],
    *,
    streamed: bool,
) -> dict[str, Any]:
    """Return what `fields_of` gives for an answer that came to its end.

    Args:
        made: The calls, each with its arguments as Python has them.
    """
    calls = [
        {"name": call.name, "args": arguments, "id": call.id, "type": "tool_call"}
        for call, arguments in made
    ]
    return {
        "content": text,
        "tool_calls": calls,
        "invalid_tool_calls": [],
        "usage_metadata": USAGE,
        "response_metadata": dialect.metadata([call for call, _ in made], streamed=streamed),
        "additional_kwargs": {},
    }


def with_ids_of(dialect: Dialect, message: AIMessage, calls: Sequence[ScriptedCall]) -> AIMessage:
    """Check the ids of an answer's calls; replace generated ids with those of `calls`."""
    made = [*message.tool_calls, *message.invalid_tool_calls]
    ids = [str(call["id"]) for call in made]
    assert len(set(ids)) == len(ids)
    if dialect.has_ids:
        assert ids == [call.id for call in calls]
        return message
    assert all(map(_ID.fullmatch, ids))
    for one, call in zip(made, calls, strict=True):
        one["id"] = call.id
    return message

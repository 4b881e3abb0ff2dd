"""A message of chat completions, or a piece of one: its text, refusal and tool calls."""

from pydantic_core import to_json

from langchain_voxtral.protocol.fields import (
    JsonObject,
    UnexpectedShapeError,
    as_int,
    as_object,
    may_hold_text,
    non_empty,
)
from langchain_voxtral.protocol.tool_call_deltas import NO_INDEX
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

_TEXT_PARTS = ("text", "refusal")
"""Types of content parts with a text, which stands under a key of the same name."""

# Voxtral does not reason. Another model at the same address may (DeepInfra forwards the requests
# for a model it retires); its reasoning is no part of the answer, so neither these parts nor
# `reasoning_content` beside the content are read.
_REASONING_PARTS = ("thinking", "reasoning")

_MAX_INDEX_DIGITS = 10


def parse_message(message: object) -> tuple[str, str, list[ToolCallChunk]]:
    """Return the text, the refusal and the tool calls of a message, or of a stream's piece of one.

    Raises:
        UnexpectedShapeError: Part of the message is of no known form.
    """
    if not isinstance(message, dict):
        raise UnexpectedShapeError("a choice without a message")
    content, given = message.get("content"), message.get("refusal")
    text, refusal = _text(content, "text"), _text(content, "refusal")
    if isinstance(given, str) or (may_hold_text(given) and not text):
        refusal += _text(given, "text")
    calls = message.get("tool_calls")
    if not calls and message.get("function_call"):  # OpenAI's older name for a single call
        calls = [{"function": message["function_call"]}]
    if isinstance(calls, list):
        return text, refusal, list(map(_call, filter(may_hold_text, calls)))
    if may_hold_text(calls) or (calls and not text):
        raise UnexpectedShapeError("tool calls that are not a list")
    return text, refusal, []


def _text(content: object, kind: str) -> str:
    """Return the text of the parts of one type; content without parts is text."""
    if content is None or isinstance(content, str):
        return (content or "") if kind == "text" else ""
    if not isinstance(content, list):
        raise UnexpectedShapeError("a message whose content is neither text nor a list of parts")
    texts = [(_kind(part), _part_text(part)) for part in content]
    return "".join(text for of_kind, text in texts if of_kind == kind)


def _kind(part: object) -> object:
    return as_object(part).get("type")


def _part_text(part: object) -> str:
    kind = _kind(part)
    text = as_object(part).get(kind) if kind in _TEXT_PARTS else None
    if isinstance(text, str):
        return text
    if kind in _REASONING_PARTS:
        return ""
    raise UnexpectedShapeError("a content part that is not text")


def _call(call: object) -> ToolCallChunk:
    function = as_object(call).get("function")
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise UnexpectedShapeError("a tool call without a function")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        # An object in place of a string. Not-a-number stays, to be refused by who reads it.
        arguments = (
            "" if arguments is None else to_json(arguments, inf_nan_mode="constants").decode()
        )
    return ToolCallChunk(
        read_index(call, NO_INDEX),
        id=non_empty(call.get("id")),
        name=non_empty(function.get("name")),
        arguments=arguments,
    )


def read_index(item: JsonObject, default: int) -> int:
    """Return the index of a choice or a call, which some servers send as text."""
    index = item.get("index")
    if isinstance(index, str) and index.isdecimal() and len(index) < _MAX_INDEX_DIGITS:
        index = int(index)
    number = as_int(index)
    return default if number is None or number != index else number

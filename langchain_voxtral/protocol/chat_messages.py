"""Messages of chat completions, whole or in the pieces of a stream: their text and tool calls."""

from pydantic_core import to_json

from langchain_voxtral.protocol.fields import non_empty
from langchain_voxtral.protocol.sse import JsonObject
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

_TEXT_PARTS = {"text": "text", "refusal": "refusal"}
"""Types of content parts that are text, with the key that it stands under."""

# Voxtral does not reason. Another model at the same address may (DeepInfra forwards the requests
# for a model it retires); its thoughts are no part of the answer, so neither these parts nor
# `reasoning_content` beside the content are read.
_THOUGHTS = frozenset({"thinking", "reasoning"})


class UnexpectedShapeError(Exception):
    """What a server sent is of no known form; says what of it. It never leaves this room."""


def read_message(message: object) -> tuple[str, list[ToolCallChunk]]:
    """Return the text and the tool calls of a message, or of a stream's piece of one.

    A refusal is text. Arguments stay as sent, or are written as JSON where the server sends an
    object in place of a string. A call without an index has its position for one.

    Raises:
        UnexpectedShapeError: Part of the message is of no known form.
    """
    if not isinstance(message, dict):
        raise UnexpectedShapeError("a choice without a message")
    content, refusal = message.get("content"), message.get("refusal")
    text = content if isinstance(content, str) else _text(content)
    if refusal:
        text += _text(refusal)
    calls = message.get("tool_calls")
    if not calls and message.get("function_call"):  # OpenAI's older name for a single call
        calls = [{"function": message["function_call"]}]
    return text, _parts(calls) if calls else []


def index_in(item: JsonObject, position: int) -> int:
    """Return the index that a choice or a call tells, else its position."""
    index = item.get("index")
    return index if isinstance(index, int) and index >= 0 else position


def _text(content: object) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise UnexpectedShapeError("a message whose content is neither text nor a list of parts")
    return "".join(map(_part_text, content))


def _part_text(part: object) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, dict) and isinstance(kind, str):
        text = part.get(_TEXT_PARTS.get(kind, ""))
        if isinstance(text, str):
            return text
        if kind in _THOUGHTS:
            return ""
    raise UnexpectedShapeError("a content part that is not text")


def _parts(calls: object) -> list[ToolCallChunk]:
    if not isinstance(calls, list):
        raise UnexpectedShapeError("tool calls that are not a list")
    return [_part(call, position) for position, call in enumerate(calls)]


def _part(call: object, position: int) -> ToolCallChunk:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise UnexpectedShapeError("a tool call without a function")
    return ToolCallChunk(
        index_in(call, position),
        id=non_empty(call.get("id")),
        name=non_empty(function.get("name")),
        arguments=_arguments(function.get("arguments")),
    )


def _arguments(arguments: object) -> str:
    if isinstance(arguments, str):
        return arguments
    # Not-a-number stays what it is, to be refused where the arguments are read.
    return "" if arguments is None else to_json(arguments, inf_nan_mode="constants").decode()

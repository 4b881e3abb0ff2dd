"""Answers as what LangChain passes around: messages, chunks, generations."""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_voxtral.completions.response import Completion, ResponseInfo, StreamItem, TextDelta

__all__ = ["to_chat_chunk", "to_chat_result"]

FIRST_CALL = 1000
"""The `index` of an answer's first tool call. With `output_version="v1"` LangChain numbers the text
blocks of a stream from 0 and merges what has one number: a call must never have that of a text."""


def to_chat_result(answers: Sequence[Completion]) -> ChatResult:
    """Return the answers to a question as LangChain's result."""
    return ChatResult(generations=[ChatGeneration(message=_message(said)) for said in answers])


def _message(said: Completion) -> AIMessage:
    valid = [
        tool_call(name=call.name, args=call.arguments, id=call.id)
        for call in said.calls
        if call.arguments is not None and not call.error
    ]
    invalid = [
        invalid_tool_call(name=call.name, args=call.text, id=call.id, error=call.error)
        for call in said.calls
        if call.error
    ]
    return AIMessage(
        content=said.text,
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=said.outcome.usage_metadata(),
        response_metadata=said.outcome.response_metadata(),
    )


def to_chat_chunk(item: StreamItem) -> ChatGenerationChunk:
    """Make a chunk; usage and metadata ride on the last one alone, since LangChain adds them."""
    if isinstance(item, TextDelta):
        return ChatGenerationChunk(
            message=AIMessageChunk(content=item.text), generation_info=item.generation_info()
        )
    if isinstance(item, ResponseInfo):
        message = AIMessageChunk(
            content="",
            usage_metadata=item.usage_metadata(),
            response_metadata=item.response_metadata(),
            chunk_position="last",
        )
    else:
        part = tool_call_chunk(
            name=item.name, args=item.arguments, id=item.id, index=FIRST_CALL + item.index
        )
        message = AIMessageChunk(content="", tool_call_chunks=[part])
    return ChatGenerationChunk(message=message)

"""Answers as what LangChain passes around: messages, chunks, generations."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_voxtral.completions.response import Completion, StreamItem, TextDelta
from langchain_voxtral.protocol.responses import ResponseInfo

FIRST_TOOL_CALL_INDEX = 1000
"""The `index` of an answer's first tool call. With `output_version="v1"` LangChain numbers the text
blocks of a stream from 0 and merges what has one number: a call must never have that of a text."""


def usage_metadata(info: ResponseInfo) -> UsageMetadata | None:
    """Return LangChain's usage, or None unless the server told both numbers."""
    usage = info.usage
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    total = usage.input_tokens + usage.output_tokens
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=total
    )
    details = InputTokenDetails()
    if usage.cached_tokens is not None:
        details["cache_read"] = usage.cached_tokens
    if usage.audio_tokens is not None:
        details["audio"] = usage.audio_tokens
    if details:
        metadata["input_token_details"] = details
    return metadata


def response_metadata(info: ResponseInfo) -> dict[str, Any]:
    """Return what is known, by name; what is not known is absent."""
    source = "derived" if info.finish_reason_is_derived else "server"
    metadata = {
        "model_name": info.model,
        "model_provider": info.provider,
        "finish_reason": info.finish_reason,
        "finish_reason_source": source if info.finish_reason is not None else None,
        "request_id": info.request_id,
        "cost": info.usage.cost,
        "runtime_ms": info.runtime_ms,
        "attempts": info.attempts if info.attempts > 1 else None,
        "usage_incomplete": info.usage_incomplete or None,
        "resumes": info.resumes or None,
        "cost_complete": False if info.resumes else None,
        "logprobs": _logprobs(info.logprobs),
        "structured_output": info.structured_output,
    }
    return {name: value for name, value in metadata.items() if value is not None}


def generation_info(delta: TextDelta) -> dict[str, Any] | None:
    """Return the log probabilities of a delta, or None if it has none."""
    return {"logprobs": _logprobs(delta.logprobs)} if delta.logprobs else None


def _logprobs(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return log probabilities in OpenAI's shape."""
    return {"content": list(tokens)} if tokens else None


def to_chat_result(answers: Sequence[Completion]) -> ChatResult:
    """Return the answers to a question as LangChain's result."""
    return ChatResult(generations=[ChatGeneration(message=_message(said)) for said in answers])


def _message(said: Completion) -> AIMessage:
    valid = [
        tool_call(name=call.name, args=call.arguments, id=call.id)
        for call in said.tool_calls
        if call.arguments is not None and not call.error
    ]
    invalid = [
        invalid_tool_call(name=call.name, args=call.raw_arguments, id=call.id, error=call.error)
        for call in said.tool_calls
        if call.error
    ]
    return AIMessage(
        content=said.text,
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=usage_metadata(said.info),
        response_metadata=response_metadata(said.info),
    )


def to_chat_chunk(item: StreamItem) -> ChatGenerationChunk:
    """Make a chunk; usage and metadata ride on the last one alone, since LangChain adds them."""
    if isinstance(item, TextDelta):
        return ChatGenerationChunk(
            message=AIMessageChunk(content=item.text), generation_info=generation_info(item)
        )
    if isinstance(item, ResponseInfo):
        message = AIMessageChunk(
            content="",
            usage_metadata=usage_metadata(item),
            response_metadata=response_metadata(item),
            chunk_position="last",
        )
    else:
        part = tool_call_chunk(
            name=item.name,
            args=item.arguments,
            id=item.id,
            index=FIRST_TOOL_CALL_INDEX + item.index,
        )
        message = AIMessageChunk(content="", tool_call_chunks=[part])
    return ChatGenerationChunk(message=message)

"""Completions as LangChain's messages, chunks and results."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata, add_usage
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    GenerationChunk,
    LLMResult,
)

from langchain_voxtral.completions.chunks import make_blocks_chunk, make_chat_chunk, make_llm_chunk
from langchain_voxtral.completions.response import Completion, StreamItem, TextDelta
from langchain_voxtral.protocol.responses import ResponseInfo

FIRST_TOOL_CALL_INDEX = 1000
"""The `index` of a completion's first tool call. With `output_version="v1"` LangChain numbers the
text blocks of a stream from 0 and merges equal numbers: a call must never have a text's number."""


def usage_metadata(info: ResponseInfo) -> UsageMetadata | None:
    """Return LangChain's usage, or None unless the server reported both numbers."""
    usage = info.usage
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
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


def to_chat_result(completions: Sequence[Completion]) -> ChatResult:
    """Return completions as a chat model's result."""
    return ChatResult(generations=[ChatGeneration(message=_message(one)) for one in completions])


def _message(completion: Completion) -> AIMessage:
    valid = [
        tool_call(name=call.name, args=call.arguments, id=call.id)
        for call in completion.tool_calls
        if call.arguments is not None and not call.error
    ]
    invalid = [
        invalid_tool_call(name=call.name, args=call.raw_arguments, id=call.id, error=call.error)
        for call in completion.tool_calls
        if call.error
    ]
    return AIMessage(
        content=completion.text,
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=usage_metadata(completion.info),
        response_metadata=response_metadata(completion.info),
    )


def to_chat_chunk(item: StreamItem) -> ChatGenerationChunk:
    """Return an item of a stream as a chat model's chunk."""
    if isinstance(item, TextDelta):
        chunk = make_chat_chunk(item.text)
        if item.logprobs:
            chunk.generation_info = {"logprobs": _logprobs(item.logprobs)}
        return chunk
    if isinstance(item, ResponseInfo):
        return ChatGenerationChunk(message=_last_message(item))
    call = tool_call_chunk(
        name=item.name, args=item.arguments, id=item.id, index=FIRST_TOOL_CALL_INDEX + item.index
    )
    return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))


def to_blocks_chunk(item: StreamItem) -> ChatGenerationChunk:
    """Return what LangChain would make of a chunk with `output_version="v1"`, for less."""
    if isinstance(item, TextDelta) and item.text and not item.logprobs:
        return make_blocks_chunk(item.text)
    return to_chat_chunk(item)


def _last_message(info: ResponseInfo) -> AIMessageChunk:
    """Return the message of the last chunk; it alone has metadata, since LangChain adds them up."""
    return AIMessageChunk(
        content="",
        usage_metadata=usage_metadata(info),
        response_metadata=response_metadata(info),
        chunk_position="last",
    )


def _logprobs(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return log probabilities in OpenAI's shape."""
    return {"content": list(tokens)} if tokens else None


def to_llm_result(completions_by_prompt: Sequence[Sequence[Completion]]) -> LLMResult:
    """Return the completions of several prompts as an LLM's result."""
    infos = [one.info for completions in completions_by_prompt for one in completions]
    usages = [usage for info in infos if (usage := usage_metadata(info))]
    costs = [info.usage.cost for info in infos if info.usage.cost is not None]
    llm_output: dict[str, Any] = {"model_name": infos[0].model} if infos else {}
    if usages:
        llm_output["token_usage"] = reduce(add_usage, usages, None)
    if costs:
        llm_output["cost"] = sum(costs)
    return LLMResult(
        generations=[[_generation(one) for one in each] for each in completions_by_prompt],
        llm_output=llm_output,
    )


def _generation(completion: Completion) -> ChatGeneration:
    """Return a generation with a message: LangChain's tracers read usage from nowhere else."""
    message = AIMessage(
        content=completion.text,
        usage_metadata=usage_metadata(completion.info),
        response_metadata=response_metadata(completion.info),
    )
    return ChatGeneration(message=message, generation_info=_generation_info(completion.info))


def _generation_info(info: ResponseInfo) -> dict[str, Any]:
    usage = usage_metadata(info)
    return response_metadata(info) | ({"usage_metadata": dict(usage)} if usage else {})


def to_llm_chunk(item: StreamItem) -> GenerationChunk:
    """Return an item of a stream as an LLM's chunk."""
    if isinstance(item, TextDelta):
        chunk = make_llm_chunk(item.text)
        if item.logprobs:
            chunk.generation_info = {"logprobs": _logprobs(item.logprobs)}
        return chunk
    info = cast("ResponseInfo", item)  # a string offers no tools, so there are no calls
    return _LastChunk(text="", generation_info=_generation_info(info), message=_last_message(info))


class _LastChunk(GenerationChunk):
    """The chunk with the metadata; added to the text before it, it makes a chat generation.

    LangChain adds up the chunks of a stream and hands the sum to the tracers, which read usage
    from messages only.
    """

    message: AIMessageChunk

    def __radd__(self, before: GenerationChunk) -> ChatGenerationChunk:  # type: ignore[misc]  # on purpose, see above
        whole = before + GenerationChunk(text=self.text, generation_info=self.generation_info)
        message = self.message.model_copy(update={"content": whole.text})
        return ChatGenerationChunk(message=message, generation_info=whole.generation_info)

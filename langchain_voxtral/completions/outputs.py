"""Completions as LangChain's messages, chunks and results."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata, add_usage
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import (
    ChatGeneration,
    ChatResult,
    LLMResult,
)

from langchain_voxtral.completions.response import Completion
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
        "endpoint": info.endpoint,
        "finish_reason": info.finish_reason,
        "finish_reason_source": source if info.finish_reason is not None else None,
        "request_id": info.request_id,
        "cost": info.usage.cost,
        "audio_seconds": info.usage.audio_seconds,
        "runtime_ms": info.runtime_ms,
        "attempts": info.attempts if info.attempts > 1 else None,
        "usage_incomplete": info.usage_incomplete or None,
        "resumes": info.resumes or None,
        "cost_complete": False if info.resumes else None,
        "logprobs": logprobs_metadata(info.logprobs),
        "structured_output": info.structured_output,
    }
    return {name: value for name, value in metadata.items() if value is not None}


def to_chat_result(completions: Sequence[Completion]) -> ChatResult:
    """Return completions as a chat model's result."""
    return ChatResult(
        generations=[
            ChatGeneration(message=_message(one), generation_info=finish_info(one.info))
            for one in completions
        ]
    )


def finish_info(info: ResponseInfo) -> dict[str, Any] | None:
    """Return what OpenTelemetry's instrumentation reads of a chat's generation."""
    return None if info.finish_reason is None else {"finish_reason": info.finish_reason}


def with_llm_output(result: ChatResult) -> ChatResult:
    """Return a chat model's result with what OpenTelemetry's instrumentation reads of it.

    Not earlier: LangChain would copy it into the message's metadata, where it stands already.
    """
    message = result.generations[0].message if result.generations else None
    if isinstance(message, AIMessage) and not result.llm_output:
        told = message.response_metadata
        result.llm_output = _llm_output(
            told.get("model_name"), message.usage_metadata, told.get("request_id")
        )
    return result


def combine_llm_outputs(outputs: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return what is said of several results together."""
    told = list(filter(None, outputs))
    usages = [usage for one in told if (usage := one.get("token_usage"))]
    names = (one["model_name"] for one in told if "model_name" in one)
    return _llm_output(next(names, None), reduce(add_usage, usages, None))


def _llm_output(
    model: str | None, usage: UsageMetadata | None, request_id: str | None = None
) -> dict[str, Any]:
    # LangChain marks answers from its cache by a cost among the tokens.
    tokens = {name: value for name, value in (usage or {}).items() if name != "total_cost"}
    output = {"token_usage": tokens or None, "model_name": model, "id": request_id}
    return {name: value for name, value in output.items() if value is not None}


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
        content=content_of(completion.text, completion.info),
        additional_kwargs=refusal_kwargs(completion.info),
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=usage_metadata(completion.info),
        response_metadata=response_metadata(completion.info),
    )


def content_of(text: str, info: ResponseInfo) -> str | list[str | dict[str, Any]]:
    """Return the content of a message: its text, or LangChain's standard block of a refusal."""
    if info.refusal is None:
        return text
    texts: list[str | dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    return [*texts, refusal_block(info.refusal)]


def refusal_block(refusal: str) -> dict[str, Any]:
    """Return LangChain's standard block of a refusal (from langchain-core 1.7.5 on)."""
    return {"type": "refusal", "refusal": refusal}


def refusal_kwargs(info: ResponseInfo) -> dict[str, Any]:
    """Return where ChatOpenAI has a refusal."""
    return {} if info.refusal is None else {"refusal": info.refusal}


def logprobs_metadata(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return log probabilities in OpenAI's shape."""
    return {"content": list(tokens)} if tokens else None


def to_llm_result(completions_by_prompt: Sequence[Sequence[Completion]]) -> LLMResult:
    """Return the completions of several prompts as an LLM's result."""
    infos = [one.info for completions in completions_by_prompt for one in completions]
    usages = [usage for info in infos if (usage := usage_metadata(info))]
    costs = [info.usage.cost for info in infos if info.usage.cost is not None]
    llm_output = _llm_output(
        infos[0].model if infos else None,
        reduce(add_usage, usages, None),
        infos[0].request_id if len(completions_by_prompt) == 1 else None,
    )
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
    return ChatGeneration(message=message, generation_info=generation_info(completion.info))


def generation_info(info: ResponseInfo) -> dict[str, Any]:
    """Return what is known, as an LLM's generation has it."""
    usage = usage_metadata(info)
    return response_metadata(info) | ({"usage_metadata": dict(usage)} if usage else {})

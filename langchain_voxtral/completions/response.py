"""Completions: a whole response becomes texts, tool calls and what is known of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.completions.resume import repeated_prefill, token_limits
from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralResponseError,
)
from langchain_voxtral.profiles import known_limits
from langchain_voxtral.prompts import StreamUnescaper, find_stop
from langchain_voxtral.protocol.endpoints import NATIVE
from langchain_voxtral.protocol.responses import ResponseInfo, Usage
from langchain_voxtral.tools.call_accumulator import (
    ParsedToolCall,
    ToolCallChunk,
    assemble_calls,
    make_unparsable,
)
from langchain_voxtral.tools.fenced_json import strip_json_fence
from langchain_voxtral.transport import HTTPRequest, HTTPResponse, read_header


@dataclass(slots=True)
class TextDelta:
    """Text to show now, with log probabilities (not frozen: an answer has many).

    Args:
        text: The text.
        logprobs: Its tokens with their log probabilities.
    """

    text: str
    logprobs: Sequence[Mapping[str, Any]]


StreamItem = str | TextDelta | ToolCallChunk | ResponseInfo
"""What a streamed completion is made of: text to show now is a string, unless it has log
probabilities; the last item is the `ResponseInfo`."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole completion.

    Args:
        text: Its text.
        info: All else that is known of it.
        tool_calls: The tool calls it makes.
    """

    text: str
    info: ResponseInfo
    tool_calls: tuple[ParsedToolCall, ...] = ()


def collect_stream(items: Iterable[StreamItem]) -> Completion:
    """Return the text of a whole stream, which always ends with its `ResponseInfo`."""
    texts: list[str] = []
    logprobs: list[Mapping[str, Any]] = []
    info: ResponseInfo | None = None
    for item in items:
        if isinstance(item, ResponseInfo):
            info = item
        elif isinstance(item, str):
            texts.append(item)
        elif isinstance(item, TextDelta):
            texts.append(item.text)
            logprobs.extend(item.logprobs)
    text = "".join(texts)
    if info is None:
        raise VoxtralIncompleteStreamError("The stream ended early.", partial=text)
    return Completion(text, replace(info, logprobs=logprobs))


def to_stream_items(completion: Completion) -> list[StreamItem]:
    """Return a whole completion as the items of a stream."""
    items: list[StreamItem] = [completion.text] if completion.text else []
    for index, call in enumerate(completion.tool_calls):
        arguments = make_unparsable(call.raw_arguments) if call.error else call.raw_arguments
        items.append(ToolCallChunk(index, call.id, call.name, arguments))
    return [*items, completion.info]


def is_truncated(finish_reason: str | None) -> bool:
    """Return whether a completion ended before the model was done (length, content filter, ...)."""
    return finish_reason not in {None, "stop", "tool_calls"}


def parse_completions(
    request: CompletionRequest, http_request: HTTPRequest, response: HTTPResponse
) -> list[Completion]:
    """Return the completions of a whole response: as many as were asked for.

    Usage and cost are the request's; they stand on the first completion alone, so that what adds
    them up counts them once.

    Args:
        request: How to read the response.
        http_request: The request as it was sent, for its secrets.
        response: The response.

    Raises:
        VoxtralError: The body holds no completions.
    """
    headers, secrets = response.headers, http_request.secrets
    try:
        parsed = request.endpoint.parse_response(
            response.content,
            header_request_id=read_header(headers, "x-request-id", secrets),
            secrets=secrets,
        )
    except VoxtralError as error:
        error.attempts = response.attempts
        raise
    if len(parsed.texts) != request.n:
        name = request.endpoint.field_names.get("n", "n")
        advice = f" Check that the server supports {name}, or leave n unset."
        raise VoxtralResponseError(
            f"{request.n} responses were asked for and {len(parsed.texts)} came."
            f"{advice if request.n > 1 else ''}",
            request_id=parsed.info.request_id,
            attempts=response.attempts,
            partial=parsed.texts[0],
        )
    known: dict[str, Any] = {
        "model": read_header(headers, "x-voxtral-model", secrets) or request.model,
        "provider": request.provider_name,
        "endpoint": request.endpoint.name,
        "attempts": response.attempts,
        "structured_output": request.structured_output,
    }
    usage = parsed.info.usage
    inferred = _infer_finish_reason(request, known["model"], usage)
    completions = []
    for index, whole in enumerate(parsed.texts):
        raw = whole.removeprefix(repeated_prefill(request))
        text, chunks, is_stopped = read_text(
            request, raw, parsed.tool_calls[index] if parsed.tool_calls else ()
        )
        reported = parsed.finish_reasons[index] if parsed.finish_reasons else None
        reason = "stop" if is_stopped else reported or inferred
        if request.expects_json and not chunks:
            text = strip_json_fence(text)
        info = replace(
            parsed.info,
            **known,
            finish_reason=reason,
            finish_reason_is_derived=reported is None or reason != reported,
            refusal=parsed.refusals[index] if parsed.refusals else None,
            usage=usage if index == 0 else Usage(),
        )
        completions.append(Completion(text, info, _whole_calls(request, chunks, reason)))
    return completions


def _whole_calls(
    request: CompletionRequest, chunks: Sequence[ToolCallChunk], finish_reason: str | None
) -> tuple[ParsedToolCall, ...]:
    if not chunks:
        return ()
    given_names = request.tool_parsing.given_names if request.tool_parsing else {}
    return tuple(assemble_calls(chunks, cut=is_truncated(finish_reason), given_names=given_names))


def not_a_stream_error(
    request: CompletionRequest, http_request: HTTPRequest, response: HTTPResponse
) -> VoxtralError:
    """Return the error for a document that came where a stream was asked for."""
    try:
        completions = parse_completions(request, http_request, response)
    except VoxtralError as error:
        return error
    # Log probabilities are read from streams only, so that invoke() streams for them.
    advice = (
        "Leave logprobs unset."
        if request.logprobs
        else "Use invoke(), or for a ChatVoxtral set disable_streaming=True."
    )
    return VoxtralResponseError(
        "The server answered a streaming request with one document, so it seems not to "
        f"stream. {advice}",
        request_id=read_header(response.headers, "x-request-id", http_request.secrets),
        partial=completions[0].text,
    )


def read_text(
    request: CompletionRequest, raw: str, chunks: Sequence[ToolCallChunk] = ()
) -> tuple[str, Sequence[ToolCallChunk], bool]:
    """Return a text as it is shown, the chunks of all calls, and whether it was cut at a stop.

    Args:
        request: How to read the text.
        raw: The text as the server sent it.
        chunks: The calls that the server sent beside it.
    """
    end = find_stop(raw, request.raw_stops)
    is_stopped = end is not None
    raw = raw[:end]
    parts: list[str | ToolCallChunk] = [raw]
    if request.tool_parsing is not None and not chunks:
        parser = request.tool_parsing.parser()
        parts = [*parser.feed(raw), *parser.close()]
    if request.unescape:
        unescaper = StreamUnescaper(request.shown_stops)
        parts = [*unescaper.feed_parts(parts), *unescaper.finish()]
        is_stopped |= unescaper.stopped
    text = "".join(part for part in parts if isinstance(part, str))
    return text, [*chunks, *(part for part in parts if isinstance(part, ToolCallChunk))], is_stopped


def read_partial_text(request: CompletionRequest, raw: str) -> str:
    """Return the text of an answer that was cut, with what streaming would have held back."""
    if request.tool_parsing is not None:
        # Of an answer that is not whole nobody can say that it consists of calls alone.
        parsing = replace(request.tool_parsing, any_name=False)
        request = replace(request, tool_parsing=parsing)
    return read_text(request, raw)[0]


def _infer_finish_reason(request: CompletionRequest, model: str, usage: Usage) -> str | None:
    """Conclude why completions ended: unstreamed, the native endpoint does not tell.

    Args:
        request: The request.
        model: The model that answered.
        usage: Tokens of all completions together.

    Returns:
        `length` if each has as many tokens as were allowed; `stop` if none can have as many, nor as
        many as the model can generate; else None.
    """
    tokens, limit = usage.output_tokens, request.max_tokens
    if not tokens or limit is None:
        return None
    if tokens >= limit * request.n:
        return "length"
    if request.endpoint is not NATIVE or usage.input_tokens is None:
        return None
    context, most = known_limits(model)
    least = min(limit, most, context - usage.input_tokens, *token_limits(request.body).values())
    return "stop" if tokens < least else None

"""Answers: from a server's typed values to text, usage and metadata, without any I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages.ai import InputTokenDetails, UsageMetadata

from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralResponseError,
    redact,
)
from langchain_voxtral.prompts import PartsRestorer, StopSequenceFilter, unescape
from langchain_voxtral.protocol.endpoints import NATIVE, TextEndpoint
from langchain_voxtral.protocol.responses import Usage
from langchain_voxtral.tools.call_accumulator import ParsedToolCall, ToolCallChunk, assemble_calls
from langchain_voxtral.tools.call_parser import ToolCallParser
from langchain_voxtral.transport import HTTPRequest, HTTPResponse


@dataclass(frozen=True, slots=True)
class ToolCallParsing:
    """That tool calls are to be read out of the text.

    Args:
        names: The tools on offer.
        forced: Whether the text can be nothing else, because a grammar made it.
    """

    names: Sequence[str]
    forced: bool = False

    def parser(self) -> ToolCallParser:
        """Return a parser for one answer."""
        return ToolCallParser(self.names, forced=self.forced)

    def split(self, text: str, *, restores: bool) -> tuple[str, list[ToolCallChunk]]:
        """Return a text without the calls in it, and the parts of these.

        Args:
            text: The text, as it came.
            restores: Whether what it says, and calls with, is to be restored.
        """
        parser = self.parser()
        read = [*parser.feed(text), *parser.close()]
        if restores:
            restorer = PartsRestorer()
            read = [*restorer.feed(read), *restorer.close()]
        spoken = "".join(item for item in read if isinstance(item, str))
        return spoken, [item for item in read if isinstance(item, ToolCallChunk)]


@dataclass(frozen=True, slots=True)
class Call:
    """A prepared request, and how to read its answer.

    Args:
        request: What transport sends.
        model: The model asked for.
        provider: Who answers; also the tracer's `ls_provider`.
        stops: Where to cut the text.
        max_tokens: Most tokens asked for, if any.
        n: Answers asked for.
        restores: Whether content was neutralised, so that the answer must be restored.
        coalesces: Whether tokens that arrive in one read leave as one piece; with log
            probabilities each leaves with its own.
        logprobs: Whether log probabilities are wanted.
        body: The request's body, for a request that resumes it.
        resumes: How often a stream that is cut may be resumed.
        api: The endpoint that answers.
        calls: How tool calls are read out of the text, if they are.
    """

    request: HTTPRequest
    model: str
    provider: str
    stops: Sequence[str] = ()
    max_tokens: int | None = None
    n: int = 1
    restores: bool = True
    coalesces: bool = True
    logprobs: bool = False
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    resumes: int = 0
    api: TextEndpoint = NATIVE
    calls: ToolCallParsing | None = None


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    """All about an answer but its text.

    Args:
        model: The model that answered.
        provider: Who answered.
        usage: Tokens and cost.
        finish_reason: Why the text ended, if known.
        derived: Whether the finish reason was concluded here, not told by the server.
        request_id: The server's id of the request.
        runtime_ms: Milliseconds of inference, as the server says.
        attempts: How often the request was sent.
        usage_incomplete: Whether the stream was closed before usage and cost had come.
        resumes: How often the stream was cut and taken up again; the server's numbers for the
            cut attempts are unknown.
        logprobs: All tokens with their log probabilities, of a stream that was gathered.
        structure: How a form was had that the server would not constrain the answer to:
            `prompted`, `repaired`, or `failed`.
    """

    model: str
    provider: str
    usage: Usage = field(default_factory=Usage)
    finish_reason: str | None = None
    derived: bool = False
    request_id: str | None = None
    runtime_ms: int | None = None
    attempts: int = 1
    usage_incomplete: bool = False
    resumes: int = 0
    logprobs: Sequence[Mapping[str, Any]] = ()
    structure: str | None = None

    def usage_metadata(self) -> UsageMetadata | None:
        """Return LangChain's usage, or None unless the server told both numbers."""
        given, made = self.usage.input_tokens, self.usage.output_tokens
        if given is None or made is None:
            return None
        told = UsageMetadata(input_tokens=given, output_tokens=made, total_tokens=given + made)
        cached, heard = self.usage.cached_tokens, self.usage.audio_tokens
        details = InputTokenDetails()
        if cached is not None:
            details["cache_read"] = cached
        if heard is not None:
            details["audio"] = heard
        if details:
            told["input_token_details"] = details
        return told

    def response_metadata(self) -> dict[str, Any]:
        """Return what is known, by name; what is not known is absent."""
        source = "derived" if self.derived else "server"
        metadata = {
            "model_name": self.model,
            "model_provider": self.provider,
            "finish_reason": self.finish_reason,
            "finish_reason_source": source if self.finish_reason is not None else None,
            "request_id": self.request_id,
            "cost": self.usage.cost,
            "runtime_ms": self.runtime_ms,
            "attempts": self.attempts if self.attempts > 1 else None,
            "usage_incomplete": self.usage_incomplete or None,
            "resumes": self.resumes or None,
            "cost_complete": False if self.resumes else None,
            "logprobs": {"content": list(self.logprobs)} if self.logprobs else None,
            "structured_output": self.structure,
        }
        return {name: value for name, value in metadata.items() if value is not None}


@dataclass(slots=True)
class TextDelta:
    """Text to show now (not frozen: one is made for every token).

    Args:
        text: The text.
        logprobs: Its tokens with their log probabilities, if wanted and told.
    """

    text: str
    logprobs: Sequence[Mapping[str, Any]] = ()

    def generation_info(self) -> dict[str, Any] | None:
        """Return the log probabilities in the shape that OpenAI made common."""
        return {"logprobs": {"content": list(self.logprobs)}} if self.logprobs else None


StreamItem = TextDelta | ToolCallChunk | ResponseInfo
"""What a streamed answer is made of; the last one is its outcome."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    Args:
        text: Its text.
        outcome: All else about it.
        calls: The tool calls it makes.
        raw: The text with the calls in it, as the model wrote it.
    """

    text: str
    outcome: ResponseInfo
    calls: tuple[ParsedToolCall, ...] = ()
    raw: str = field(default="", repr=False, compare=False)


def collect_stream(items: Iterable[StreamItem]) -> Completion:
    """Make one answer of the text of a whole stream, which always ends with its outcome."""
    texts: list[str] = []
    logprobs: list[Mapping[str, Any]] = []
    outcome: ResponseInfo | None = None
    for item in items:
        if isinstance(item, ResponseInfo):
            outcome = item
        elif isinstance(item, TextDelta):
            texts.append(item.text)
            logprobs.extend(item.logprobs)
    text = "".join(texts)
    if outcome is None:
        raise VoxtralIncompleteStreamError("The stream ended early.", partial=text)
    return Completion(text, replace(outcome, logprobs=logprobs), raw=text)


def is_cut(finish_reason: str | None) -> bool:
    """Return whether an answer ended before the model was done (length, content filter, ...)."""
    return finish_reason not in {None, "stop", "tool_calls"}


def header_request_id(call: Call, headers: Mapping[str, str]) -> str | None:
    """Return the request id in the headers; it shows in errors, so no key may be echoed in it."""
    request_id = headers.get("x-request-id")
    return None if request_id is None else redact(request_id, call.request.secrets)


def parse_completions(call: Call, reply: HTTPResponse) -> list[Completion]:
    """Read an unstreamed answer: one for each response asked for.

    Usage and cost are the request's; they ride on the first outcome alone, so that what adds
    them up counts them once.

    Raises:
        VoxtralError: The body is no answer.
    """
    headers = reply.headers
    try:
        answer = call.api.decode(
            reply.content,
            header_request_id=header_request_id(call, headers),
            secrets=call.request.secrets,
        )
    except VoxtralError as error:
        error.attempts = reply.attempts
        raise
    if len(answer.texts) != call.n:
        raise VoxtralResponseError(
            f"{call.n} responses were asked for and {len(answer.texts)} came. "
            f"Check that the server supports {call.api.names['n']}, or leave n unset.",
            request_id=answer.request_id,
            attempts=reply.attempts,
        )
    first = ResponseInfo(
        model=headers.get("x-voxtral-model", call.model),
        provider=call.provider,
        usage=answer.usage,
        request_id=answer.request_id,
        runtime_ms=answer.runtime_ms,
        attempts=reply.attempts,
    )
    read = []
    for index, raw in enumerate(answer.texts):
        text, stopped = up_to_stop(call, raw)
        told = answer.finish_reasons[index] if answer.finish_reasons else None
        reason = (None if stopped else told) or _derived_reason(call, stopped, answer.usage)
        derived = told is None or reason != told
        outcome = replace(first, finish_reason=reason, derived=derived)
        written = answer.calls[index] if answer.calls else ()
        spoken, calls = _split(call, text, written, cut=is_cut(reason))
        outcome = outcome if index == 0 else replace(outcome, usage=Usage())
        read.append(Completion(spoken, outcome, calls, raw=text))
    return read


def up_to_stop(call: Call, raw: str) -> tuple[str, bool]:
    """Return a text up to the first stop sequence, and whether there was one."""
    trimmer = StopSequenceFilter(call.stops)
    return trimmer.feed(raw) + trimmer.close(), trimmer.stopped


def _split(
    call: Call, text: str, written: Sequence[ToolCallChunk], *, cut: bool
) -> tuple[str, tuple[ParsedToolCall, ...]]:
    """Return the text without the calls in it, and all calls."""
    if call.calls is None:
        spoken = unescape(text) if call.restores else text
        return spoken, tuple(assemble_calls(written, cut=cut))
    spoken, parts = call.calls.split(text, restores=call.restores)
    return spoken, tuple(assemble_calls(parts, cut=cut))


def _derived_reason(call: Call, stopped: bool, usage: Usage) -> str | None:  # noqa: FBT001
    """Conclude why an answer ended: the native endpoint does not say it unstreamed."""
    if stopped:
        return "stop"
    made, most = usage.output_tokens, call.max_tokens
    spent = call.n == 1 and made is not None and most is not None and made >= most
    return "length" if spent else None

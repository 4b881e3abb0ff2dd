"""Answers: from a server's typed values to text, usage and metadata, without any I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralResponseError,
    redact,
)
from langchain_voxtral.prompts import StopSequenceFilter, StreamUnescaper, unescape
from langchain_voxtral.protocol.endpoints import NATIVE, TextEndpoint
from langchain_voxtral.protocol.responses import ResponseInfo, Usage
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
            unescaper = StreamUnescaper()
            read = [*unescaper.feed_parts(read), *unescaper.finish()]
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


@dataclass(slots=True)
class TextDelta:
    """Text to show now (not frozen: one is made for every token).

    Args:
        text: The text.
        logprobs: Its tokens with their log probabilities, if wanted and told.
    """

    text: str
    logprobs: Sequence[Mapping[str, Any]] = ()


StreamItem = TextDelta | ToolCallChunk | ResponseInfo
"""What a streamed completion is made of; the last item is its `ResponseInfo`."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    Args:
        text: Its text.
        info: All else about it.
        tool_calls: The tool calls it makes.
        raw_text: The text with the calls in it, as the model wrote it.
    """

    text: str
    info: ResponseInfo
    tool_calls: tuple[ParsedToolCall, ...] = ()
    raw_text: str = field(default="", repr=False, compare=False)


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
    return Completion(text, replace(outcome, logprobs=logprobs), raw_text=text)


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
            request_id=answer.info.request_id,
            attempts=reply.attempts,
        )
    first = ResponseInfo(
        model=headers.get("x-voxtral-model", call.model),
        provider=call.provider,
        usage=answer.info.usage,
        request_id=answer.info.request_id,
        runtime_ms=answer.info.runtime_ms,
        attempts=reply.attempts,
    )
    read = []
    for index, raw in enumerate(answer.texts):
        text, stopped = up_to_stop(call, raw)
        told = answer.finish_reasons[index] if answer.finish_reasons else None
        reason = (None if stopped else told) or _derived_reason(call, stopped, answer.info.usage)
        derived = told is None or reason != told
        outcome = replace(first, finish_reason=reason, finish_reason_is_derived=derived)
        written = answer.tool_calls[index] if answer.tool_calls else ()
        spoken, calls = _split(call, text, written, cut=is_cut(reason))
        outcome = outcome if index == 0 else replace(outcome, usage=Usage())
        read.append(Completion(spoken, outcome, calls, raw_text=text))
    return read


def up_to_stop(call: Call, raw: str) -> tuple[str, bool]:
    """Return a text up to the first stop sequence, and whether there was one."""
    stops = StopSequenceFilter(call.stops)
    return stops.feed(raw) + stops.finish(), stops.stopped


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

"""OpenAI's chat completions, as DeepInfra, vLLM and llama.cpp answer them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from langchain_voxtral.errors import VoxtralResponseError
from langchain_voxtral.protocol.chat_messages import UnexpectedShapeError, index_in, read_message
from langchain_voxtral.protocol.error_responses import error_from_body
from langchain_voxtral.protocol.fields import (
    as_float,
    as_int,
    non_empty,
    parse_json_object,
    safe_text,
)
from langchain_voxtral.protocol.responses import (
    ParsedResponse,
    ResponseInfo,
    StreamEvent,
    TokenDelta,
    Usage,
)
from langchain_voxtral.protocol.sse import MAX_EVENT_BYTES, JsonObject
from langchain_voxtral.protocol.stream_decoder import StreamDecoderBase
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

FINISH_REASONS: dict[str, str] = {"function_call": "tool_calls"}
"""Finish reasons of OpenAI's older API by today's names; any other reason is kept as it is."""


def parse_response(
    data: bytes, *, header_request_id: str | None = None, secrets: Sequence[str] = ()
) -> ParsedResponse:
    """Return what a whole (not streamed) answer says.

    The choices are read in the order of their index. A refusal is text. The calls of a choice
    are numbered as they stand; their arguments stay as sent, or are written as JSON where the
    server sends an object in place of a string.

    Args:
        data: Body of a 200 answer, an OpenAI `chat.completion`.
        header_request_id: Value of the `x-request-id` header; without it the body's `id` is taken.
        secrets: Texts that must not come back in an error, such as the API key.

    Raises:
        VoxtralError: The body reports a failure; the class as for `error_from_body`.
        VoxtralResponseError: The body is no answer of this API.
    """
    document = parse_json_object(data, request_id=header_request_id, secrets=secrets)
    request_id = header_request_id or safe_text(document.get("id"), secrets)
    error = error_from_body(document, secrets=secrets)
    if error is not None:
        raise error.having(request_id=error.request_id or request_id)
    try:
        choices = _choices(document)
        read = [read_message(choice.get("message")) for choice in choices]
    except UnexpectedShapeError as misfit:
        raise VoxtralResponseError(
            f"The server's answer has {misfit}.", status_code=200, request_id=request_id
        ) from None
    return ParsedResponse(
        texts=tuple(text for text, _ in read),
        info=ResponseInfo(usage=Usage(**_numbers_in(document)), request_id=request_id),
        finish_reasons=tuple(map(_finish_reason, choices)),
        tool_calls=tuple(
            tuple(replace(call, index=place) for place, call in enumerate(calls))
            for _, calls in read
        ),
    )


class ChatDecoder(StreamDecoderBase):
    r"""Turns the bytes of a streamed answer into texts, parts of tool calls and one final event.

    The final event is due with the finish reason: at once if usage rides on the same chunk, as at
    DeepInfra, else with a later chunk that has it, as OpenAI and vLLM send it, at `[DONE]` or at
    the end of the body. Usage on earlier chunks (`continuous_usage_stats`) ends nothing. `[DONE]`
    alone is no final event: a stream that never told its finish reason was cut.

    Of a call its id and its name are told once, in the first part that has them, however often
    the server repeats them. A document that is no chunk of this API is an error, because it may
    carry text in a form that is not known here, and so is a second choice; an empty object and a
    chunk that says nothing are passed over.

    Args:
        header_request_id: Value of the `x-request-id` header; without it the chunks' `id` is taken.
        secrets: Texts that must not come back in an error, such as the API key.
        max_event_bytes: Longest event in bytes; a longer one is an error.

    Attributes:
        finished: Whether the final event was returned.
    """

    _last_numbers: ClassVar[frozenset[str]] = frozenset({"input_tokens", "output_tokens"})

    def __init__(
        self,
        *,
        header_request_id: str | None = None,
        secrets: Sequence[str] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        super().__init__(
            header_request_id=header_request_id, secrets=secrets, max_event_bytes=max_event_bytes
        )
        self._calls: dict[int, ToolCallChunk] = {}  # what is known of each call: id and name

    def _read(self, documents: Iterable[JsonObject], events: list[StreamEvent]) -> None:
        for document in documents:
            choices = self._choices(document)
            if self._request_id is None:
                self._request_id = safe_text(document.get("id"), self._secrets)
            reason = None
            for choice in choices:
                try:
                    self._read_choice(choice, events)
                except UnexpectedShapeError:
                    raise self._unknown(document) from None
                reason = _finish_reason(choice) or reason
            if reason or document.get("usage"):
                self._tally(reason, _numbers_in(document), events)

    def _choices(self, document: JsonObject) -> list[Any]:
        """Return the choices of a chunk; one that only tells usage has none."""
        choices = document.get("choices")
        if not choices or "error" in document:
            error = error_from_body(document, secrets=self._secrets)
            if error is not None:
                raise error
        if isinstance(choices, list):
            return choices
        if document and (choices is not None or not document.get("usage")):
            raise self._unknown(document)
        return []

    def _read_choice(self, choice: object, events: list[StreamEvent]) -> None:
        """Append the events that a choice stands for: its text, then its calls."""
        if not isinstance(choice, dict):
            raise UnexpectedShapeError
        if choice.get("index") not in (None, 0):
            raise VoxtralResponseError(
                "The server streams more than one answer, and only one is read: leave n unset."
            )
        delta = choice.get("delta")
        if delta is None and not (choice.get("message") or choice.get("text")):
            return
        text, parts = read_message(delta)
        if (text or parts) and self._reason is not None:
            raise UnexpectedShapeError
        if text:
            logprobs = choice.get("logprobs")
            events += [TokenDelta(text)] if logprobs is None else _deltas(text, logprobs)
        for part in parts:
            news = self._news(part)
            if news is not None:
                events.append(news)

    def _news(self, part: ToolCallChunk) -> ToolCallChunk | None:
        """Return what a part tells that is new, or None."""
        known = self._calls.setdefault(part.index, ToolCallChunk(part.index))
        if known.name and part.name and known.name != part.name:
            # Two calls under one index would become one with the arguments of both.
            raise UnexpectedShapeError
        # The id is not compared: vLLM has sent a new one with every part of a call.
        news = ToolCallChunk(
            part.index,
            id=None if known.id else part.id,
            name=None if known.name else part.name,
            arguments=part.arguments,
        )
        known.id, known.name = known.id or part.id, known.name or part.name
        return news if news.id or news.name or news.arguments else None


def _choices(document: JsonObject) -> list[JsonObject]:
    """Return the choices of an answer in the order of their index."""
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        raise UnexpectedShapeError(
            "no choices; check that base_url= and model= lead to a chat model"
        )
    if not all(isinstance(choice, dict) for choice in choices):
        raise UnexpectedShapeError("a choice that is not an object")
    places = [index_in(choice, position) for position, choice in enumerate(choices)]
    return [choice for _, choice in sorted(zip(places, choices, strict=True), key=lambda at: at[0])]


def _finish_reason(choice: JsonObject) -> str | None:
    reason = non_empty(choice.get("finish_reason"))
    return None if reason is None else FINISH_REASONS.get(reason, reason)


def _deltas(text: str, logprobs: object) -> list[StreamEvent]:
    """Return a text as its tokens with their log probabilities, if these make it up."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    told = content if isinstance(content, list) else []
    entries = [entry for entry in told if isinstance(entry, dict)]
    if len(entries) == 1:  # its token may be bytes of a character that the text has whole
        return [TokenDelta(text, logprob=_logprob(entries[0]))]
    tokens = [non_empty(entry.get("token")) or "" for entry in entries]
    if "".join(tokens) != text:
        return [TokenDelta(text)]
    return [
        TokenDelta(token, logprob=_logprob(entry))
        for token, entry in zip(tokens, entries, strict=True)
    ]


def _logprob(entry: JsonObject) -> float | None:
    told = entry.get("logprob")
    return told if isinstance(told, int | float) and not isinstance(told, bool) else None


def _numbers_in(document: JsonObject) -> dict[str, Any]:
    """Return the counts and the cost that a document tells, by the names of `Usage`."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return {}
    given = usage.get("prompt_tokens_details")
    details = given if isinstance(given, dict) else {}
    told = {
        "input_tokens": as_int(usage.get("prompt_tokens")),
        "output_tokens": as_int(usage.get("completion_tokens")),
        "cost": as_float(usage.get("estimated_cost")),
        "cached_tokens": as_int(details.get("cached_tokens")),
        "audio_tokens": as_int(details.get("audio_tokens")),
    }
    return {name: number for name, number in told.items() if number is not None}

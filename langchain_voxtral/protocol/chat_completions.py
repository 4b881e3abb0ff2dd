"""OpenAI's chat completions, as DeepInfra, vLLM and llama.cpp answer them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralResponseError,
    with_facts,
)
from langchain_voxtral.protocol.chat_message import parse_message, read_index
from langchain_voxtral.protocol.error_responses import error_from_body
from langchain_voxtral.protocol.fields import (
    JsonObject,
    UnexpectedShapeError,
    as_float,
    as_int,
    as_logprob,
    as_object,
    may_hold_text,
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
from langchain_voxtral.protocol.sse import MAX_EVENT_BYTES
from langchain_voxtral.protocol.stream_decoder import StreamDecoderBase
from langchain_voxtral.protocol.tool_call_deltas import ToolCallDeltas
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

FINISH_REASONS: dict[str, str] = {"function_call": "tool_calls", "model_length": "length"}
"""Finish reasons of OpenAI's older API and of Mistral's by OpenAI's names; any other is kept."""

_NOT_PLAIN_TEXT = ("refusal", "tool_calls", "function_call")
_MESSAGE_KEYS = frozenset({"role", "content", *_NOT_PLAIN_TEXT})


def parse_response(
    data: bytes, *, header_request_id: str | None = None, secrets: Iterable[str] = ()
) -> ParsedResponse:
    """Return what a whole (not streamed) response contains, its choices in order of their index.

    The calls of a choice are numbered in their order. A message without content
    is an empty answer; one without even a role may have its text in a form that is not known here.

    Args:
        data: Body of a 200 response, an OpenAI `chat.completion`.
        header_request_id: Value of the `x-request-id` header; without it the body's `id` is taken.
        secrets: Texts that must not show in an error, such as the API key.

    Raises:
        VoxtralError: The body reports an error.
        VoxtralResponseError: The body is no response of this API.
    """
    document = parse_json_object(data, request_id=header_request_id, secrets=secrets)
    request_id = header_request_id or safe_text(document.get("id"), secrets)
    error = error_from_body(document, secrets=secrets)
    if error is not None:
        request_id = error.request_id or request_id
        raise with_facts(error, request_id=request_id, partial=_first_content(document))
    try:
        choices = _sorted_choices(document)
        if (failure := _failure(choices, secrets)) is not None:
            raise with_facts(failure, request_id=request_id, partial=_first_content(document))
        messages = [_parse_whole_message(choice.get("message")) for choice in choices]
    except UnexpectedShapeError as problem:
        raise VoxtralResponseError(
            f"The server's answer has {problem}.",
            status_code=200,
            request_id=request_id,
            partial=_first_content(document),
        ) from None
    return ParsedResponse(
        texts=tuple(text for text, _, _ in messages),
        info=ResponseInfo(usage=Usage(**_usage(document)), request_id=request_id),
        finish_reasons=tuple(safe_text(_finish_reason(choice), secrets) for choice in choices),
        tool_calls=tuple(
            tuple(replace(call, index=index) for index, call in enumerate(calls))
            for _, _, calls in messages
        ),
        refusals=tuple(refusal or None for _, refusal, _ in messages),
    )


class ChatDecoder(StreamDecoderBase):
    """Decodes a streamed response into texts, chunks of tool calls and one final event.

    Usage rides on the chunk with the finish reason (DeepInfra), or on a later one without choices
    (OpenAI, vLLM); on earlier chunks (`continuous_usage_stats`) it ends nothing.

    Every call has an index of its own. Its id and name are returned once, however often the server
    repeats them. A document that is no chunk of this API is an error, because it may carry text in
    a form that is not known here, and so is a second choice. An empty object, a chunk without
    content, and after the finish reason any document without choices are passed over.
    """

    _final_usage: ClassVar[frozenset[str]] = frozenset({"input_tokens", "output_tokens"})

    def __init__(
        self,
        *,
        header_request_id: str | None = None,
        secrets: Iterable[str] = (),
        with_logprobs: bool = False,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        super().__init__(
            header_request_id=header_request_id,
            secrets=secrets,
            with_logprobs=with_logprobs,
            max_event_bytes=max_event_bytes,
        )
        self._calls = ToolCallDeltas()

    def _decode(self, documents: Iterable[JsonObject], events: list[StreamEvent]) -> None:
        for document in documents:
            # A chunk of nothing but text takes a short way: it comes for every token.
            text = _plain_text(document)
            if text and self.request_id and not self.has_finish_reason:
                events.append(text)
            else:
                self._decode_any(document, events)

    def _decode_any(self, document: JsonObject, events: list[StreamEvent]) -> None:
        """Append the events that a document of any kind stands for."""
        choices = self._choices(document)
        self.request_id = self.request_id or safe_text(document.get("id"), self._secrets)
        reason = None
        if (failure := _failure(choices, self._secrets)) is not None:
            raise failure
        for choice in choices:
            try:
                self._decode_choice(choice, events)
            except UnexpectedShapeError:
                raise self._unknown_event(document) from None
            reason = _finish_reason(choice) or reason
            if not reason and as_object(choice).get("finish_reason"):
                self._record_unreadable_reason(events)
        if reason or document.get("usage"):
            self._record_usage(reason, _usage(document), events)

    def _choices(self, document: JsonObject) -> list[Any]:
        """Return the choices of a chunk; one that only has usage has none."""
        choices = document.get("choices")
        if not choices or "error" in document:
            error = error_from_body(document, secrets=self._secrets)
            if error is not None:
                raise error
        if isinstance(choices, list):
            return choices
        is_known = not document or (choices is None and document.get("usage"))
        if is_known or (self.has_finish_reason and not may_hold_text(choices)):
            return []
        raise self._unknown_event(document)

    def _decode_choice(self, choice: object, events: list[StreamEvent]) -> None:
        """Append the events that a choice stands for: its text, then its calls."""
        if not isinstance(choice, dict):
            if may_hold_text(choice):
                raise UnexpectedShapeError
            return
        if read_index(choice, 0) > 0:
            raise VoxtralResponseError(
                "The server streams more than one answer, and one was requested."
            )
        delta = choice.get("delta")
        has_delta = isinstance(delta, dict) or may_hold_text(delta)
        if not has_delta and not (choice.get("message") or choice.get("text")):
            return
        text, refusal, calls = parse_message(delta)
        if (text or refusal or calls) and self.has_finish_reason:
            raise UnexpectedShapeError
        self._refusal += refusal
        if text:
            deltas = _deltas(text, choice.get("logprobs"))
            events += deltas if self._with_logprobs else [delta.text for delta in deltas]
        if calls:
            events += self._calls.feed(calls, is_last=_finish_reason(choice) is not None)


def _plain_text(document: JsonObject) -> str | None:
    """Return the text of a chunk with nothing else in it, or None."""
    choices = document.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    if document.get("usage") or "error" in document:
        return None
    choice = choices[0]
    if (
        not isinstance(choice, dict)
        or choice.get("index") not in (None, 0)
        or choice.get("finish_reason") is not None
        or choice.get("logprobs") is not None
    ):
        return None
    delta = choice.get("delta")
    if not isinstance(delta, dict) or any(map(delta.get, _NOT_PLAIN_TEXT)):
        return None
    text = delta.get("content")
    return text if isinstance(text, str) else None


def _parse_whole_message(message: object) -> tuple[str, str, list[ToolCallChunk]]:
    if isinstance(message, dict) and message.keys().isdisjoint(_MESSAGE_KEYS):
        raise UnexpectedShapeError("a message without a role and content")
    return parse_message(message)


def _first_content(document: JsonObject) -> str:
    """Return the text of the first choice if it is a plain one, for an error to keep."""
    choices = document.get("choices")
    first = as_object(choices[0]) if isinstance(choices, list) and choices else {}
    return non_empty(as_object(first.get("message")).get("content")) or ""


def _sorted_choices(document: JsonObject) -> list[JsonObject]:
    items = document.get("choices")
    choices = list(filter(may_hold_text, items)) if isinstance(items, list) else []
    if not choices:
        raise UnexpectedShapeError(
            "no choices; check that base_url= and model= lead to a chat model"
        )
    if not all(isinstance(choice, dict) for choice in choices):
        raise UnexpectedShapeError("a choice that is not an object")
    indices = [read_index(choice, position) for position, choice in enumerate(choices)]
    return [choices[place] for place in sorted(range(len(choices)), key=indices.__getitem__)]


def _failure(choices: Iterable[object], secrets: Iterable[str]) -> VoxtralError | None:
    """Return the error in which an answer ended (OpenRouter's and Mistral's finish reason)."""
    for choice in map(as_object, choices):
        if choice.get("finish_reason") == "error":
            error = choice.get("error") or "the answer ended in an error"
            return error_from_body({"error": error}, secrets=secrets)
    return None


def _finish_reason(choice: object) -> str | None:
    reason = non_empty(as_object(choice).get("finish_reason"))
    return None if reason is None else FINISH_REASONS.get(reason, reason)


def _deltas(text: str, logprobs: object) -> list[TokenDelta]:
    """Return a text as its tokens with their log probabilities, if these make it up."""
    content = as_object(logprobs).get("content")
    entries = list(map(as_object, content)) if isinstance(content, list) else []
    if len(entries) == 1:  # its token may be bytes of a character that the text has whole
        return [TokenDelta(text, logprob=as_logprob(entries[0].get("logprob")))]
    tokens = [non_empty(entry.get("token")) or "" for entry in entries]
    if "".join(tokens) != text:
        return [TokenDelta(text)]
    return [
        TokenDelta(token, logprob=as_logprob(entry.get("logprob")))
        for token, entry in zip(tokens, entries, strict=True)
    ]


def _usage(document: JsonObject) -> dict[str, Any]:
    """Return the counts and the cost of a document, by the names of `Usage`."""
    usage = as_object(document.get("usage"))
    details = as_object(usage.get("prompt_tokens_details"))
    input_tokens = as_int(usage.get("prompt_tokens"))
    output_tokens = as_int(usage.get("completion_tokens"))
    audio_tokens = as_int(details.get("audio_tokens"))
    audio_seconds = as_float(usage.get("prompt_audio_seconds"))  # Mistral
    if audio_seconds and input_tokens is not None:
        # Its count of the prompt has the tokens of text only, its total those of sound too.
        rest = (as_int(usage.get("total_tokens")) or 0) - input_tokens - (output_tokens or 0)
        if rest > 0:
            input_tokens, audio_tokens = input_tokens + rest, rest
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost": as_float(usage.get("estimated_cost"), usage.get("cost")),  # DeepInfra, OpenRouter
        "cached_tokens": as_int(details.get("cached_tokens")),
        "audio_tokens": audio_tokens,
        "audio_seconds": audio_seconds,
    }

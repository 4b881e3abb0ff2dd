"""DeepInfra's native text generation: `POST /v1/inference/{model}`."""

from collections.abc import Iterable
from typing import ClassVar

from langchain_voxtral.errors import VoxtralResponseError, with_facts
from langchain_voxtral.protocol.error_responses import error_from_body, sanitize
from langchain_voxtral.protocol.fields import (
    JsonObject,
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
from langchain_voxtral.protocol.stream_decoder import QUOTE_LIMIT, StreamDecoderBase

FINISH_REASONS: dict[str, str] = {"eos_token": "stop", "stop_sequence": "stop"}
"""Finish reasons of text-generation-inference, which the endpoint once was, by today's names;
any other reason is kept as it is."""

_EVENT_KEYS = frozenset(
    {"token", "details", "request_id", "num_input_tokens", "num_output_tokens", "estimated_cost"}
)


def parse_response(
    data: bytes, *, header_request_id: str | None = None, secrets: Iterable[str] = ()
) -> ParsedResponse:
    """Return what a whole (not streamed) response contains; only the texts are required.

    Where a count stands both at the top and in `inference_status`, the top is taken.

    Args:
        data: Body of a 200 response.
        header_request_id: Value of the `x-request-id` header, for a body that has none.
        secrets: Texts that must not show in an error, such as the API key.

    Raises:
        VoxtralError: The body reports an error.
        VoxtralResponseError: The body is no response of this API.
    """
    document = parse_json_object(data, request_id=header_request_id, secrets=secrets)
    request_id = safe_text(document.get("request_id"), secrets) or header_request_id
    error = error_from_body(document, secrets=secrets)
    if error is not None:
        partial = next(iter(_known_texts(document)), "")
        raise with_facts(error, request_id=error.request_id or request_id, partial=partial)
    status = as_object(document.get("inference_status"))
    usage = Usage(
        input_tokens=as_int(document.get("num_input_tokens"), status.get("tokens_input")),
        output_tokens=as_int(document.get("num_tokens"), status.get("tokens_generated")),
        cost=as_float(status.get("cost")),
    )
    return ParsedResponse(
        texts=_texts(document, status, request_id, secrets),
        info=ResponseInfo(None, usage, request_id, as_int(status.get("runtime_ms"))),
    )


class NativeDecoder(StreamDecoderBase):
    """Decodes a streamed response into deltas and one final event.

    The text of special tokens is left out, and `generated_text`, which repeats the whole answer,
    is never appended. A document without any key of this API is an error, because it may carry
    text in a form that is not known here; an empty object is passed over, and after the finish
    reason any such document is.
    """

    _final_usage: ClassVar[frozenset[str]] = frozenset({"input_tokens", "output_tokens", "cost"})

    _in_text = False  # the first event came, the finish reason not yet

    def _decode(self, documents: Iterable[JsonObject], events: list[StreamEvent]) -> None:
        for document in documents:
            # The documented token event takes a short way: it comes for every token.
            token = document.get("token")
            if (
                token
                and not self.has_finish_reason
                and document.get("details") is None
                and document.get("num_output_tokens") is None
                and document.get("estimated_cost") is None
                and "error" not in document
                and document.get("request_id") is None
            ):
                self._in_text = True
                events.append(self._delta(token))
            else:
                self._decode_any(document, events)

    def _decode_any(self, document: JsonObject, events: list[StreamEvent]) -> None:
        """Append the events that a document of any kind stands for."""
        error = error_from_body(document, secrets=self._secrets)
        if error is not None:
            raise error
        if document and document.keys().isdisjoint(_EVENT_KEYS):
            if self.has_finish_reason:
                return
            raise self._unknown_event(document)
        self.request_id = safe_text(document.get("request_id"), self._secrets) or self.request_id
        details = as_object(document.get("details"))
        reason = non_empty(details.get("finish_reason"))
        if document.get("token"):
            delta = self._delta(document["token"])
            text = delta if isinstance(delta, str) else delta.text
            if text and self.has_finish_reason:
                raise self._unknown_event(document)
            if text or not (reason or self.has_finish_reason):
                events.append(delta)
        if reason and non_empty(document.get("generated_text")) and not (self._in_text or events):
            # Else an answer that came as a whole would look like an empty one.
            raise self._unknown_event(document)
        usage = {
            "input_tokens": as_int(document.get("num_input_tokens"), details.get("input_tokens")),
            "output_tokens": as_int(
                document.get("num_output_tokens"), details.get("generated_tokens")
            ),
            "cost": as_float(document.get("estimated_cost")),
        }
        if not reason and (
            details.get("finish_reason") or (document.get("details") and not details)
        ):
            self._record_unreadable_reason(events)
        self._record_usage(FINISH_REASONS.get(reason, reason) if reason else None, usage, events)
        self._in_text = not self.has_finish_reason

    def _delta(self, token: object) -> str | TokenDelta:
        text = token.get("text") if isinstance(token, dict) else None
        if not isinstance(token, dict) or not isinstance(text, str):
            raise self._unknown_event({"token": token})
        if token.get("special") is True:
            text = ""
        if not self._with_logprobs:
            return text
        token_id = token.get("id")
        logprob = token.get("logprob")
        # Without an id the endpoint fills in 0.0 where it knows no probability.
        if token_id is None and not logprob:
            return text
        return TokenDelta(text, token_id if type(token_id) is int else None, as_logprob(logprob))


def _texts(
    document: JsonObject, status: JsonObject, request_id: str | None, secrets: Iterable[str]
) -> tuple[str, ...]:
    """Return the texts of a response, one for each completion asked for."""
    results = document.get("results")
    if isinstance(results, list) and any(results):
        texts = _known_texts(document)
        if len(texts) == sum(map(may_hold_text, results)):
            return texts
        problem = "a result whose generated_text is not a string"
    else:
        state = sanitize(non_empty(status.get("status")) or "missing", secrets, QUOTE_LIMIT)
        problem = f"no results (status: {state}); check that base_url= and model= lead to text"
    raise VoxtralResponseError(
        f"The server's answer has {problem}.", status_code=200, request_id=request_id
    )


def _known_texts(document: JsonObject) -> tuple[str, ...]:
    """Return the texts of those results that have one."""
    results = document.get("results")
    items = results if isinstance(results, list) else ()
    texts = (as_object(item).get("generated_text") for item in items)
    return tuple(text for text in texts if isinstance(text, str))

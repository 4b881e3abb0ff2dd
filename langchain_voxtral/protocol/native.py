"""DeepInfra's native text generation: `POST /v1/inference/{model}`."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from langchain_voxtral.errors import VoxtralResponseError
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
from langchain_voxtral.protocol.sse import JsonObject
from langchain_voxtral.protocol.stream_decoder import QUOTE_LIMIT, StreamDecoderBase
from langchain_voxtral.protocol.words import sanitize

FINISH_REASONS: dict[str, str] = {"eos_token": "stop", "stop_sequence": "stop"}
"""Finish reasons of text-generation-inference, which the endpoint once was, by today's names;
any other reason is kept as it is."""

_EVENT_KEYS = frozenset(
    {"token", "details", "request_id", "num_input_tokens", "num_output_tokens", "estimated_cost"}
)


def parse_response(
    data: bytes, *, header_request_id: str | None = None, secrets: Sequence[str] = ()
) -> ParsedResponse:
    """Return what a whole (not streamed) answer says.

    What the server leaves out is None and what is not known is passed over; only the texts are
    required. Where a as_int stands both at the top and in `inference_status`, the top is taken.

    Args:
        data: Body of a 200 answer.
        header_request_id: Value of the `x-request-id` header, for a body that has none.
        secrets: Texts that must not come back in an error, such as the API key.

    Raises:
        VoxtralError: The body reports a failure; the class as for `error_from_body`.
        VoxtralResponseError: The body is no answer of this API.
    """
    document = parse_json_object(data, request_id=header_request_id, secrets=secrets)
    request_id = safe_text(document.get("request_id"), secrets) or header_request_id
    error = error_from_body(document, secrets=secrets)
    if error is not None:
        raise error.having(request_id=error.request_id or request_id)
    inference = document.get("inference_status")
    status: JsonObject = inference if isinstance(inference, dict) else {}
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
    r"""Turns the bytes of a streamed answer into deltas and one final event.

    The final event is due when an event tells the finish reason. It is returned at once if the
    tokens and the cost are told too, as documented, else it waits for an event that does, for
    `[DONE]` or for the end of the body, so that late numbers are not lost. `[DONE]` alone is no
    final event: a stream that never told its finish reason was cut.

    The text of special tokens is not shown, and `generated_text`, which repeats the whole answer,
    is never appended. A document without any key of this API is an error, because it may carry
    text in a form that is not known here; an empty object is passed over.

    Args:
        header_request_id: Value of the `x-request-id` header, for events that have none.
        secrets: Texts that must not come back in an error, such as the API key.
        max_event_bytes: Longest event in bytes; a longer one is an error.

    Attributes:
        finished: Whether the final event was returned.
    """

    _last_numbers: ClassVar[frozenset[str]] = frozenset({"input_tokens", "output_tokens", "cost"})

    _in_text = False  # the first event came, the finish reason not yet

    def _read(self, documents: Iterable[JsonObject], events: list[StreamEvent]) -> None:
        for document in documents:
            # The documented token event takes a short way: it comes for every token.
            if (
                self._in_text
                and document.get("token")
                and document.get("details") is None
                and document.get("num_output_tokens") is None
                and document.get("estimated_cost") is None
                and "error" not in document
            ):
                events.append(self._delta(document["token"]))
            else:
                self._read_any(document, events)

    def _read_any(self, document: JsonObject, events: list[StreamEvent]) -> None:
        """Append the events that a document of any kind stands for."""
        error = error_from_body(document, secrets=self._secrets)
        if error is not None:
            raise error
        if document and document.keys().isdisjoint(_EVENT_KEYS):
            raise self._unknown(document)
        self._request_id = safe_text(document.get("request_id"), self._secrets) or self._request_id
        details = document.get("details")
        details = details if isinstance(details, dict) else {}
        reason = non_empty(details.get("finish_reason"))
        if document.get("token"):
            delta = self._delta(document["token"])
            if delta.text and self._reason is not None:
                raise self._unknown(document)
            if delta.text or (reason is None and self._reason is None):
                events.append(delta)
        untold = non_empty(document.get("generated_text"))
        if reason is not None and untold and not (self._in_text or events):
            # Else an answer that came as a whole would look like an empty one.
            raise self._unknown(document)
        told = None if reason is None else FINISH_REASONS.get(reason, reason)
        self._tally(told, _numbers_in(document, details), events)
        self._in_text = self._reason is None

    def _delta(self, token: object) -> TokenDelta:
        text = token.get("text") if isinstance(token, dict) else None
        if not isinstance(token, dict) or not isinstance(text, str):
            raise self._unknown({"token": token})
        if token.get("special"):
            text = ""
        token_id = token.get("id")
        logprob = token.get("logprob")
        # Without an id the endpoint fills in 0.0 where it tells no probability.
        if token_id is None and not logprob:
            return TokenDelta(text)
        return TokenDelta(
            text,
            token_id if isinstance(token_id, int) else None,
            logprob if isinstance(logprob, int | float) else None,
        )


def _numbers_in(document: JsonObject, details: JsonObject) -> dict[str, Any]:
    """Return the counts and the cost that an event tells."""
    told = {
        "input_tokens": as_int(document.get("num_input_tokens"), details.get("input_tokens")),
        "output_tokens": as_int(document.get("num_output_tokens"), details.get("generated_tokens")),
        "cost": as_float(document.get("estimated_cost")),
    }
    return {name: number for name, number in told.items() if number is not None}


def _texts(
    document: JsonObject, status: JsonObject, request_id: str | None, secrets: Sequence[str]
) -> tuple[str, ...]:
    """Return the texts of an answer, one for each response asked for."""
    results = document.get("results")
    texts: list[str] = []
    problem = None
    if not isinstance(results, list) or not results:
        told = sanitize(non_empty(status.get("status")) or "not told", secrets, QUOTE_LIMIT)
        problem = f"no results (status: {told}); check that base_url= and model= lead to text"
        results = []
    for result in results:
        text = result.get("generated_text") if isinstance(result, dict) else None
        if isinstance(text, str):
            texts.append(text)
        else:
            problem = "a result whose generated_text is not a string"
    if problem:
        raise VoxtralResponseError(
            f"The server's answer has {problem}.", status_code=200, request_id=request_id
        )
    return tuple(texts)

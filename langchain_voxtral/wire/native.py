"""DeepInfra's native text generation: `POST /v1/inference/{model}`."""

import math
from collections.abc import Sequence

from pydantic_core import from_json, to_json

from langchain_voxtral.errors import VoxtralError, VoxtralResponseError
from langchain_voxtral.wire.body import encode_request
from langchain_voxtral.wire.failures import error_in
from langchain_voxtral.wire.sse import MAX_EVENT_BYTES, EventDecoder, JsonObject
from langchain_voxtral.wire.values import Answer, Delta, Final, StreamEvent, Usage
from langchain_voxtral.wire.words import quoted, words_of

__all__ = ["FINISH_REASONS", "NativeStream", "decode_answer", "encode_request"]

FINISH_REASONS: dict[str, str] = {"eos_token": "stop", "stop_sequence": "stop"}
"""Finish reasons of text-generation-inference, which the endpoint once was, by today's names;
any other reason is kept as it is."""

_EVENT_KEYS = frozenset(
    {"token", "details", "request_id", "num_input_tokens", "num_output_tokens", "estimated_cost"}
)
_FINAL_NUMBERS = frozenset({"num_input_tokens", "num_output_tokens", "estimated_cost"})
_QUOTE_LIMIT = 200


def decode_answer(
    data: bytes, *, header_request_id: str | None = None, secrets: Sequence[str] = ()
) -> Answer:
    """Return what a whole (not streamed) answer says.

    What the server leaves out is None and what is not known is passed over; only the texts are
    required. Where a count stands both at the top and in `inference_status`, the top is taken.

    Args:
        data: Body of a 200 answer.
        header_request_id: Value of the `x-request-id` header, for a body that has none.
        secrets: Texts that must not come back in an error, such as the API key.

    Raises:
        VoxtralError: The body reports a failure; the class as for `failures.error_in`.
        VoxtralResponseError: The body is no answer of this API.

    Example:
        ```python
        from langchain_voxtral.wire.native import decode_answer

        answer = decode_answer(b'{"results": [{"generated_text": "Hello!"}], "num_tokens": 2}')
        assert answer.texts == ("Hello!",)
        assert answer.usage.output_tokens == 2
        ```
    """
    try:
        document: object = from_json(data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        said = quoted(words_of(data).text, secrets) or "nothing"
        raise VoxtralResponseError(
            f"The server's answer is not a JSON object but: {said}. Check base_url=.",
            status_code=200,
            request_id=header_request_id,
        )
    request_id = _request_id(document, secrets) or header_request_id
    error = error_in(document, secrets=secrets)
    if error is not None:
        raise error.having(request_id=error.request_id or request_id)
    inference = document.get("inference_status")
    status: JsonObject = inference if isinstance(inference, dict) else {}
    return Answer(
        texts=_texts(document, status, request_id, secrets),
        usage=Usage(
            input_tokens=_count(document.get("num_input_tokens"), status.get("tokens_input")),
            output_tokens=_count(document.get("num_tokens"), status.get("tokens_generated")),
            cost=_dollars(status.get("cost")),
        ),
        request_id=request_id,
        runtime_ms=_count(status.get("runtime_ms")),
    )


class NativeStream:
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

    Example:
        ```python
        from langchain_voxtral.wire.native import NativeStream
        from langchain_voxtral.wire.values import Delta, Final, Usage

        stream = NativeStream()
        assert stream.feed(b'data: {"token": {"text": "Hi"}}\n') == [Delta("Hi")]
        last = b'{"details": {"finish_reason": "stop"}, "num_output_tokens": 1}'
        assert stream.feed(b"data: " + last + b"\n") == [Final("stop", Usage(output_tokens=1))]
        assert stream.finished
        ```
    """

    def __init__(
        self,
        *,
        header_request_id: str | None = None,
        secrets: Sequence[str] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self.finished = False
        self._decoder = EventDecoder(max_event_bytes, secrets=secrets)
        self._secrets = tuple(secrets)
        self._request_id = header_request_id
        self._numbers: JsonObject = {}
        self._reason: str | None = None
        self._told_last: set[str] = set()  # the numbers that came with or after the reason
        self._in_text = False  # the first event came, the finish reason not yet
        self._failure: VoxtralError | None = None

    @property
    def failure(self) -> VoxtralError | None:
        """An error that waits until the events before it are taken, or None.

        Events that came before an error in the same bytes are returned first; `feed` and `close`
        raise the error when they are next called, or at once if there are none before it.
        """
        return self._failure or self._decoder.failure

    @property
    def is_ending(self) -> bool:
        """Whether the finish reason came, so that only numbers can follow."""
        return self._reason is not None

    @property
    def usage(self) -> Usage:
        """What the server has counted so far, for a stream that breaks."""
        return Usage(
            input_tokens=self._numbers.get("num_input_tokens"),
            output_tokens=self._numbers.get("num_output_tokens"),
            cost=self._numbers.get("estimated_cost"),
        )

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Return the events that `data` completes.

        Raises:
            VoxtralError: The stream reports a failure; the class as for `failures.error_in`.
            VoxtralResponseError: The stream is not of this API; see `EventDecoder`.
        """
        return self._events(data)

    def close(self) -> list[StreamEvent]:
        """Return the events that the end of the body completes.

        Look at `finished` afterwards: if it is false, the stream was cut.

        Raises:
            VoxtralError: As for `feed`.
        """
        return self._events(None)

    def _events(self, data: bytes | None) -> list[StreamEvent]:
        """Return the events that `data`, or the end of the body, completes."""
        if self._failure is not None:
            raise self._failure
        events: list[StreamEvent] = []
        try:
            documents = self._decoder.close() if data is None else self._decoder.feed(data)
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
                    self._read(document, events)
        except VoxtralError as failure:
            self._failure = failure.having(
                status_code=200, request_id=failure.request_id or self._request_id
            )
        if self._failure is not None:
            if not events:
                raise self._failure
        elif self._reason is not None and (data is None or self._decoder.done):
            self._finish(self._reason, events)
        return events

    def _read(self, document: JsonObject, events: list[StreamEvent]) -> None:
        """Append the events that a document of any kind stands for."""
        error = error_in(document, secrets=self._secrets)
        if error is not None:
            raise error
        if document and document.keys().isdisjoint(_EVENT_KEYS):
            raise self._unknown(document)
        self._request_id = _request_id(document, self._secrets) or self._request_id
        details = document.get("details")
        details = details if isinstance(details, dict) else {}
        numbers = _numbers_in(document, details)
        self._numbers.update(numbers)
        reason = _text(details.get("finish_reason"))
        if document.get("token"):
            delta = self._delta(document["token"])
            if delta.text and self._reason is not None:
                raise self._unknown(document)
            if delta.text or (reason is None and self._reason is None):
                events.append(delta)
        if reason is not None:
            self._reason = FINISH_REASONS.get(reason, reason)
        untold = _text(document.get("generated_text"))
        if reason is not None and untold and not (self._in_text or events):
            # Else an answer that came as a whole would look like an empty one.
            raise self._unknown(document)
        self._in_text = self._reason is None
        if self._reason is not None:
            self._told_last |= numbers.keys()
            if self._told_last >= _FINAL_NUMBERS:
                self._finish(self._reason, events)

    def _delta(self, token: object) -> Delta:
        text = token.get("text") if isinstance(token, dict) else None
        if not isinstance(token, dict) or not isinstance(text, str):
            raise self._unknown({"token": token})
        if token.get("special"):
            text = ""
        token_id = token.get("id")
        logprob = token.get("logprob")
        # Without an id the endpoint fills in 0.0 where it tells no probability.
        if token_id is None and not logprob:
            return Delta(text)
        return Delta(
            text,
            token_id if isinstance(token_id, int) else None,
            logprob if isinstance(logprob, int | float) else None,
        )

    def _finish(self, reason: str, events: list[StreamEvent]) -> None:
        if not self.finished:
            self.finished = True
            events.append(Final(reason, self.usage, self._request_id))

    def _unknown(self, document: JsonObject) -> VoxtralResponseError:
        what = "of no known form" if self._reason is None else "with text after its final event"
        said = quoted(to_json(document).decode(), self._secrets, _QUOTE_LIMIT)
        return VoxtralResponseError(f"The server's stream has an event {what}: {said}")


def _numbers_in(document: JsonObject, details: JsonObject) -> JsonObject:
    """Return the counts and the cost that an event tells, by DeepInfra's names."""
    told = {
        "num_input_tokens": _count(document.get("num_input_tokens"), details.get("input_tokens")),
        "num_output_tokens": _count(
            document.get("num_output_tokens"), details.get("generated_tokens")
        ),
        "estimated_cost": _dollars(document.get("estimated_cost")),
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
        told = quoted(_text(status.get("status")) or "not told", secrets, _QUOTE_LIMIT)
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


def _request_id(document: JsonObject, secrets: Sequence[str]) -> str | None:
    told = _text(document.get("request_id"))
    return quoted(told, secrets) if told else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(*values: object) -> int | None:
    """Return the first value that is a count, as an int; servers also write 25.0."""
    return next((round(value) for value in map(_dollars, values) if value is not None), None)


def _dollars(value: object) -> float | None:
    """Return a value if it is a finite number and not negative."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    return None

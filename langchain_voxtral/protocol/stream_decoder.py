"""What the streamed responses of all endpoints share: waiting errors, and the final event."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic_core import to_json

from langchain_voxtral.errors import VoxtralError, VoxtralResponseError, with_facts
from langchain_voxtral.protocol.error_responses import sanitize
from langchain_voxtral.protocol.fields import JsonObject, safe_text
from langchain_voxtral.protocol.responses import ResponseInfo, StreamEvent, Usage
from langchain_voxtral.protocol.sse import MAX_EVENT_BYTES, SSEDecoder

QUOTE_LIMIT = 200
"""Characters of a document of an unknown form that a message quotes."""


class StreamDecoderBase(ABC):
    """Decodes the bytes of a streamed response into events, the last of them a `ResponseInfo`.

    The final event is due once the finish reason has come. It is returned at once if all of
    `_final_usage` has come with or after the reason, else with an event that completes it, at
    `[DONE]` or at the end of the body, so that late numbers are not lost. `[DONE]` alone is no
    final event: a stream without a finish reason was cut. A finish reason of a wrong type ends a
    stream if nothing more of the answer comes. Once the text is whole, lines that are no events
    end the stream.

    A subclass turns the documents of one endpoint into events.

    Args:
        header_request_id: Value of the `x-request-id` header.
        secrets: Texts that must not show in an error, such as the API key.
        with_logprobs: Whether log probabilities are wanted: they make tokens `TokenDelta`.
        max_event_bytes: Longest event that is read.

    Attributes:
        finished: Whether the final event was returned.
        has_finish_reason: Whether the finish reason came, so that only metadata can follow.
        failure: What is wrong with the stream, after the events returned so far. It is raised by
            the next call, or at once if there are no events before it in the same bytes.
        events: How many events came.
        events_at_usage: How many of them came before the last report of the tokens generated.
    """

    _final_usage: ClassVar[frozenset[str]]
    """The fields of `Usage` that an endpoint sends last."""

    def __init__(
        self,
        *,
        header_request_id: str | None = None,
        secrets: Iterable[str] = (),
        with_logprobs: bool = False,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self.finished = False
        self.has_finish_reason = False
        self.failure: VoxtralError | None = None
        self.events = self.events_at_usage = 0
        self._sse = SSEDecoder(max_event_bytes, secrets=secrets)
        self._secrets = secrets
        self._with_logprobs = with_logprobs
        self.request_id = header_request_id
        self._finish_reason: str | None = None
        self._refusal = ""
        self._usage: dict[str, Any] = {}  # by the names of `Usage`
        self._final_fields: set[str] = set()  # those that came with or after the finish reason
        self._events_at_end: int | None = None  # events of this read before an unreadable reason

    def feed(self, data: bytes | None) -> list[StreamEvent]:
        """Return the events that `data` completes; None is the end of the body.

        Raises:
            VoxtralError: The stream reports an error, or is not of this API.
        """
        if self.failure is not None:
            raise self.failure
        events: list[StreamEvent] = []
        sse = self._sse
        try:
            self._decode(sse.close() if data is None else sse.feed(data), events)
            if sse.failure is not None and not self.has_finish_reason:
                raise sse.failure
        except VoxtralError as error:
            self.failure = with_facts(
                error, status_code=200, request_id=error.request_id or self.request_id
            )
            if not events:
                raise
        else:
            if self.has_finish_reason or self._events_at_end is not None:
                is_over = data is None or sse.received_done or sse.failure is not None
                self._end_text(events, is_over=is_over)
        self.events += len(events)
        return events

    @property
    def usage(self) -> Usage:
        """What the server has reported so far."""
        return Usage(**self._usage)

    def close(self) -> list[StreamEvent]:
        """Return the events that the end of the body completes; look at `finished` afterwards."""
        return self.feed(None)

    @abstractmethod
    def _decode(self, documents: Iterable[JsonObject], events: list[StreamEvent]) -> None:
        """Append the events that documents stand for, up to one that raises a `VoxtralError`."""

    def _record_unreadable_reason(self, events: list[StreamEvent]) -> None:
        """Note that the stream ends here, for a reason of a wrong type, unless more comes."""
        self._events_at_end = len(events)

    def _end_text(self, events: list[StreamEvent], *, is_over: bool) -> None:
        """Append the final event if the stream is over."""
        if self._events_at_end is not None:  # no longer the end, if there was more behind it
            self._events_at_end = None if len(events) > self._events_at_end else 0
        if is_over and (self.has_finish_reason or self._events_at_end is not None):
            self._finish(events)

    def _record_usage(
        self, finish_reason: str | None, usage: dict[str, Any], events: list[StreamEvent]
    ) -> None:
        """Keep a finish reason and fields of `Usage`, if known; append the final event if due."""
        usage = {name: number for name, number in usage.items() if number is not None}
        self._usage |= usage
        if "output_tokens" in usage:
            self.events_at_usage = self.events + len(events)
        if finish_reason is not None:
            self.has_finish_reason, self._finish_reason = True, finish_reason
        if self.has_finish_reason:
            self._final_fields |= usage.keys()
            if self._final_fields >= self._final_usage:
                self._finish(events)

    def _finish(self, events: list[StreamEvent]) -> None:
        if not self.finished:
            self.finished = True
            reason = safe_text(self._finish_reason, self._secrets)
            usage, refusal = Usage(**self._usage), self._refusal or None
            events.append(ResponseInfo(reason, usage, self.request_id, refusal=refusal))

    def _unknown_event(self, document: JsonObject) -> VoxtralResponseError:
        """Return the error for a document that may carry text in a form not known here."""
        problem = (
            "with text after its final event" if self.has_finish_reason else "of no known form"
        )
        quote = sanitize(to_json(document).decode(), self._secrets, QUOTE_LIMIT)
        return VoxtralResponseError(f"The server's stream has an event {problem}: {quote}")

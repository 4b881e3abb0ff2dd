"""What the streamed answers of all endpoints share: failures that wait, and the final event."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic_core import to_json

from langchain_voxtral.errors import VoxtralError, VoxtralResponseError
from langchain_voxtral.protocol.responses import ResponseInfo, StreamEvent, Usage
from langchain_voxtral.protocol.sse import MAX_EVENT_BYTES, JsonObject, SSEDecoder
from langchain_voxtral.protocol.words import sanitize

QUOTE_LIMIT = 200
"""Characters of a document of an unknown form that a message quotes."""


class StreamDecoderBase(ABC):
    """Turns the bytes of a streamed answer into events, the last of them a `ResponseInfo`.

    The final event is due when the finish reason was told. It is returned at once if the numbers
    that end a stream are told with it, else it waits for an event that does, for `[DONE]` or for
    the end of the body, so that late numbers are not lost. `[DONE]` alone is no final event: a
    stream that never told its finish reason was cut.

    A subclass knows an endpoint's documents: it appends the events they stand for in `_read`, and
    hands what they tell of the end to `_tally`.

    Args:
        header_request_id: Value of the `x-request-id` header.
        secrets: Texts that must not come back in an error, such as the API key.
        max_event_bytes: Longest event in bytes; a longer one is an error.

    Attributes:
        finished: Whether the final event was returned.
    """

    _last_numbers: ClassVar[frozenset[str]]
    """Fields of `Usage` that an endpoint tells last; with the finish reason they are the end."""

    def __init__(
        self,
        *,
        header_request_id: str | None = None,
        secrets: Sequence[str] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self.finished = False
        self._decoder = SSEDecoder(max_event_bytes, secrets=secrets)
        self._secrets = tuple(secrets)
        self._request_id = header_request_id
        self._numbers: dict[str, Any] = {}  # by the names of Usage's fields
        self._reason: str | None = None
        self._told_last: set[str] = set()  # the numbers that came with or after the reason
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
        return Usage(**self._numbers)

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Return the events that `data` completes.

        Raises:
            VoxtralError: The stream reports a failure; the class as for `error_from_body`.
            VoxtralResponseError: The stream is not of this API; see `SSEDecoder`.
        """
        return self._events(data)

    def close(self) -> list[StreamEvent]:
        """Return the events that the end of the body completes.

        Look at `finished` afterwards: if it is false, the stream was cut.

        Raises:
            VoxtralError: As for `feed`.
        """
        return self._events(None)

    @abstractmethod
    def _read(self, documents: Iterable[JsonObject], events: list[StreamEvent]) -> None:
        """Append the events that documents stand for.

        Raises:
            VoxtralError: A document reports a failure, or is of no known form; what was appended
                before it counts.
        """

    def _events(self, data: bytes | None) -> list[StreamEvent]:
        """Return the events that `data`, or the end of the body, completes."""
        if self._failure is not None:
            raise self._failure
        events: list[StreamEvent] = []
        try:
            self._read(self._decoder.close() if data is None else self._decoder.feed(data), events)
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

    def _tally(
        self, reason: str | None, numbers: dict[str, Any], events: list[StreamEvent]
    ) -> None:
        """Keep what an event tells of the end, and append the final event if it is due.

        Args:
            reason: The finish reason, if told.
            numbers: Counts and cost by the names of `Usage`'s fields; none that is not told.
            events: Where the final event goes.
        """
        self._numbers.update(numbers)
        self._reason = reason or self._reason
        if self._reason is not None:
            self._told_last |= numbers.keys()
            if self._told_last >= self._last_numbers:
                self._finish(self._reason, events)

    def _finish(self, reason: str, events: list[StreamEvent]) -> None:
        if not self.finished:
            self.finished = True
            events.append(ResponseInfo(reason, self.usage, self._request_id))

    def _unknown(self, document: JsonObject) -> VoxtralResponseError:
        """Return the error for a document that may carry text in a form not known here."""
        what = "of no known form" if self._reason is None else "with text after its final event"
        said = sanitize(to_json(document).decode(), self._secrets, QUOTE_LIMIT)
        return VoxtralResponseError(f"The server's stream has an event {what}: {said}")

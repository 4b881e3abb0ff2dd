"""Plain values that describe an HTTP exchange."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.redaction import Secrets
from langchain_voxtral.transport.request_log import AnswerSource, RequestLog

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits in seconds; None is no limit.

    Args:
        connect: To reach the server.
        read: Without a byte from the server (for a stream: without an event).
        read_setting_name: The setting that `read` comes from, for the error message.
        deadline: For the whole call, retries included.
    """

    connect: float | None = 5.0
    read: float | None = 300.0
    read_setting_name: str = "timeout"
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a request is sent again.

    Args:
        retries: Attempts beyond the first.
        initial_backoff: Seconds before the first retry; doubled for each further one.
        max_backoff: Seconds that the doubling stops at.
        max_retry_after: Longest `Retry-After` in seconds that is waited for.
        retry_timeouts: Whether to retry when the response did not come in time. The server may
            have done the work, so this may be billed twice.
    """

    retries: int = 2
    initial_backoff: float = 0.5
    max_backoff: float = 8.0
    max_retry_after: float = 60.0
    retry_timeouts: bool = False


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """One POST.

    Args:
        url: Absolute URL.
        content: The body.
        headers: All headers but those that HTTP itself needs.
        secrets: Strings that must not show in an error.
        model: The model asked for, for messages.
        timeouts: Time limits.
        retry: When to send it again.
        has_audio: Whether the body has a recording, which the server may fail to read.
        log: What writes the request's line in the log; None writes none.
    """

    url: str
    content: bytes | FormData = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    secrets: Iterable[str] = Secrets()
    model: str | None = None
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()
    has_audio: bool = False
    log: RequestLog | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """A whole successful response.

    Args:
        content: The body.
        headers: Response headers, names in any case.
        attempts: How often the request was sent.
    """

    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    attempts: int = 1


class StreamDecoder(AnswerSource, Protocol[T_co]):
    """Decodes a streamed body into items, without any I/O."""

    @property
    def started(self) -> bool:
        """Whether a token has arrived since `start_attempt`: the request is not sent again."""
        ...

    @property
    def is_finishing(self) -> bool:
        """Whether only metadata is awaited."""
        ...

    @property
    def must_stop(self) -> bool:
        """Whether nothing is awaited."""
        ...

    def start_attempt(self, headers: Mapping[str, str], attempts: int) -> None:
        """Start on the body of a new response."""

    def feed(self, data: bytes) -> Sequence[T_co]:
        """Return the items that `data` completes."""
        ...

    def finish(self, error: VoxtralError | None = None) -> Iterable[T_co]:
        """Return the last items, at the body's end or after an error.

        Raises:
            VoxtralError: The body ended too early.
        """
        ...

    def read_document(self, content: bytes) -> Sequence[T_co]:
        """Return the items of a successful response that is one document and no stream.

        Raises:
            VoxtralError: It cannot stand for a stream.
        """
        ...

    def add_context(self, error: VoxtralError) -> None:
        """Add to an error what has arrived so far."""

    def resume_request(self, error: VoxtralError) -> HTTPRequest:
        """Return the request that continues a body which was cut.

        Raises:
            VoxtralError: The error given: the body cannot be resumed.
        """
        ...

"""One DEBUG line for each request, with the same facts as attributes of the log record."""

import logging
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import aclosing, closing
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.protocol.error_responses import sanitize
from langchain_voxtral.protocol.responses import ResponseInfo, Usage

if TYPE_CHECKING:
    from langchain_voxtral.transport.retry import RetryState

logger = logging.getLogger("langchain_voxtral")

PREFIX = "voxtral_"
"""What the names of the log record's attributes begin with."""

T = TypeVar("T")


class Answer(Protocol):
    """What the log needs of a response, a completion's or a transcription's."""

    @property
    def usage(self) -> Usage:
        """Tokens and cost."""
        ...

    @property
    def request_id(self) -> str | None:
        """The server's id of the request."""
        ...


class AnswerSource(Protocol):
    """What reads a streamed body."""

    @property
    def answer(self) -> Answer | None:
        """What is known of the whole body; None until its end."""
        ...

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, as soon as it is known."""
        ...


class RequestLog:
    """What is known of one request; leaving it as a context manager writes its line.

    It is made only while the logger takes DEBUG messages, and never sees content: neither a prompt
    nor an answer, nor the text of an error, which may quote one.

    Args:
        endpoint: The endpoint that is asked.
        model: The model that is asked.
        provider: The server's name in metadata.
        secrets: Texts that must not show, such as the API key.

    Attributes:
        answer: What came, once it is whole.
        state: The attempts, which set it when the request is about to be sent.
    """

    state: "RetryState"

    def __init__(self, endpoint: str, model: str, provider: str, secrets: Iterable[str]) -> None:
        self._request = {"endpoint": endpoint, "model": model, "provider": provider}
        self._secrets = tuple(secrets)
        self._started_at = time.monotonic()
        self._first_token_at: float | None = None
        self._body: AnswerSource | None = None
        self.answer: Answer | None = None

    def watch(self, reads: Generator[Sequence[T]], body: AnswerSource) -> Generator[Sequence[T]]:
        """Yield what a stream brings, and log its end."""
        self._body = body
        with self, closing(reads):
            for items in reads:
                self._record_items(items)
                yield items

    async def awatch(
        self, reads: AsyncGenerator[Sequence[T]], body: AnswerSource
    ) -> AsyncGenerator[Sequence[T]]:
        """Do what `watch` does, asynchronously."""
        self._body = body
        with self:
            async with aclosing(reads):
                async for items in reads:
                    self._record_items(items)
                    yield items

    def _record_items(self, items: Sequence[object]) -> None:
        if self._first_token_at is None and items and not isinstance(items[0], ResponseInfo):
            self._first_token_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        fields = self._fields(error)
        shown = {name: _shown(value) for name, value in fields.items() if value is not None}
        head = [shown.pop(name) for name in ("method", "endpoint", "outcome")]
        logger.debug(
            "%s %s %s: %s",
            *head,
            " ".join(f"{name}={value}" for name, value in shown.items()),
            extra={PREFIX + name: value for name, value in fields.items()},
        )

    def _fields(self, error: BaseException | None) -> dict[str, Any]:
        if self._body is not None:
            self.answer = self._body.answer
        usage = Usage() if self.answer is None else self.answer.usage
        ids = [each.request_id for each in (self.answer, self._body, self.state) if each]
        if isinstance(error, VoxtralError):
            usage, ids = Usage(**(error.usage or {})), [error.request_id, *ids]
        fields = {
            "method": "POST",
            **self._request,
            "outcome": _outcome(error, self.answer),
            "status": self.state.status,
            "attempts": self.state.attempts,
            "resumes": self.state.resumes,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "audio_seconds": usage.audio_seconds,
            "cost_usd": usage.cost,
            "duration_ms": self._milliseconds(time.monotonic()),
            "first_token_ms": self._milliseconds(self._first_token_at),
            "request_id": next(filter(None, ids), None),
            "error": type(error).__name__ if isinstance(error, Exception) else None,
        }
        return {
            name: sanitize(value, self._secrets) if isinstance(value, str) else value
            for name, value in fields.items()
        }

    def _milliseconds(self, moment: float | None) -> float | None:
        return None if moment is None else round((moment - self._started_at) * 1000, 1)


def _outcome(error: BaseException | None, answer: Answer | None) -> str:
    if isinstance(error, Exception):
        return "failed"
    if error is None or (isinstance(error, GeneratorExit) and answer is not None):
        return "completed"
    return "abandoned" if isinstance(error, GeneratorExit) else "cancelled"


def _shown(value: object) -> str:
    """Return a value as the line has it; dollars without an exponent."""
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else str(value)

"""When a request is sent again, and how long to wait before; nothing else retries."""

import logging
import random
import time
from collections.abc import Iterable, Mapping

import httpx

from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralTimeoutError,
)
from langchain_voxtral.protocol.fields import safe_text
from langchain_voxtral.transport.deadlines import TimeLimit
from langchain_voxtral.transport.types import HTTPRequest

logger = logging.getLogger("langchain_voxtral")

RETRYABLE_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed. Not 409 and 423: their meaning at
DeepInfra is undocumented."""

_NEVER_SENT = (httpx.ConnectTimeout, httpx.PoolTimeout)


def read_header(headers: Mapping[str, str], name: str, secrets: Iterable[str]) -> str | None:
    """Return a response header for errors and metadata, without a key that a server may echo."""
    value = headers.get(name)
    return None if value is None else safe_text(value, secrets)


class RetryState:
    """Counts the attempts of one call, and decides about the next one.

    Attributes:
        attempts: How often the request was sent.
        resumes: How often the stream was cut and taken up again.
        status: The status of the last attempt's response.
        limit: The time limit of the last attempt.
    """

    def __init__(self, request: HTTPRequest) -> None:
        self.attempts = self.resumes = 0
        self.status: int | None = None
        self._attempts_before_resume = 0  # retries are counted from there
        self._policy = request.retry
        self._deadline = request.timeouts.deadline
        self._secrets = request.secrets
        self._headers: Mapping[str, str] = {}  # of the last attempt's response
        self._started_at = time.monotonic()
        self.limit = TimeLimit()
        if request.log is not None:
            request.log.state = self

    @property
    def request_id(self) -> str | None:
        """The id in the headers of the last attempt's response."""
        return read_header(self._headers, "x-request-id", self._secrets)

    def start_attempt(self, *, max_idle: float | None = None) -> float | None:
        """Count a new attempt; return the seconds it may take, None for no limit.

        Args:
            max_idle: Seconds that a stream may take to bring its next item.

        Raises:
            VoxtralTimeoutError: The deadline has passed.
        """
        self.attempts += 1
        self.status, self._headers = None, {}
        due = None if self._deadline is None else self._started_at + self._deadline
        self.limit = TimeLimit(due, max_idle)
        return self.remaining()

    def record_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep the head of this attempt's response: any error that follows has the id there."""
        self.limit.progress_at, self.limit.is_silent = time.monotonic(), True
        self.status, self._headers = status, headers

    def remaining(self) -> float | None:
        """Seconds until the deadline, None without one.

        Raises:
            VoxtralTimeoutError: The deadline has passed.
        """
        left = self._left()
        if left is not None and left <= 0:
            raise self.deadline_error()
        return left

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline has passed."""
        left = self._left()
        return left is not None and left <= 0

    def _left(self) -> float | None:
        if self._deadline is None:
            return None
        return self._deadline - (time.monotonic() - self._started_at)

    def deadline_error(self) -> VoxtralTimeoutError:
        """Return the error for a call that reached its deadline."""
        return VoxtralTimeoutError(
            f"The call did not finish within {self._deadline:g} s, its overall deadline. "
            "Set a larger deadline=, or deadline=None for no such limit.",
            attempts=self.attempts,
        )

    def delay_after(self, error: VoxtralError) -> float:
        """Return the seconds to wait before the next attempt, or raise the error.

        Raises:
            VoxtralError: The error itself, if it is not to be retried.
        """
        error.attempts = self.attempts
        error.request_id = error.request_id or self.request_id
        spent = self.attempts - self._attempts_before_resume > self._policy.retries
        if spent or not self._is_temporary(error):
            raise error
        delay = self._delay_before_next(error)
        logger.warning(
            "Attempt %d of %d in %.1f s, after: %s",
            self.attempts + 1,
            self._attempts_before_resume + self._policy.retries + 1,
            delay,
            error,
        )
        return delay

    def delay_before_resuming(self, error: VoxtralError) -> float:
        """Return the seconds to wait before a cut stream is taken up again, with fresh retries.

        Raises:
            VoxtralError: The error itself, if the deadline would pass.
        """
        delay = self._delay_before_next(error)
        self._attempts_before_resume = self.attempts
        self.resumes += 1
        logger.warning("Resuming the stream in %.1f s, after: %s", delay, error)
        return delay

    def _is_temporary(self, error: VoxtralError) -> bool:
        if isinstance(error, VoxtralIncompleteStreamError) or not error.is_retryable:
            return False
        if error.status_code is not None:
            return error.status_code in RETRYABLE_STATUS
        if isinstance(error, VoxtralTimeoutError):
            return self._policy.retry_timeouts or isinstance(error.__cause__, _NEVER_SENT)
        return isinstance(error, VoxtralConnectionError)

    def _delay_before_next(self, error: VoxtralError) -> float:
        """Return Retry-After and a little more, else a back-off; jittered so crowds disperse.

        Raises:
            VoxtralError: The error itself, if waiting for so long is out of the question.
        """
        policy, left = self._policy, self._left()
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        if error.retry_after is None:
            backoff = min(policy.max_backoff, policy.initial_backoff * 2.0 ** (self.attempts - 1))
            delay = backoff * (0.5 + 0.5 * jitter)
        elif error.retry_after > policy.max_retry_after:
            raise error
        else:
            delay = error.retry_after + jitter * min(1.0, 0.1 * error.retry_after)
        if left is not None and delay >= left:
            raise error
        return delay

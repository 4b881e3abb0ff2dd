"""The one owner of retries: when to send again, and how long to wait before."""

import logging
import random
import time
from collections.abc import Mapping

import httpx

from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralTimeoutError,
    redact,
)
from langchain_voxtral.transport.types import HTTPRequest

logger = logging.getLogger("langchain_voxtral")

RETRYABLE_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed. Not 409 and 423: their meaning at
DeepInfra is undocumented."""

_NEVER_SENT = (httpx.ConnectTimeout, httpx.PoolTimeout)


class RetryState:
    """Counts the attempts of one call and decides about the next one.

    Args:
        request: Its policy and deadline count.
    """

    def __init__(self, request: HTTPRequest) -> None:
        self.count = 0
        self._fresh_since = 0
        self._policy = request.retry
        self._limits = request.timeouts
        self._secrets = request.secrets
        self._request_id: str | None = None
        self._began = time.monotonic()

    def start_attempt(self) -> float | None:
        """Count a new attempt; return the seconds it may take, None for no limit.

        Raises:
            VoxtralTimeoutError: The deadline has passed.
        """
        self.count += 1
        self._request_id = None
        return self.remaining()

    def record_response(self, headers: Mapping[str, str]) -> None:
        """Take note of the id that the server gave this attempt, for any error that follows."""
        request_id = headers.get("x-request-id")
        self._request_id = None if request_id is None else redact(request_id, self._secrets)

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
        deadline = self._limits.deadline
        return None if deadline is None else deadline - (time.monotonic() - self._began)

    def deadline_error(self) -> VoxtralTimeoutError:
        """Return the error for a call that reached its deadline."""
        return VoxtralTimeoutError(
            f"The call did not finish within {self._limits.deadline:g} s, its overall deadline. "
            "Set a larger deadline=, or deadline=None for no such limit.",
            attempts=self.count,
        )

    def delay_after(self, error: VoxtralError) -> float:
        """Return the seconds to wait before the next attempt, or raise the error.

        Raises:
            VoxtralError: The error itself, if it is not to be retried.
        """
        error.attempts = self.count
        error.request_id = error.request_id or self._request_id
        spent = self.count - self._fresh_since > self._policy.retries
        if spent or not self._may_pass(error):
            raise error
        pause = self._pause(error)
        logger.warning(
            "Attempt %d of %d in %.1f s, after: %s",
            self.count + 1,
            self._fresh_since + self._policy.retries + 1,
            pause,
            error,
        )
        return pause

    def delay_before_resuming(self, error: VoxtralError) -> float:
        """Return the seconds to wait before a cut stream is taken up again, with fresh retries.

        Raises:
            VoxtralError: The error itself, if the deadline would pass.
        """
        pause = self._pause(error)
        self._fresh_since = self.count
        logger.warning("Resuming the stream in %.1f s, after: %s", pause, error)
        return pause

    def _may_pass(self, error: VoxtralError) -> bool:
        if isinstance(error, VoxtralIncompleteStreamError) or not error.is_retryable:
            return False
        if error.status_code is not None:
            return error.status_code in RETRYABLE_STATUS
        if isinstance(error, VoxtralTimeoutError):
            return self._policy.retry_timeouts or isinstance(error.__cause__, _NEVER_SENT)
        return isinstance(error, VoxtralConnectionError)

    def _pause(self, error: VoxtralError) -> float:
        """Return Retry-After and a little more, else a back-off; jittered so crowds disperse.

        Raises:
            VoxtralError: The error itself, if waiting for so long is out of the question.
        """
        policy, left = self._policy, self._left()
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        if error.retry_after is None:
            back_off = min(policy.max_backoff, policy.initial_backoff * 2.0 ** (self.count - 1))
            pause = back_off * (0.5 + 0.5 * jitter)
        elif error.retry_after > policy.max_retry_after:
            raise error
        else:
            pause = error.retry_after + jitter * min(1.0, 0.1 * error.retry_after)
        if left is not None and pause >= left:
            raise error
        return pause

"""Every error this package raises, one class for each kind of failure.

Each class also inherits the class of `langchain_core.exceptions` of the same meaning, so that
`ModelRetryMiddleware`, `with_fallbacks` and code written for another provider act on it without
knowing this package. `is_retryable` comes from there.

- `VoxtralError`: the base of all.
- `VoxtralAuthenticationError`, `VoxtralPermissionDeniedError`, `VoxtralPaymentRequiredError`: the
  key, what it may do, the balance of its account.
- `VoxtralInvalidRequestError`: a request that cannot be made or is refused; of its kind are
  `VoxtralContextOverflowError`, `VoxtralUnsupportedFeatureError`, and of recordings
  `VoxtralAudioError` and `VoxtralTruncatedAudioError`.
- `VoxtralNotFoundError`: a model or a path that the server does not know.
- `VoxtralRateLimitError`, `VoxtralAPIError`, `VoxtralResponseError`: the server is busy, fails, or
  is none of the supported ones.
- `VoxtralConnectionError`, `VoxtralIncompleteStreamError`, `VoxtralTimeoutError`: the network.
- `VoxtralBudgetExceededError`: a limit on costs.
- `VoxtralLocalError`, `VoxtralMissingExtraError`, `VoxtralMissingAudioExtraError`: what is missing
  on this machine.
- `redact`: a text without the keys in it.

Example:
    ```python
    from langchain_voxtral import ChatVoxtral
    from langchain_voxtral.errors import VoxtralError

    try:
        print(ChatVoxtral(base_url="local").invoke("Hello!", model="nobody/nothing").text)
    except VoxtralError as error:  # VoxtralNotFoundError
        print(error, error.status_code, error.is_retryable)
    ```
"""

from typing import Any, TypeVar

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from langchain_voxtral.redaction import redact

__all__ = [
    "VoxtralAPIError",
    "VoxtralAudioError",
    "VoxtralAuthenticationError",
    "VoxtralBudgetExceededError",
    "VoxtralConnectionError",
    "VoxtralContextOverflowError",
    "VoxtralError",
    "VoxtralIncompleteStreamError",
    "VoxtralInvalidRequestError",
    "VoxtralLocalError",
    "VoxtralMissingAudioExtraError",
    "VoxtralMissingExtraError",
    "VoxtralNotFoundError",
    "VoxtralPaymentRequiredError",
    "VoxtralPermissionDeniedError",
    "VoxtralRateLimitError",
    "VoxtralResponseError",
    "VoxtralTimeoutError",
    "VoxtralTruncatedAudioError",
    "VoxtralUnsupportedFeatureError",
    "redact",
]

AnyError = TypeVar("AnyError", bound="VoxtralError")


class VoxtralError(ModelError):
    """Base of all errors of this package.

    Args:
        message: What was wrong, where, and what to do about it.
        status_code: HTTP status, if the server answered.
        request_id: The server's id of the request, for its support.
        attempts: How often the request was sent (0: it never left).
        retry_after: Seconds the server asked to wait, if it did.
        partial: Text that had arrived before the failure.
        usage: Tokens that had come before the failure, by name; where the server does not report
            them, its events are counted.

    Example:
        ```python
        from langchain_voxtral.errors import VoxtralError

        error = VoxtralError("The model is busy.", status_code=429, request_id="R1")
        assert str(error) == "The model is busy. (status 429, request id R1)"
        ```
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        request_id: str | None = None,
        attempts: int = 0,
        retry_after: float | None = None,
        partial: str = "",
        usage: dict[str, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.request_id = request_id
        self.attempts = attempts
        self.retry_after = retry_after
        self.partial = partial
        self.usage = usage

    def __str__(self) -> str:
        facts = [
            f"status {self.status_code}" if self.status_code is not None else "",
            f"request id {self.request_id}" if self.request_id else "",
            f"{self.attempts} attempts" if self.attempts > 1 else "",
        ]
        known = ", ".join(fact for fact in facts if fact)
        return f"{self.message} ({known})" if known else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own __reduce__ calls the class with positional arguments only and so
        # fails in a process pool; this keeps every attribute, the partial text included.
        return _rebuild, (type(self), self.message, dict(self.__dict__))


def _rebuild(kind: type[VoxtralError], message: str, state: dict[str, Any]) -> VoxtralError:
    error = kind(message)
    error.__dict__.update(state)
    return error


def with_facts(error: AnyError, **facts: Any) -> AnyError:
    """Set attributes of an error and return it, for the layers that learn more."""
    for name, value in facts.items():
        setattr(error, name, value)
    return error


class VoxtralAuthenticationError(VoxtralError, ModelAuthenticationError):
    """No key, a malformed key, or a key the server does not accept (HTTP 401)."""


class VoxtralPermissionDeniedError(VoxtralError, ModelPermissionDeniedError):
    """The key is known and may not do this (HTTP 403)."""


class VoxtralPaymentRequiredError(VoxtralPermissionDeniedError):
    """The account has no balance or no payment method (HTTP 402)."""


class VoxtralBudgetExceededError(VoxtralError):
    """A call might pass `max_cost_usd` of `get_voxtral_usage_callback`, and was not sent.

    The message has what is spent, what the call is expected to cost, and the limit. No server has
    refused anything, so this is none of LangChain's errors but their base, `ModelError`, and not
    retryable: `ModelRetryMiddleware` raises it at once. `with_retry()` repeats every `Exception`
    unless `retry_if_exception_type` names others, and `with_fallbacks` goes on with its next model
    unless `exceptions_to_handle` does; each of these calls is checked too, and a model of
    another provider is not.

    Example:
        ```python
        from langchain_voxtral import ChatVoxtral, get_voxtral_usage_callback
        from langchain_voxtral.errors import VoxtralBudgetExceededError

        with get_voxtral_usage_callback(max_cost_usd=0) as usage:
            try:
                ChatVoxtral(base_url="local").invoke("Hello!")
            except VoxtralBudgetExceededError as error:
                print(error)
        assert usage.total.requests == 0
        ```
    """


class VoxtralInvalidRequestError(VoxtralError, ModelInvalidRequestError, ValueError):
    """The request cannot be made or the server refuses it as invalid (HTTP 400, 413, 422, ...)."""


class VoxtralUnsupportedFeatureError(VoxtralInvalidRequestError):
    """The server does not offer a feature for this model (HTTP 405)."""


class VoxtralContextOverflowError(VoxtralInvalidRequestError, ContextOverflowError):
    """The prompt is longer than the model's context."""


class VoxtralNotFoundError(VoxtralError, ModelNotFoundError):
    """The server does not know the model or the path (HTTP 404)."""


class VoxtralRateLimitError(VoxtralError, ModelRateLimitError):
    """Too many requests, or the model is busy (HTTP 429); see `retry_after`."""


class VoxtralAPIError(VoxtralError, ModelAPIError):
    """The server failed (HTTP 5xx), or reported a failure within an answer."""


class VoxtralResponseError(VoxtralAPIError):
    """The server answered something that is not this API: HTML, broken JSON, no text."""

    is_retryable = False


class VoxtralConnectionError(VoxtralError, ModelConnectionError):
    """The server cannot be reached, or the connection broke before the answer began."""


class VoxtralIncompleteStreamError(VoxtralConnectionError):
    """A stream ended before its final event; `partial` holds the text that had arrived."""


class VoxtralTimeoutError(VoxtralError, ModelTimeoutError):
    """A time limit was reached; the message says which one and how to change it."""


class VoxtralAudioError(VoxtralInvalidRequestError):
    """A recording that cannot be decoded; the message says which, what is wrong and where."""


class VoxtralTruncatedAudioError(VoxtralAudioError):
    """A recording whose sound ends before the file says it does, or breaks off on damage."""


class VoxtralMissingAudioExtraError(VoxtralError, ImportError):
    """A library of the `audio` extra is not installed."""

    def __init__(self, library: str, **facts: Any) -> None:
        super().__init__(
            f"Decoding a recording needs {library}, which is not installed: "
            'pip install "langchain-voxtral[audio]"',
            **facts,
        )


def concatenated_error(at: int) -> VoxtralAudioError:
    """Return the error of files that were joined where their format has no such thing.

    Args:
        at: Where the second one begins, in bytes.
    """
    return VoxtralAudioError(
        f"another recording begins at byte {at}: files were joined, and only the first would be "
        "decoded; give each on its own"
    )


class VoxtralLocalError(VoxtralError):
    """The embedded engine cannot be set up on this machine; the message says what to do."""


_PURPOSES = {"tokens": "Counting tokens", "ray": "langchain_voxtral.ray"}


class VoxtralMissingExtraError(VoxtralLocalError, ImportError):
    """A library of an extra (`local`, `local-speech`, `tokens`, `ray`) is not installed."""

    def __init__(self, library: str, *, extra: str = "local", **facts: Any) -> None:
        purpose = _PURPOSES.get(extra, "The embedded engine")
        part = " for recordings" if extra == "local-speech" else ""
        super().__init__(
            f"{purpose} needs {library}{part}, which is not installed: "
            f'pip install "langchain-voxtral[{extra}]"',
            **facts,
        )
        self.name = library


PERMANENT_ERRORS = (
    VoxtralAuthenticationError,
    VoxtralBudgetExceededError,
    VoxtralPermissionDeniedError,
    VoxtralNotFoundError,
    VoxtralUnsupportedFeatureError,
    VoxtralLocalError,
)
"""Failures that every other request to this server and model would have too."""


def __dir__() -> list[str]:
    return sorted(__all__)

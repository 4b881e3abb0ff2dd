"""Failures: status and body of an answer, or an error within one, into one error class."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralAuthenticationError,
    VoxtralContextOverflowError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralNotFoundError,
    VoxtralPaymentRequiredError,
    VoxtralPermissionDeniedError,
    VoxtralRateLimitError,
    VoxtralResponseError,
    VoxtralTimeoutError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.wire.headers import header, parse_retry_after
from langchain_voxtral.wire.words import Words, quoted, words_in, words_of

__all__ = ["error_in", "failure", "parse_retry_after"]


@dataclass(frozen=True, slots=True)
class _Case:
    """A kind of failure: its error class, and what it means and asks for.

    `advice` may name the model by `{model}`.
    """

    kind: type[VoxtralError]
    advice: str


@dataclass(frozen=True, slots=True)
class _Sign:
    """Words that tell a case better than the status does, with the statuses where they do."""

    statuses: frozenset[int]
    pattern: re.Pattern[str]
    case: _Case


_WITHIN_ANSWER = 200

_UNAUTHENTICATED = _Case(
    VoxtralAuthenticationError,
    "The server does not accept the API key: pass api_key=, or set DEEPINFRA_API_TOKEN "
    "(for any other server VOXTRAL_API_KEY).",
)
_BUSY = _Case(
    VoxtralRateLimitError,
    "There are too many requests, or the model is busy: wait (retry_after says how long, if the "
    "server does) and send fewer at once (max_concurrency of batch); DeepInfra allows 200 at once.",
)
_INVALID = _Case(
    VoxtralInvalidRequestError,
    "The server refuses the request as invalid: change what its words name.",
)
_OVERFLOW = _Case(
    VoxtralContextOverflowError,
    "The prompt, with the tokens asked for, is longer than the context of {model}: shorten the "
    "conversation or lower max_tokens.",
)
_SPEECH_ONLY = _Case(
    VoxtralUnsupportedFeatureError,
    "This deployment of {model} takes speech only, it demands a recording in place of text. What "
    "may work: transcription of recordings, api='chat_completions', a self-hosted server that "
    "serves it for text (base_url=) or the embedded engine (base_url='local').",
)
_NO_TOOLS = _Case(
    VoxtralUnsupportedFeatureError,
    "The server does not offer tool calling for {model} at this endpoint: pass api='native', "
    "which describes the tools in the prompt and reads the calls from the text.",
)
_BAD_AUDIO = _Case(
    VoxtralInvalidRequestError,
    "The server cannot read the audio: send it as WAV or MP3 (DeepInfra answers WebM like this).",
)
_UNAVAILABLE = _Case(
    VoxtralAPIError,
    "The server is out of capacity or a gateway before it failed: try again later; the request "
    "may have been billed all the same.",
)
_FAILED = _Case(VoxtralAPIError, "The server failed: try again later.")
_REDIRECT = _Case(
    VoxtralResponseError,
    "The server redirects, and redirects are not followed, because they would carry the API key "
    "elsewhere: set base_url to the right address.",
)
_UNEXPECTED = _Case(VoxtralResponseError, "The server answers with a status that is no failure.")

_BY_STATUS: dict[int, _Case] = {
    _WITHIN_ANSWER: _Case(VoxtralAPIError, "The server reports a failure within its answer."),
    400: _INVALID,
    401: _UNAUTHENTICATED,
    402: _Case(
        VoxtralPaymentRequiredError,
        "The account has no balance or no payment method: add one in its billing settings.",
    ),
    403: _Case(
        VoxtralPermissionDeniedError,
        "The API key may not do this: use a key whose account and scope allow {model}.",
    ),
    404: _Case(
        VoxtralNotFoundError,
        "The server does not know {model} or the path: check model= and base_url=; below base_url, "
        "/openai/models lists the models it has.",
    ),
    405: _Case(
        VoxtralUnsupportedFeatureError,
        "The server does not offer a feature that the request uses for {model}: leave out what "
        "its words name (tools, response_format); if they name none, check base_url=.",
    ),
    408: _Case(
        VoxtralTimeoutError, "The server gave up waiting for the whole request: send it again."
    ),
    413: _Case(
        VoxtralInvalidRequestError,
        "The request is larger than the server takes: shorten the prompt, or compress or split "
        "the audio.",
    ),
    422: _INVALID,
    423: _Case(
        VoxtralPermissionDeniedError,
        "The server has locked what was asked for: look at the account and the model on the "
        "provider's dashboard, sending again does not help.",
    ),
    429: _BUSY,
    500: _FAILED,
    501: _Case(
        VoxtralResponseError,
        "The server does not know requests of this kind, so it is none of this API: check "
        "base_url=.",
    ),
    **dict.fromkeys((502, 503, 504), _UNAVAILABLE),
}
"""What each HTTP status means (DeepInfra's API pages and recorded answers)."""
_BY_HUNDREDS = {3: _REDIRECT, 4: _INVALID, 5: _FAILED}

_STATUS_OF_NAME: dict[str, int] = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "engine_overloaded": 429,
    "generation": 500,
    "insufficient_quota": 402,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded": 429,
    "overloaded_error": 429,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "timeout": 504,
    "validation": 422,
}
"""The status that the name of an error stands for, where no status tells: in a stream or a 200
answer (DeepInfra's and OpenAI's codes, the error types of text-generation-inference)."""

_SIGNS: tuple[_Sign, ...] = (
    _Sign(
        frozenset({_WITHIN_ANSWER, 400, 413, 422, 500}),
        # DeepInfra, then vLLM, OpenAI, llama.cpp, text-generation-inference, SGLang, Mistral.
        re.compile(
            r"input length \d+ exceeds|(?:requested|maximum) input length"
            r"|maximum (?:context|model|sequence) length|context[_ ]length[_ ]exceeded"
            r"|exceed_context_size|exceeds? (?:the )?(?:available )?context (?:size|window)"
            r"|inputs. tokens \+ .max_new_tokens|inputs.? must have less than \d+ tokens"
            r"|longer than the (?:model'?s? |maximum )(?:context|model) length"
            r"|prompt is too long",
            re.IGNORECASE,
        ),
        _OVERFLOW,
    ),
    _Sign(
        frozenset({400, 422}),
        # The body field `audio` itself, not one within a message (`messages.0.content.audio`).
        re.compile(r"(?:^|; )audio: [^;]*required|field required\W+audio\b", re.IGNORECASE),
        _SPEECH_ONLY,
    ),
    _Sign(
        frozenset({405}),
        re.compile(r"\btools?\b.*\bnot supported", re.IGNORECASE),
        _NO_TOOLS,
    ),
    _Sign(
        frozenset({_WITHIN_ANSWER, 403}),
        re.compile(r"not authenticated|not authorized to access", re.IGNORECASE),
        _UNAUTHENTICATED,
    ),
    _Sign(
        frozenset({_WITHIN_ANSWER}),
        re.compile(r"\brate limit|model busy|too many requests|\boverloaded\b", re.IGNORECASE),
        _BUSY,
    ),
)
_BAD_AUDIO_WORDS = "inference error"


def failure(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secrets: Sequence[str] = (),
    model: str | None = None,
    carried_audio: bool = False,
) -> VoxtralError:
    """Return the error that an HTTP answer means; the caller raises it.

    The class comes from the status, save where the server's words know better: an overflowing
    context (400 at DeepInfra, formerly 500), text sent to a speech-only deployment (422), a
    missing key (403). The message says what to do and quotes the first 500 characters of the
    server's own words.

    Args:
        status: HTTP status.
        headers: HTTP headers.
        body: The whole body: JSON in any of the shapes in use, HTML, text or nothing.
        secrets: Texts that must not come back in the error, such as the API key.
        model: The model's id, for messages.
        carried_audio: Whether the request carried audio. DeepInfra answers a recording that it
            cannot read with a 500 "inference error", which is then not worth a retry; without
            audio the same words are an ordinary failure of the server.

    Example:
        ```python
        from langchain_voxtral.errors import VoxtralRateLimitError
        from langchain_voxtral.wire.failures import failure

        error = failure(429, {"retry-after": "2"}, b'{"detail": "Rate limited"}')
        assert isinstance(error, VoxtralRateLimitError)
        assert error.retry_after == 2.0
        ```
    """
    words = words_of(body)
    case = _case(status, words)
    if status == 500 and carried_audio and words.text.strip().lower() == _BAD_AUDIO_WORDS:  # noqa: PLR2004
        case = _BAD_AUDIO
    location = header(headers, "location") if case is _REDIRECT else None
    if location:
        words = Words(text=location, request_id=words.request_id)
    return _error(
        case,
        words,
        status=status,
        secrets=secrets,
        model=model,
        request_id=words.request_id or header(headers, "x-request-id"),
        retry_after=parse_retry_after(headers),
    )


def error_in(
    document: Mapping[str, Any], *, status: int = 200, secrets: Sequence[str] = ()
) -> VoxtralError | None:
    """Return the error that a document within an answer or a stream reports, or None.

    The document's own status, code or type picks the class by the same tables as `failure`,
    then its words. `status_code` stays the HTTP status, so judge by class or `is_retryable`.

    Args:
        document: One JSON object: a 200 body or a stream event.
        status: HTTP status of the answer.
        secrets: Texts that must not come back in the error, such as the API key.

    Example:
        ```python
        from langchain_voxtral.errors import VoxtralRateLimitError
        from langchain_voxtral.wire.failures import error_in

        busy = {"error": {"message": "Model busy, retry later", "code": "engine_overloaded"}}
        assert isinstance(error_in(busy), VoxtralRateLimitError)
        assert error_in({"token": {"text": "Hi"}}) is None
        ```
    """
    if not _reports_error(document):
        return None
    words = words_in(document)
    named = (_STATUS_OF_NAME[name] for name in words.names if name in _STATUS_OF_NAME)
    case = _case(words.status or next(named, status), words)
    return _error(case, words, status=status, secrets=secrets, request_id=words.request_id)


def _case(status: int, words: Words) -> _Case:
    heard = " ".join((words.text, *words.names))
    for sign in _SIGNS:
        if status in sign.statuses and sign.pattern.search(heard):
            return sign.case
    return _BY_STATUS.get(status) or _BY_HUNDREDS.get(status // 100, _UNEXPECTED)


def _error(
    case: _Case,
    words: Words,
    *,
    status: int,
    secrets: Sequence[str],
    request_id: str | None,
    model: str | None = None,
    retry_after: float | None = None,
) -> VoxtralError:
    advice = case.advice.format(model=f"the model {model!r}" if model else "the model")
    said = quoted(words.text, secrets)
    return case.kind(
        f'{advice} The server said: "{said}"' if said else f"{advice} The server gave no reason.",
        status_code=status,
        request_id=quoted(request_id, secrets) if request_id else None,
        retry_after=retry_after,
    )


def _reports_error(document: Mapping[str, Any]) -> bool:
    if any(document.get(key) for key in ("error", "error_type", "error_message", "detail")):
        return True
    status = document.get("inference_status")
    if isinstance(status, dict) and status.get("status") == "failed":
        return True
    # DeepInfra's newer validation errors, and vLLM's `{"object": "error", "message": …}`.
    return bool(document.get("message")) and ("param" in document or "code" in document)

"""Failures: status and body of an answer, or an error within one, into one error class."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.protocol.error_table import (
    BY_STATUS,
    BY_STATUS_CLASS,
    ERROR_PATTERNS,
    REDIRECT,
    STATUS_BY_ERROR_CODE,
    UNEXPECTED,
    ErrorCase,
)
from langchain_voxtral.protocol.headers import header, parse_retry_after
from langchain_voxtral.protocol.words import (
    ErrorDetails,
    details_from_bytes,
    details_from_json,
    sanitize,
)


def error_from_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secrets: Sequence[str] = (),
    model: str | None = None,
    has_audio: bool = False,
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
        has_audio: Whether the request carried audio. DeepInfra answers a recording that it
            cannot read with a 500 "inference error", which is then not worth a retry; without
            audio the same words are an ordinary error_from_response of the server.
    """
    words = details_from_bytes(body)
    case = _case(status, words, has_audio=has_audio)
    location = header(headers, "location") if case is REDIRECT else None
    if location:
        words = ErrorDetails(text=location, request_id=words.request_id)
    return _error(
        case,
        words,
        status=status,
        secrets=secrets,
        model=model,
        request_id=words.request_id or header(headers, "x-request-id"),
        retry_after=parse_retry_after(headers),
    )


def error_from_body(
    document: Mapping[str, Any], *, status: int = 200, secrets: Sequence[str] = ()
) -> VoxtralError | None:
    """Return the error that a document within an answer or a stream reports, or None.

    The document's own status, code or type picks the class by the same tables as
    `error_from_response`, then its words. `status_code` stays the HTTP status.

    Args:
        document: One JSON object: a 200 body or a stream event.
        status: HTTP status of the answer.
        secrets: Texts that must not come back in the error, such as the API key.
    """
    if not _reports_error(document):
        return None
    words = details_from_json(document)
    named = (STATUS_BY_ERROR_CODE[name] for name in words.names if name in STATUS_BY_ERROR_CODE)
    case = _case(words.status or next(named, status), words)
    return _error(case, words, status=status, secrets=secrets, request_id=words.request_id)


def _case(status: int, words: ErrorDetails, *, has_audio: bool = False) -> ErrorCase:
    heard = "\n".join((words.text, *words.names))
    for sign in ERROR_PATTERNS:
        fits = status in sign.statuses and (has_audio or not sign.about_audio)
        if fits and sign.pattern.search(heard):
            return sign.case
    return BY_STATUS.get(status) or BY_STATUS_CLASS.get(status // 100, UNEXPECTED)


def _error(
    case: ErrorCase,
    words: ErrorDetails,
    *,
    status: int,
    secrets: Sequence[str],
    request_id: str | None,
    model: str | None = None,
    retry_after: float | None = None,
) -> VoxtralError:
    advice = case.advice.format(model=f"the model {model!r}" if model else "the model")
    said = sanitize(words.text, secrets)
    return case.kind(
        f'{advice} The server said: "{said}"' if said else f"{advice} The server gave no reason.",
        status_code=status,
        request_id=sanitize(request_id, secrets) if request_id else None,
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

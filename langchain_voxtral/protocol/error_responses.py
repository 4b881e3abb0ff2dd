"""Error responses, or errors within a response: their body and headers into one error."""

import html
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic_core import from_json, to_json

from langchain_voxtral.errors import VoxtralContextOverflowError, VoxtralError
from langchain_voxtral.protocol.error_table import (
    BY_STATUS,
    BY_STATUS_CLASS,
    ERROR_PATTERNS,
    REDIRECT,
    STATUS_BY_ERROR_CODE,
    UNEXPECTED,
    ErrorCase,
)
from langchain_voxtral.protocol.not_found import find_not_found, origin_of
from langchain_voxtral.redaction import redact

_TEXT_KEYS = ("error_message", "message", "msg", "error", "detail")
"""Where DeepInfra, OpenAI-compatible servers, FastAPI and TGI put an error's text, best first."""

_CODE_KEYS = ("code", "error_code", "error_type", "type")
"""Where they name the kind of an error; `code` is the most precise (DeepInfra answers a busy
model with the type `invalid_request_error` and the code `engine_overloaded`)."""

_STATUS_KEYS = ("status", "status_code", "raw_status_code", "code")

_ANSWER_KEYS = frozenset({"results", "choices", "token", "text"})
"""Where answers have their text. Gateways put `"code": 0, "message": "success"` beside it."""

_NOT_FOUND_STATUS = 404
_QUOTE_LIMIT = 500
"""Characters of a server's text that a message quotes."""
_SEARCH_LIMIT = 2**16
"""Characters of a server's text that are looked at, for its message and for secrets in it."""

_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_INVISIBLE = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What an error body reports.

    Args:
        text: The server's message, as sent; pass it through `sanitize` before showing it.
        codes: Its names for the kind of error, in lower case, the most precise first.
        status: An HTTP status that the body itself names, 400 to 599.
        request_id: The server's id of the request.
    """

    text: str = ""
    codes: tuple[str, ...] = ()
    status: int | None = None
    request_id: str | None = None


def error_from_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secrets: Iterable[str] = (),
    model: str | None = None,
    has_audio: bool = False,
    url: str = "",
) -> VoxtralError:
    """Return the error that an HTTP response means.

    The class comes from the status, except where the server's message is more precise. The
    error's message says what to do, and quotes the first 500 characters of the server's own.

    Args:
        status: HTTP status.
        headers: HTTP headers.
        body: The whole body: JSON of any shape, HTML, text or nothing.
        secrets: Texts that must not show in the error, such as the API key.
        model: The model's id, for messages.
        has_audio: Whether the request carried audio. DeepInfra answers a recording that it
            cannot read with a 500 "inference error", which is then not worth a retry.
        url: The URL of the request, for what is wrong with it.
    """
    details = details_from_bytes(body)
    case = _find_case(status, details, has_audio=has_audio)
    answering = header(headers, "x-voxtral-model")  # the embedded engine has it
    if status == _NOT_FOUND_STATUS and case is BY_STATUS[status]:
        case = find_not_found(details.text, url, is_embedded=bool(answering)) or case
    location = header(headers, "location") if case is REDIRECT else None
    if location:
        details = ErrorDetails(text=location, request_id=details.request_id)
    return _make_error(
        case,
        details,
        status=status,
        secrets=secrets,
        model=model,
        answering=sanitize(answering, secrets) if answering else None,
        origin=origin_of(url),
        request_id=details.request_id or header(headers, "x-request-id"),
        retry_after=parse_retry_after(headers),
    )


def error_from_body(
    document: Mapping[str, Any], *, secrets: Iterable[str] = ()
) -> VoxtralError | None:
    """Return the error that a JSON object within a 200 response or a stream reports, or None.

    The object's own status or code picks the class, by the tables of `error_from_response`, then
    its message. `status_code` stays 200.
    """
    if not _reports_error(document):
        return None
    details = details_from_json(document)
    known = (STATUS_BY_ERROR_CODE[code] for code in details.codes if code in STATUS_BY_ERROR_CODE)
    case = _find_case(details.status or next(known, 200), details)
    return _make_error(case, details, status=200, secrets=secrets, request_id=details.request_id)


def details_from_bytes(body: bytes) -> ErrorDetails:
    """Return what a whole error body reports: JSON of any shape, HTML, plain text or nothing."""
    try:
        document = from_json(body)
    except ValueError:
        return ErrorDetails(text=_visible_text(body.decode("utf-8", errors="replace")))
    if isinstance(document, dict):
        return details_from_json(document)
    return ErrorDetails(text=_find_text(document))


def details_from_json(document: Mapping[str, Any]) -> ErrorDetails:
    """Return what an error document reports."""
    layers = list(_layers(document))
    codes = [layer.get(key) for key in _CODE_KEYS for layer in layers]
    statuses = [_as_error_status(layer.get(key)) for key in _STATUS_KEYS for layer in layers]
    ids = [layer.get("request_id") for layer in layers]
    return ErrorDetails(
        text=_find_text(document) or to_json(document).decode(),
        codes=tuple(code.lower() for code in codes if isinstance(code, str)),
        status=next(filter(None, statuses), None),
        request_id=next((value for value in ids if isinstance(value, str) and value), None),
    )


def sanitize(text: str, secrets: Iterable[str] = (), limit: int = _QUOTE_LIMIT) -> str:
    """Return a server's text for a message: one line, no secrets, at most `limit` characters."""
    # Secrets go first, so that no half of one is left at the cut.
    line = " ".join(redact(text[:_SEARCH_LIMIT], secrets).split())
    if not line.isprintable():
        printable = "".join(char if char.isprintable() else " " for char in line[: 2 * limit])
        line = " ".join(printable.split())
    is_whole = len(line) <= limit and len(text) <= _SEARCH_LIMIT
    return line if is_whole else line[: limit - 1] + "…"


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return the value of the header `name` (lower case), or None."""
    return next((value for key, value in headers.items() if key.lower() == name), None)


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return how many seconds the server asks to wait, or None if it does not.

    Reads `retry-after-ms` (OpenAI's), then `Retry-After` in seconds or as an HTTP date (RFC 9110,
    section 10.2.3), counted from `now`. What is negative, past or unreadable is left out.
    """
    milliseconds = _as_number(header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = header(headers, "retry-after")
    seconds = _as_number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
        # A date without a zone ("-0000") is in UTC, as every HTTP date is.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        wait = (date - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, OverflowError):
        return None
    return wait if wait >= 0 else None


def _find_case(status: int, details: ErrorDetails, *, has_audio: bool = False) -> ErrorCase:
    text = "\n".join((details.text, *details.codes))
    for pattern in ERROR_PATTERNS:
        applies = status in pattern.statuses and (has_audio or not pattern.needs_audio)
        if applies and pattern.regex.search(text):
            return pattern.case
    return BY_STATUS.get(status) or BY_STATUS_CLASS.get(status // 100, UNEXPECTED)


def _make_error(
    case: ErrorCase,
    details: ErrorDetails,
    *,
    status: int,
    secrets: Iterable[str],
    request_id: str | None,
    model: str | None = None,
    answering: str | None = None,
    origin: str = "",
    retry_after: float | None = None,
) -> VoxtralError:
    if answering and issubclass(case.error_class, VoxtralContextOverflowError):
        model = answering  # whose context it is
    advice = case.advice.format(
        model=f"the model {model!r}" if model else "the model", answering=answering, origin=origin
    )
    quote = sanitize(details.text, secrets)
    return case.error_class(
        f'{advice} The server said: "{quote}"' if quote else f"{advice} The server gave no reason.",
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
    if not document.keys().isdisjoint(_ANSWER_KEYS):
        return False
    # DeepInfra's newer validation errors, and vLLM's `{"object": "error", "message": …}`.
    return bool(document.get("message")) and ("param" in document or "code" in document)


def _layers(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield document
    for key in ("error", "detail"):
        inner = document.get(key)
        if isinstance(inner, dict):
            yield from _layers(inner)


def _find_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_find_text, value)))
    if isinstance(value, Mapping):
        texts = [next(filter(None, (_find_text(value.get(key)) for key in _TEXT_KEYS)), "")]
        texts.append(_upstream_text(value.get("metadata")))
        text = ": ".join(filter(None, texts))
        location = _location(value)
        return f"{location}: {text}" if location and text else text
    return ""


def _upstream_text(metadata: object) -> str:
    """Return what the provider behind OpenRouter said: JSON in a string, or any text."""
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if not isinstance(raw, str):
        return _find_text(raw)
    try:
        return _find_text(from_json(raw)) or raw
    except ValueError:
        return raw


def _location(problem: Mapping[str, Any]) -> str:
    """Return the field that a validation error is about (pydantic's `loc`, OpenAI's `param`)."""
    location = problem.get("loc") or problem.get("param") or ""
    if isinstance(location, list):
        location = ".".join(map(str, location))
    return location.removeprefix("body.") if isinstance(location, str) else ""


def _as_error_status(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        value = int(value[:4])
    return value if isinstance(value, int) and 400 <= value < 600 else None  # noqa: PLR2004


def _as_number(value: str | None) -> float | None:
    """Return a finite number that is not negative, written as HTTP writes them."""
    if value is None or not re.fullmatch(r"\s*\d+(?:\.\d*)?\s*", value, re.ASCII):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _visible_text(text: str) -> str:
    """Return the title of an HTML page, else its visible text; other text as it is."""
    if not text.lstrip().startswith("<"):
        return text
    if len(text) > _SEARCH_LIMIT:
        # At a space, so that a secret is whole or gone; what is shown is found long before.
        text = text[:_SEARCH_LIMIT].rpartition(" ")[0]
    title = _TITLE.search(text)
    if title and title[1].strip():
        return html.unescape(title[1])
    return html.unescape(_INVISIBLE.sub(" ", text))

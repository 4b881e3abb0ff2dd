"""The server's own words: found in any shape of error body, made safe to quote."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from langchain_voxtral.errors import redact

_QUOTE_LIMIT = 500
"""Characters of a server's text that a message quotes."""

_TEXT_KEYS = ("error_message", "message", "msg", "error", "detail")
"""Where DeepInfra, OpenAI-compatible servers, FastAPI and TGI put their words, best first."""

_NAME_KEYS = ("code", "error_code", "error_type", "type")
"""Where they name the kind of an error; `code` is the most precise (DeepInfra answers a busy
model with the type `invalid_request_error` and the code `engine_overloaded`)."""

_STATUS_KEYS = ("status", "status_code", "code")

_SEARCH_LIMIT = 2**16
"""Characters of a server's text that are looked at, for its words and for secrets in them."""

_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What an error body says.

    Args:
        text: The server's words, as sent; pass them through `sanitize` before showing them.
        names: Its names for the kind of error, lower case, the most precise first.
        status: An HTTP status that the body itself names, 400 to 599.
        request_id: The server's id of the request.
    """

    text: str = ""
    names: tuple[str, ...] = ()
    status: int | None = None
    request_id: str | None = None


def details_from_bytes(body: bytes) -> ErrorDetails:
    """Return what a whole error body says: JSON of any shape, HTML, plain text or nothing."""
    try:
        document = from_json(body)
    except ValueError:
        return ErrorDetails(text=_plain(body.decode("utf-8", errors="replace")))
    return (
        details_from_json(document)
        if isinstance(document, dict)
        else ErrorDetails(text=_text(document))
    )


def details_from_json(document: Mapping[str, Any]) -> ErrorDetails:
    """Return what an error document says."""
    layers = list(_layers(document))
    names = [layer.get(key) for key in _NAME_KEYS for layer in layers]
    statuses = [_status(layer.get(key)) for key in _STATUS_KEYS for layer in layers]
    ids = [layer.get("request_id") for layer in layers]
    return ErrorDetails(
        text=_text(document) or to_json(document).decode(),
        names=tuple(name.lower() for name in names if isinstance(name, str)),
        status=next((status for status in statuses if status is not None), None),
        request_id=next((found for found in ids if isinstance(found, str) and found), None),
    )


def sanitize(text: str, secrets: Sequence[str] = (), limit: int = _QUOTE_LIMIT) -> str:
    r"""Return a server's text fit for a message: one line, no secrets, at most `limit` characters.

    Secrets go first, so that none is half kept at the cut; a cut is shown by an ellipsis.
    """
    safe = " ".join(redact(text[:_SEARCH_LIMIT], secrets).split())
    shown = "".join(char if char.isprintable() else " " for char in safe[: 2 * limit])
    line = " ".join(shown.split())
    whole = len(line) <= limit and len(text) <= _SEARCH_LIMIT
    return line if whole else line[: limit - 1] + "…"


def _layers(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield document
    for key in ("error", "detail"):
        inner = document.get(key)
        if isinstance(inner, dict):
            yield from _layers(inner)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_text, value)))
    if isinstance(value, Mapping):
        text = next(filter(None, (_text(value.get(key)) for key in _TEXT_KEYS)), "")
        place = _place(value)
        return f"{place}: {text}" if place and text else text
    return ""


def _place(problem: Mapping[str, Any]) -> str:
    """Return the field that a validation error is about (pydantic's `loc`, OpenAI's `param`)."""
    place = problem.get("loc") or problem.get("param") or ""
    if isinstance(place, list):
        place = ".".join(map(str, place))
    return place.removeprefix("body.") if isinstance(place, str) else ""


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        value = int(value[:4])
    return value if isinstance(value, int) and 400 <= value < 600 else None  # noqa: PLR2004


def _plain(text: str) -> str:
    """Return the title of an HTML page, else its visible text; other text as it is."""
    if not text.lstrip().startswith("<"):
        return text
    if len(text) > _SEARCH_LIMIT:
        # At a space, so that a secret is whole or gone; what is shown is found long before.
        text = text[:_SEARCH_LIMIT].rpartition(" ")[0]
    title = _TITLE.search(text)
    if title and title[1].strip():
        return html.unescape(title[1])
    return html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", text)))

"""Fields of a server's JSON, in a form that can be used or None: servers leave out and vary."""

import sys
from collections.abc import Sequence

from pydantic_core import from_json

from langchain_voxtral.errors import VoxtralResponseError
from langchain_voxtral.protocol.sse import JsonObject
from langchain_voxtral.protocol.words import details_from_bytes, sanitize

_MOST = sys.float_info.max  # a longer integer is a number too, and no float


def parse_json_object(data: bytes, *, request_id: str | None, secrets: Sequence[str]) -> JsonObject:
    """Return the JSON object that a whole answer is.

    Args:
        data: Body of a 200 answer.
        request_id: The server's id of the request, for the error.
        secrets: Texts that must not come back in the error, such as the API key.

    Raises:
        VoxtralResponseError: The body is something else; the message quotes it.
    """
    try:
        document: object = from_json(data)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    said = sanitize(details_from_bytes(data).text, secrets) or "nothing"
    raise VoxtralResponseError(
        f"The server's answer is not a JSON object but: {said}. Check base_url=.",
        status_code=200,
        request_id=request_id,
    )


def non_empty(value: object) -> str | None:
    """Return a value if it is a string and not empty."""
    return value if isinstance(value, str) and value else None


def safe_text(value: object, secrets: Sequence[str]) -> str | None:
    """Return a text that shows in messages and metadata, such as an id, without secrets."""
    told = non_empty(value)
    return sanitize(told, secrets) if told else None


def as_int(*values: object) -> int | None:
    """Return the first value that is a count, as an int; servers also write 25.0."""
    return next((round(value) for value in map(as_float, values) if value is not None), None)


def as_float(value: object) -> float | None:
    """Return a value if it is a finite number and not negative."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return float(value)
    return None

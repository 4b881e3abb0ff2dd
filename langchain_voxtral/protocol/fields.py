"""Fields of a server's JSON, in a form that can be used or None: servers leave out and vary."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from pydantic_core import from_json

from langchain_voxtral.errors import VoxtralResponseError
from langchain_voxtral.protocol.error_responses import details_from_bytes, sanitize

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object, as decoded."""

MAX_NUMBER = 2.0**53
"""Beyond it floats miss whole numbers: no server counts or charges that far, and tracers write
integers of 64 bits."""


class UnexpectedShapeError(Exception):
    """Part of a response is of no known form; the text says which. It never leaves `protocol`."""


def parse_json_object(data: bytes, *, request_id: str | None, secrets: Iterable[str]) -> JsonObject:
    """Return the JSON object that a whole response is.

    Raises:
        VoxtralResponseError: The body is something else; the message quotes it.
    """
    try:
        document: object = from_json(data)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    quote = sanitize(details_from_bytes(data).text, secrets) or "nothing"
    raise VoxtralResponseError(
        f"The server's answer is not a JSON object but: {quote}. Check base_url=.",
        status_code=200,
        request_id=request_id,
    )


def as_object(value: object) -> JsonObject:
    """Return a value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def non_empty(value: object) -> str | None:
    """Return a value if it is a string and not empty."""
    return value if isinstance(value, str) and value else None


def safe_text(value: object, secrets: Iterable[str]) -> str | None:
    """Return a text that shows in messages and metadata, such as an id, without secrets."""
    text = non_empty(value)
    return sanitize(text, secrets) if text else None


def as_int(*values: object) -> int | None:
    """Return the first value that is a count, as an int; servers also write 25.0."""
    number = as_float(*values)
    return None if number is None else round(number)


def as_float(*values: object) -> float | None:
    """Return the first value that is a number from 0 on, of a size that can be meant."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if 0 <= value <= MAX_NUMBER:  # not NaN, which compares to nothing
            return float(value)
    return None


def as_logprob(value: object) -> float | None:
    """Return a value if it is a logarithm of a probability: a number, and finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -MAX_NUMBER <= value <= MAX_NUMBER else None


def may_hold_text(value: object) -> bool:
    """Return whether a value of an unexpected type may have text in it, which would be lost."""
    return isinstance(value, str | list | dict) and bool(value)

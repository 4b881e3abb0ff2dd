"""Request bodies: JSON values into bytes, and an error for what JSON does not have."""

import math
from collections.abc import Mapping

from pydantic_core import PydanticSerializationError, to_json

from langchain_voxtral.errors import VoxtralInvalidRequestError


def encode_request(body: Mapping[str, object]) -> bytes:
    """Return a request body as compact JSON in UTF-8.

    Args:
        body: JSON values by field name.

    Raises:
        VoxtralInvalidRequestError: A value that JSON does not have (a set, NaN, a key that is no
            string) or text that UTF-8 cannot encode; the message names the field.
    """
    try:
        _check(body, "")
        # Only mappings other than dict get to the fallback: the check has refused all else.
        return to_json(body, fallback=dict)
    except (RecursionError, PydanticSerializationError):
        pass
    raise _invalid("the body", "is nested too deep, or contains itself")


def _check(value: object, where: str) -> None:
    """Reject what JSON does not have: pydantic_core would write sets, NaN and dates its own way."""
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _invalid(where, f"is {value}, which JSON does not have")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise _invalid(where or "the body", f"has the key {key!r}, which is no string")
            _check_text(key, where or "the body")
            _check(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check(inner, f"{where}[{index}]")
    elif value is not None and not isinstance(value, int):
        raise _invalid(where, f"is of type {type(value).__name__}, which JSON does not have")


def _check_text(text: str, where: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        place = error.start
    else:
        return
    raise _invalid(where, f"has a lone surrogate at character {place}, which UTF-8 cannot encode")


def _invalid(where: str, problem: str) -> VoxtralInvalidRequestError:
    return VoxtralInvalidRequestError(f"The request cannot be written as JSON: {where} {problem}.")

"""Ids of tool calls in the form that Mistral's templates accept."""

import re
import secrets
from hashlib import sha256
from string import ascii_letters, digits

_LENGTH = 9
_ALPHABET = digits + ascii_letters
_VALID = re.compile(rf"[A-Za-z0-9]{{{_LENGTH}}}")


def to_mistral_call_id(call_id: str) -> str:
    """Return the id of a tool call as nine letters and digits.

    Mistral's tokenizers refuse any other form (`mistral-common`, validation of tool calls),
    while ids of other providers look like `call_Ab12...` or `toolu_...`. A valid id stays as
    it is; of any other the first nine base 62 digits of its SHA-256 are taken, so that a call
    and its result keep matching, in this process and in the next.
    """
    if _VALID.fullmatch(call_id):
        return call_id
    # Lone surrogates are legal in a Python string, and an id is only compared, never shown.
    number = int.from_bytes(sha256(call_id.encode("utf-8", "surrogatepass")).digest())
    base = len(_ALPHABET)
    while number >= base**_LENGTH:
        number //= base
    return "".join(_ALPHABET[number // base**place % base] for place in reversed(range(_LENGTH)))


def new_call_id() -> str:
    """Return a random id for a call that has none: nine letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))

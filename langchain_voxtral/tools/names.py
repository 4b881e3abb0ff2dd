"""Names of tools and schemas: which of them servers accept, and how others are made fit."""

import re
from unicodedata import combining, normalize

DEFAULT_NAME = "response"
"""The name of a schema that has none."""

_MAX_SIZE = 64
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{_MAX_SIZE}}}")
"""OpenAI's API reference, `tools[].function.name`; DeepInfra speaks that protocol."""
_GENERIC_CLASS = re.compile(r"\w+\[.+\]", re.DOTALL)


def is_name(text: str) -> bool:
    """Return whether servers accept a text as the name of a function."""
    return _NAME.fullmatch(text) is not None


def is_generic_class(text: str) -> bool:
    """Return whether a text is the name of a generic class, as `Page[int]`, which none chose."""
    return _GENERIC_CLASS.fullmatch(text) is not None


def fit_name(text: str) -> str:
    """Return a text as a name that servers accept."""
    if is_name(text):
        return text
    plain = "".join(sign for sign in normalize("NFKD", text) if not combining(sign))
    return re.sub(r"[^A-Za-z0-9-]+", "_", plain)[:_MAX_SIZE].strip("_") or DEFAULT_NAME

"""The model's vocabulary: text to token ids, without a server.

`mistral-common` ships the vocabulary as a file, and comes with `tiktoken`, which it encodes text
with. Both are used here without importing `mistral-common` itself, which takes more than half a
second.
"""

import json
import os
import re
import threading
from binascii import a2b_base64
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralMissingExtraError

if TYPE_CHECKING:
    from tiktoken import Encoding

SPECIAL_TOKENS = 1000
"""The ids of special tokens come first, so that those of text begin here."""

_FILE = ("data", "tekken_240911.json")
_MAX_SPACES = 900_000
"""tiktoken's regular expressions fail on about a million white space characters in a row."""
_TOO_MANY_SPACES = re.compile(rf"\s{{{_MAX_SPACES}}}")
_MAX_COUNTS = 4_096
"""Texts whose counts are kept, at some 100 bytes each."""

_loading = threading.Lock()
_counts: dict[bytes, int] = {}


def is_installed() -> bool:
    """Return whether the `tokens` extra is installed."""
    is_loaded = _load.cache_info().currsize > 0  # finding packages takes longer than a short count
    return is_loaded or bool(_find_file() and find_spec("tiktoken"))


def encode(text: str) -> list[int]:
    """Return the token ids of a text; special tokens in it are text like any other.

    Raises:
        VoxtralMissingExtraError: The `tokens` extra is not installed.
        VoxtralInvalidRequestError: There are 900,000 white space characters in a row.
    """
    return [SPECIAL_TOKENS + token for token in _encode(text)]


def count(text: str) -> int:
    """Return how many token ids a text has; latest counts are kept.

    Raises:
        VoxtralMissingExtraError: As `encode` does.
        VoxtralInvalidRequestError: As `encode` does.
    """
    # By hashes: texts of any length would be kept with their counts.
    key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    number = _counts.get(key)
    if number is None:
        number = len(_encode(text))
        if len(_counts) >= _MAX_COUNTS:
            _counts.clear()
        _counts[key] = number
    return number


def cannot_encode(text: str) -> bool:
    """Return whether a text has more white space in a row than can be encoded."""
    return len(text) >= _MAX_SPACES and _TOO_MANY_SPACES.search(text) is not None


def _encode(text: str) -> list[int]:
    if cannot_encode(text):
        raise VoxtralInvalidRequestError(
            f"The tokens of a text with {_MAX_SPACES:,} white space characters in a row cannot be "
            "counted: shorten the white space."
        )
    return _encoding().encode_ordinary(text)


def _encoding() -> "Encoding":
    """Return the vocabulary, loaded once in a process."""
    with _loading:
        return _load()


def _find_file() -> Path | None:
    """Return where the vocabulary is, if it is installed."""
    spec = find_spec("mistral_common")
    folders = (spec and spec.submodule_search_locations) or ()
    files = (Path(folder, *_FILE) for folder in folders)
    return next((file for file in files if file.is_file()), None)


@cache
def _load() -> "Encoding":
    file = _find_file()
    if file is None:
        raise VoxtralMissingExtraError(f"{_FILE[-1]} of mistral-common", extra="tokens")
    try:
        from tiktoken import Encoding  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise VoxtralMissingExtraError("tiktoken", extra="tokens") from error
    model = json.loads(file.read_bytes())
    config = model["config"]
    size = config["default_vocab_size"] - SPECIAL_TOKENS  # the file has more than the model
    tokens = model["vocab"][:size]
    ranks = {a2b_base64(token["token_bytes"]): token["rank"] for token in tokens}
    return Encoding(file.stem, pat_str=config["pattern"], mergeable_ranks=ranks, special_tokens={})


def _forget_lock() -> None:
    """Give a forked child a lock that no thread of its parent holds."""
    global _loading  # noqa: PLW0603 - a fact about this process
    _loading = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)

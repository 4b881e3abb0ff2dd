"""What keeps keys out of errors, logs and displays of local variables."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase
from traceback import clear_frames
from typing import Any

_REDACTED = "[redacted]"
_MIN_SECRET_LENGTH = 8
"""Characters from which on a text can be a secret. "none" and "EMPTY", the keys of servers that
need none, are words of messages, ids and model names too, and guard nothing."""
_PIECE = 12
"""Characters in a row by which a part of a secret is recognized; a shorter secret is redacted only
as a whole."""

_LETTER = re.compile(r"\\+u00([0-9a-f]{2})|%([0-9a-f]{2})|\\*(.)", re.IGNORECASE | re.DOTALL)
"""A character in JSON (`\\/`, `\\u002f`), which may be quoted in JSON again, in a URL (`%2F`) or
as it is."""
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # str.lower() may change the length


@dataclass(frozen=True, slots=True)
class Secrets:
    """Texts that must not show: neither in errors, nor in a traceback with local variables.

    No container, because what displays variables looks into those.
    """

    values: tuple[str, ...] = field(default=(), repr=False)

    def __iter__(self) -> Iterator[str]:
        return (value for value in self.values if len(value) >= _MIN_SECRET_LENGTH)

    def __reduce__(self) -> tuple[Any, ...]:
        return Secrets, ()


def forget_locals(error: BaseException, earlier: BaseException | None) -> None:
    """Clear the local variables of all calls that an error has ended.

    httpx's hold request headers, ours what a server sent, which may echo the key; programs that
    display tracebacks with local variables would show them.

    Args:
        error: The error, with its causes.
        earlier: An error that was handled before, whose calls are the caller's own.
    """
    seen = {None, earlier}
    found: list[BaseException | None] = [error]
    while found:
        each = found.pop()
        if each is None or each in seen:
            continue
        seen.add(each)
        clear_frames(each.__traceback__)
        found += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            found += each.exceptions


def redact(text: str, secrets: Iterable[str | None]) -> str:
    """Return `text` with every secret in it replaced by `[redacted]`.

    Servers echo keys in error bodies; nothing they send reaches a message unredacted. Of a
    long secret every piece of 12 characters is replaced, in either case, and also where JSON
    or a URL escapes it: servers cut, wrap and quote what they echo.

    Example:
        ```python
        from langchain_voxtral.errors import redact

        assert redact("?key=Ab%2Fcdefghijklm", ["Ab/cdefghijklm"]) == "?key=[redacted]"
        ```
    """
    # The longest first: one may be the beginning of another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _REDACTED)
        if len(secret) >= _PIECE:
            text = _without_pieces(text, secret.translate(_LOWER))
    return text


def _without_pieces(text: str, secret: str) -> str:
    is_escaped = "\\" in text or "%" in text
    if not is_escaped and not _find_pieces(text.translate(_LOWER), secret):
        return text
    letters = list(_LETTER.finditer(text))
    plain = "".join(
        chr(int(letter[1] or letter[2], 16)) if letter[3] is None else letter[3]
        for letter in letters
    ).translate(_LOWER)
    kept: list[str] = []
    end = 0
    for at in _find_pieces(plain, secret):
        start = letters[at].start()
        if start >= end:
            kept += (text[end:start], _REDACTED)
        end = letters[at + _PIECE - 1].end()
    return "".join((*kept, text[end:]))


def _find_pieces(plain: str, secret: str) -> list[int]:
    """Return where pieces of a secret begin."""
    return [at for at in range(len(plain) - _PIECE + 1) if plain[at : at + _PIECE] in secret]

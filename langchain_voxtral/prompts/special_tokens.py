"""The special tokens of the known vocabularies, and where they stand in a text.

A client that sends a raw prompt does not know which tokenizer reads it, so the tokens of all
of them count: the Llama 3 and ChatML family (any `<|word|>`) and those of Mistral's Tekken.
"""

import re
from collections.abc import Iterator

_TEKKEN_ANGLE = ("s>", "/s>", "unk>", "pad>")
_TEKKEN_SQUARE = (
    "INST]",
    "/INST]",
    "AVAILABLE_TOOLS]",
    "/AVAILABLE_TOOLS]",
    "TOOL_RESULTS]",
    "/TOOL_RESULTS]",
    "TOOL_CALLS]",
    "TOOL_CONTENT]",
    "ARGS]",
    "CALL_ID]",
    "SYSTEM_PROMPT]",
    "/SYSTEM_PROMPT]",
    "MODEL_SETTINGS]",
    "/MODEL_SETTINGS]",
    "THINK]",
    "/THINK]",
    "PREFIX]",
    "MIDDLE]",
    "SUFFIX]",
    "IMG]",
    "IMG_BREAK]",
    "IMG_END]",
    "AUDIO]",
    "BEGIN_AUDIO]",
    "TRANSCRIBE]",
    "STREAMING_PAD]",
    "STREAMING_WORD]",
    "NEXT_AUDIO_TEXT]",
    "REPEAT_AUDIO_TEXT]",
)
# Bounded, so that a streamed text is never held back for long; the longest name that a
# published Llama 3 vocabulary has is 27 characters.
_WORD = r"[\w./:-]"
_MAX_WORD = 40
_MAX_DIGITS = 4

_ANGLE = "|".join(
    (
        *map(re.escape, _TEKKEN_ANGLE),
        rf"SPECIAL_[0-9]{{1,{_MAX_DIGITS}}}>",
        rf"\|{_WORD}{{1,{_MAX_WORD}}}\|>",
    )
)
_SQUARE = "|".join(map(re.escape, _TEKKEN_SQUARE))

TOKEN_REMAINDERS: dict[str, str] = {"<": f"(?:{_ANGLE})", "[": f"(?:{_SQUARE})"}
"""For each character that a special token can begin with, a pattern of what follows it."""

# One pattern for each first character: a search for a literal prefix runs at memory speed.
SPECIAL_TOKENS = {
    first: re.compile(re.escape(first) + rest) for first, rest in TOKEN_REMAINDERS.items()
}


def _prefixes(remainders: tuple[str, ...]) -> str:
    return "|".join(re.escape(rest[:length]) for rest in remainders for length in range(len(rest)))


_UNFINISHED = {
    "<": re.compile(
        "|".join(
            (
                _prefixes((*_TEKKEN_ANGLE, "SPECIAL_")),
                rf"SPECIAL_[0-9]{{0,{_MAX_DIGITS}}}",
                rf"\|(?:{_WORD}{{1,{_MAX_WORD}}}\|?)?",
            )
        )
    ),
    "[": re.compile(_prefixes(_TEKKEN_SQUARE)),
}


def find_special_token(text: str) -> re.Match[str] | None:
    """Return the first special token in `text`, or None."""
    found = [match for token in SPECIAL_TOKENS.values() if (match := token.search(text))]
    return min(found, key=re.Match.start, default=None)


def may_become_special_token(first: str, rest: str) -> bool:
    """Return whether `first` + `rest` is no special token yet, but more text could make one."""
    return first in _UNFINISHED and _UNFINISHED[first].fullmatch(rest) is not None


def split_special_tokens(text: str) -> list[int | str]:
    """Return a text with a number in the place of each special token."""
    parts: list[int | str] = [text]
    for token in SPECIAL_TOKENS.values():
        parts = [
            piece
            for part in parts
            for piece in (_split(token, part) if isinstance(part, str) else [part])
        ]
    return parts


def _split(token: re.Pattern[str], text: str) -> Iterator[int | str]:
    for at, piece in enumerate(token.split(text)):
        if at:
            yield 0
        yield piece

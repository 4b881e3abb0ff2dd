"""The control markers of the known prompt formats, and where they stand in a text.

Which tokenizer a server has is not known to a client that sends a raw prompt, so the markers
of all of them count: the Llama 3 and ChatML family (any `<|word|>`) and the control tokens of
Mistral's Tekken vocabulary.
"""

import re
from functools import partial

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
_LONGEST_WORD = 40
_LONGEST_NUMBER = 4

_ANGLE = "|".join(
    (
        *map(re.escape, _TEKKEN_ANGLE),
        rf"SPECIAL_[0-9]{{1,{_LONGEST_NUMBER}}}>",
        rf"\|{_WORD}{{1,{_LONGEST_WORD}}}\|>",
    )
)
_SQUARE = "|".join(map(re.escape, _TEKKEN_SQUARE))

TOKEN_REMAINDERS: dict[str, str] = {"<": f"(?:{_ANGLE})", "[": f"(?:{_SQUARE})"}
"""For each character that a marker can begin with, a pattern of what follows it."""

# One pattern for each first character: a search for a literal prefix runs at memory speed.
_MARKERS = {first: re.compile(re.escape(first) + rest) for first, rest in TOKEN_REMAINDERS.items()}


def _beginnings(rests: tuple[str, ...]) -> str:
    return "|".join(re.escape(rest[:length]) for rest in rests for length in range(len(rest)))


_BEGUN = {
    "<": re.compile(
        "|".join(
            (
                _beginnings((*_TEKKEN_ANGLE, "SPECIAL_")),
                rf"SPECIAL_[0-9]{{0,{_LONGEST_NUMBER}}}",
                rf"\|(?:{_WORD}{{1,{_LONGEST_WORD}}}\|?)?",
            )
        )
    ),
    "[": re.compile(_beginnings(_TEKKEN_SQUARE)),
}


def find_special_token(text: str) -> re.Match[str] | None:
    """Return the first control marker in `text`, or None.

    Example:
        ```python
        from langchain_voxtral.prompts.special_tokens import find_special_token

        assert find_special_token("a </s> b").group() == "</s>"
        assert find_special_token("a[0] < b") is None
        ```
    """
    found = [match for marker in _MARKERS.values() if (match := marker.search(text))]
    return min(found, key=re.Match.start, default=None)


def break_special_tokens(text: str, firsts: dict[str, str]) -> str:
    """Return `text` with the first character of every control marker replaced.

    Args:
        text: Any text.
        firsts: What to write in place of a marker's `<` and of its `[`.
    """
    for first, written in firsts.items():
        if first in text:
            text = _MARKERS[first].sub(partial(_with_first, written), text)
    return text


def _with_first(first: str, marker: re.Match[str]) -> str:
    return first + marker.group()[1:]


def may_become_special_token(first: str, rest: str) -> bool:
    """Return whether more text could make a control marker of `first` + `rest`.

    Args:
        first: The character a marker would begin with.
        rest: What follows it so far; a complete marker does not count.
    """
    return first in _BEGUN and _BEGUN[first].fullmatch(rest) is not None

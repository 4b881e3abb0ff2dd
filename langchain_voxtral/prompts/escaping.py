"""Special tokens in content: broken, so that they are read as text, and restored in the answer.

A token is broken by U+2060 (WORD JOINER) after its first character. It shows as nothing, is
one token in Tekken, and keeps every known tokenizer from seeing the special token. A model that
repeats such text repeats the joiner too; `StreamUnescaper` takes it out of the answer.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from langchain_voxtral.prompts.special_tokens import (
    SPECIAL_TOKENS,
    TOKEN_REMAINDERS,
    may_become_special_token,
)
from langchain_voxtral.prompts.stop_sequences import StopSequenceFilter
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

WORD_JOINER = "\u2060"
_BROKEN = {first: first + WORD_JOINER for first in TOKEN_REMAINDERS}
# In JSON a special token can only stand inside a string: none of them is valid outside of one.
_BROKEN_IN_JSON = {"<": r"\u003c", "[": r"\u005b"}
_JOINERS = re.compile(
    "|".join(
        f"(?<={re.escape(first)}){WORD_JOINER}(?={rest})"
        for first, rest in TOKEN_REMAINDERS.items()
    )
)


def escape(text: str) -> str:
    r"""Return `text` with every special token broken; to do it twice is to do it once.

    Args:
        text: The whole text of a turn: a token may be put together from several blocks.

    Example:
        ```python
        from langchain_voxtral.prompts import escape

        assert escape("a[0] < b") == "a[0] < b"
        assert escape("</s>[INST]") == "<\u2060/s>[\u2060INST]"
        ```
    """
    return _break_special_tokens(text, _BROKEN)


def escape_json(json_text: str) -> str:
    r"""Return JSON of the same value with `\u003c` and `\u005b` where a special token begins."""
    return _break_special_tokens(json_text, _BROKEN_IN_JSON)


def escape_tool_result(text: str) -> str:
    """Return a tool's result with special tokens broken; one that is JSON keeps its value."""
    broken = escape(text)
    return escape_json(text) if broken != text and _is_json(text) else broken


def _break_special_tokens(text: str, replacements: dict[str, str]) -> str:
    """Return `text` with the first character of every special token replaced."""
    for first, written in replacements.items():
        if first in text:
            text = SPECIAL_TOKENS[first].sub(partial(_replace_first, written), text)
    return text


def _replace_first(first: str, token: re.Match[str]) -> str:
    return first + token.group()[1:]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def unescape(text: str) -> str:
    r"""Return a whole answer with its special tokens as they were; any other U+2060 stays.

    Example:
        ```python
        from langchain_voxtral.prompts import unescape

        assert unescape("<\u2060/s> \u2060") == "</s> \u2060"
        ```
    """
    return _JOINERS.sub("", text) if WORD_JOINER in text else text


class StreamUnescaper:
    """Does to a streamed answer what `unescape` does to a whole one, however it is split.

    Text is held back only from a U+2060 after `<` or `[` on, while what follows may still
    become a special token: 43 characters at most. Tool calls are read out of the text before:
    a token that the model repeats as its prompt broke it must not become a call.

    Args:
        stops: Stop sequences at which the answer ends once its escaping is undone.

    Attributes:
        special_characters: Those that it looks for.
        stopped: Whether it has ended at one.
    """

    __slots__ = (
        "_call_index",
        "_held",
        "_previous",
        "_stop_filter",
        "special_characters",
        "stopped",
    )

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self.stopped = False
        self._stop_filter = StopSequenceFilter(stops) if stops else None
        self.special_characters = WORD_JOINER + "".join(TOKEN_REMAINDERS)
        if self._stop_filter is not None:
            self.special_characters += self._stop_filter.special_characters
        self._held = ""
        self._previous = ""  # the last character before what is held
        self._call_index: int | None = None  # whose arguments came last; None: text

    @property
    def is_plain(self) -> bool:
        """Whether text without a special character would come out unchanged."""
        is_idle = not self._held and self._previous not in TOKEN_REMAINDERS
        return is_idle and (self._stop_filter is None or self._stop_filter.is_plain)

    def feed(self, text: str) -> str:
        """Return what is complete of the text so far."""
        if WORD_JOINER in text or self._held:
            text = self._unescape(text)
        else:
            self._previous = text[-1:] or self._previous
        if self._stop_filter is not None:
            text = self._stop_filter.feed(text)
            self.stopped = self._stop_filter.stopped
        return text

    def _unescape(self, text: str) -> str:
        text = self._previous + self._held + text
        # Only the last joiner can be undecided: no token reaches across another joiner.
        at = text.rfind(WORD_JOINER)
        if not may_become_special_token(text[at - 1 : at], text[at + 1 :]):
            at = len(text)
        complete = unescape(text[:at])[len(self._previous) :]
        self._held = text[at:]
        self._previous = text[at - 1 : at]
        return complete

    def feed_parts(self, parts: Iterable[str | ToolCallChunk]) -> list[str | ToolCallChunk]:
        """Return what is complete of the text and of each call's arguments, apart from another."""
        complete: list[str | ToolCallChunk] = []
        for part in parts:
            index = part.index if isinstance(part, ToolCallChunk) else None
            if index != self._call_index:
                complete += self.finish()
                self._call_index = index
            if self.stopped:
                break
            if isinstance(part, ToolCallChunk):
                complete.append(replace(part, arguments=self.feed(part.arguments)))
            elif text := self.feed(part):
                complete.append(text)
        return complete

    def finish(self) -> list[str | ToolCallChunk]:
        """Return what was held back: the text ended, so it is no special token."""
        held, self._held, self._previous = self._held, "", ""
        if self._stop_filter is not None:
            held = self._stop_filter.feed(held) + self._stop_filter.finish()
            self.stopped = self._stop_filter.stopped
        if not held or self._call_index is None:
            return [held] if held else []
        return [ToolCallChunk(self._call_index, arguments=held)]

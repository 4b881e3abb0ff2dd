"""Text that cannot forge a turn: control markers in content are broken, and mended again.

A marker is broken by U+2060 (WORD JOINER) after its first character. It shows as nothing, is
one token in Tekken, and keeps every known tokenizer from seeing the marker. A model that
repeats such text repeats the breaker too; `Restorer` takes it out of the answer.
"""

import json
import re
from collections.abc import Iterable, Iterator

from langchain_voxtral.prompts.special_tokens import (
    TOKEN_REMAINDERS,
    break_special_tokens,
    may_become_special_token,
)
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

WORD_JOINER = "\u2060"
# In JSON a special token can only stand inside a string: none of them is valid outside of one.
_JSON_ESCAPES = {"<": r"\u003c", "[": r"\u005b"}
_BROKEN_FIRSTS = {first: first + WORD_JOINER for first in TOKEN_REMAINDERS}
_JOINERS = re.compile(
    "|".join(
        f"(?<={re.escape(first)}){WORD_JOINER}(?={rest})"
        for first, rest in TOKEN_REMAINDERS.items()
    )
)


def escape(text: str) -> str:
    r"""Return `text` with every control marker of every known format broken.

    To do it twice is to do it once; `unescape` undoes it.

    Args:
        text: The whole text of a turn: a marker may be put together from several blocks.

    Example:
        ```python
        from langchain_voxtral.prompts import escape

        assert escape("a[0] < b") == "a[0] < b"
        assert escape("</s>[INST]") == "<\u2060/s>[\u2060INST]"
        ```
    """
    return break_special_tokens(text, _BROKEN_FIRSTS)


def escape_tool_result(text: str) -> str:
    """Return the result of a tool with its control markers broken.

    A result that is JSON stays JSON and parses to the same value; any other is treated as
    `escape` treats text.

    Args:
        text: What the tool returned.
    """
    broken = escape(text)
    return escape_json(text) if broken != text and is_json(text) else broken


def escape_json(json_text: str) -> str:
    r"""Return JSON of the same value with `\u003c` and `\u005b` where a special token begins."""
    return break_special_tokens(json_text, _JSON_ESCAPES)


def is_json(text: str) -> bool:
    """Return whether `text` is a JSON value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def unescape(text: str) -> str:
    r"""Return a whole answer with the breaker removed from every broken marker.

    A U+2060 anywhere else is the model's own and stays.

    Args:
        text: The answer.

    Example:
        ```python
        from langchain_voxtral.prompts import unescape

        assert unescape("<\u2060/s> \u2060") == "</s> \u2060"
        ```
    """
    return _JOINERS.sub("", text) if WORD_JOINER in text else text


class Restorer:
    r"""Does to a streamed answer what `unescape` does to a whole one, however it is split.

    Text is held back only from a U+2060 after `<` or `[` on, and only as long as what follows
    may still become a marker: 43 characters at most.

    Example:
        ```python
        from langchain_voxtral.prompts import Restorer

        restorer = Restorer()
        pieces = ["a <", "\u2060/", "s> b"]
        assert [restorer.feed(piece) for piece in pieces] == ["a <", "", "/s> b"]
        assert restorer.close() == ""
        ```
    """

    __slots__ = ("_held", "_last")

    def __init__(self) -> None:
        self._held = ""
        self._last = ""  # the last character before what is held: a breaker's place is after it

    def feed(self, text: str) -> str:
        """Return what of the text so far can be shown now."""
        if WORD_JOINER not in text and not self._held:
            self._last = text[-1:] or self._last
            return text
        text = self._last + self._held + text
        # Only the last breaker can be undecided: no marker reaches across another breaker.
        at = text.rfind(WORD_JOINER)
        if not may_become_special_token(text[at - 1 : at], text[at + 1 :]):
            at = len(text)
        shown = unescape(text[:at])[len(self._last) :]
        self._held = text[at:]
        self._last = text[at - 1 : at]
        return shown

    def close(self) -> str:
        """Return what was held back: the text ended, so it is no marker."""
        held, self._held, self._last = self._held, "", ""
        return held


class PartsRestorer:
    r"""Restores an answer out of which the tool calls have been read.

    Not before: a marker that the model repeats as its prompt broke it is a text about a call,
    and must not become one.

    Example:
        ```python
        from langchain_voxtral.prompts import PartsRestorer
        from langchain_voxtral.tools.call_accumulator import ToolCallChunk

        restorer = PartsRestorer()
        parts = ["<\u2060/s>", ToolCallChunk(0, name="say", arguments='{"it": "[\u2060INST]"}')]
        assert [*restorer.feed(parts), *restorer.close()] == [
            "</s>",
            ToolCallChunk(0, name="say", arguments='{"it": "[INST]"}'),
        ]
        ```
    """

    __slots__ = ("_call", "_restorer")

    def __init__(self) -> None:
        self._restorer = Restorer()
        self._call: int | None = None  # whose arguments came last; None: text

    def feed_text(self, text: str) -> str:
        """Return what of the text can be shown now, of an answer that has no calls."""
        return self._restorer.feed(text)

    def feed(self, parts: Iterable[str | ToolCallChunk]) -> Iterator[str | ToolCallChunk]:
        """Yield what of the text and the calls so far can be shown now."""
        for part in parts:
            call = part.index if isinstance(part, ToolCallChunk) else None
            if call != self._call:
                yield from self.close()
                self._call = call
            if isinstance(part, ToolCallChunk):
                arguments = self._restorer.feed(part.arguments)
                yield ToolCallChunk(part.index, part.id, part.name, arguments)
            elif text := self._restorer.feed(part):
                yield text

    def close(self) -> Iterator[str | ToolCallChunk]:
        """Yield what was held back: the text ended, or the arguments."""
        held = self._restorer.close()
        if held:
            yield held if self._call is None else ToolCallChunk(self._call, arguments=held)

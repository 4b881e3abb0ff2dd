"""The text and the tool calls of an answer whose calls stand in its text."""

from collections.abc import Collection
from typing import Protocol

from langchain_voxtral.tools.call_accumulator import ToolCallChunk, assemble_calls
from langchain_voxtral.tools.call_parser import ToolCallParser
from langchain_voxtral.tools.code_fences import CodeFenceFilter


class AnswerParser:
    """Separates the text of a streamed answer from the tool calls in it, however it is split.

    Calls are what `ToolCallParser` finds, without the code fences around them. A call of no tool
    on offer is text, unless the whole answer consists of calls: then it is one, so that an agent
    can answer it. An answer that may yet be such is held back.

    Args:
        names: The tools that can be called.
        forced: As in `ToolCallParser`.
        beside_text: Whether there may be calls beside text; else only a whole answer is calls.
        any_name: Whether an answer of calls may name other tools.

    Attributes:
        special_characters: Those that a call or a code fence may begin with.
        is_plain: Whether text without a special character would come out unchanged.
        is_text: Whether all that follows is text.
    """

    # A whole answer of calls is first read like any other. When the first text comes of that, all
    # so far is read again with any name allowed: from there on the two readings go side by side
    # until the second one finds text, too, or the answer ends.

    special_characters = "\n\r["

    def __init__(
        self,
        names: Collection[str],
        *,
        forced: bool = False,
        beside_text: bool = True,
        any_name: bool = False,
    ) -> None:
        calls = ToolCallParser(names, forced=forced)
        self._reading: _Reading = _Calls(calls) if beside_text else _Text()
        self._calls_only: _Calls | None = None
        self._may_be_calls_only = any_name
        self.is_text = not (beside_text or any_name)
        self.is_plain = False
        self._received: list[str] = []
        self._calls = 0  # that were returned
        self._held: list[str | ToolCallChunk] = []
        self._held_calls: list[ToolCallChunk] = []

    def feed(self, text: str) -> list[str | ToolCallChunk]:
        """Take text, return what it completes, in order."""
        parts = self._reading.feed(text)
        if self._may_be_calls_only:
            self._received.append(text)
            parts = self._compare(parts)
        self.is_plain = not self._may_be_calls_only and self._reading.is_plain
        return parts

    def close(self) -> list[str | ToolCallChunk]:
        """Return the rest: the text has ended."""
        rest = self._reading.close()
        calls = self._calls_only
        if calls is None or calls.close() or not calls.is_complete:
            return self._held + rest
        is_broken = any(call.error for call in assemble_calls(self._held_calls))
        return self._held + rest if is_broken else [*self._held_calls]

    def release(self) -> list[str | ToolCallChunk]:
        """Return what is held back of an answer that is not only calls; the rest is text."""
        self._may_be_calls_only, self._calls_only = False, None
        self.is_text = isinstance(self._reading, _Text)
        held, self._held = self._held, []
        return held

    def _compare(self, parts: list[str | ToolCallChunk]) -> list[str | ToolCallChunk]:
        """Return what of the parts of the first reading holds in the second one, too."""
        ready: list[str | ToolCallChunk] = []
        if self._calls_only is None:
            while parts and isinstance(parts[0], ToolCallChunk):
                self._calls = max(self._calls, parts[0].index + 1)
                ready.append(parts.pop(0))
            if not parts:
                return ready
            self._calls_only = _Calls(ToolCallParser(None))
            text = "".join(self._received)
        else:
            text = self._received[-1]
        self._held += parts
        for part in self._calls_only.feed(text):
            if isinstance(part, str):
                return ready + self.release()
            if part.index >= self._calls:
                self._held_calls.append(part)
        return ready


class _Reading(Protocol):
    @property
    def is_plain(self) -> bool:
        """Whether text without a line break or bracket would come out unchanged."""

    def feed(self, text: str) -> list[str | ToolCallChunk]:
        """Take text, return what it completes."""

    def close(self) -> list[str | ToolCallChunk]:
        """Return the rest."""


class _Text:
    """Reads an answer as text."""

    is_plain = True

    def feed(self, text: str) -> list[str | ToolCallChunk]:
        return [text] if text else []

    def close(self) -> list[str | ToolCallChunk]:
        return []


class _Calls:
    """Reads an answer as text and calls, which may stand in code fences."""

    def __init__(self, parser: ToolCallParser) -> None:
        self._parser = parser
        self._fences = CodeFenceFilter()

    @property
    def is_plain(self) -> bool:
        return self._parser.is_in_text and self._fences.is_plain

    @property
    def is_complete(self) -> bool:
        """Whether the JSON of every call is whole."""
        return self._parser.is_complete

    def feed(self, text: str) -> list[str | ToolCallChunk]:
        return self._fences.feed(self._parser.feed(text))

    def close(self) -> list[str | ToolCallChunk]:
        return [*self._fences.feed(self._parser.close()), *self._fences.close()]

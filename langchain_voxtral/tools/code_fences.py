"""Code fences around tool calls, taken off while an answer streams."""

import re
from collections.abc import Sequence

from langchain_voxtral.tools.call_accumulator import ToolCallChunk

# Possessive, because the text is the model's: without backtracking each takes linear time.
_FENCE = r"(`{3,}+|~{3,}+)[ \t]*+[\w.+-]{0,32}+\s*+"
_MAYBE_FENCE = rf"(?:`{{1,2}}|~{{1,2}}|{_FENCE})?"
_OPENING = re.compile(rf"\s*+{_FENCE}")
_OPENING_LINE = re.compile(rf"\r?\n[ \t]*+{_FENCE}")
_MAYBE_OPENING = re.compile(rf"\s*+{_MAYBE_FENCE}")
_MAYBE_OPENING_LINE = re.compile(rf"\r?\n[ \t]*+{_MAYBE_FENCE}\Z")
_CLOSING = re.compile(r"[\s,;]*+(`{3,}+|~{3,}+)(\w?)")
_MAYBE_CLOSING = re.compile(r"[\s,;]*+(?:`*+|~*+)[ \t]*+")
_FENCE_LINE = re.compile(r"(\A|\n)[ \t]*+(`{3,}+|~{3,}+)([^\n]*+)")


class CodeFenceFilter:
    """Takes off the code fences that have nothing but calls in them.

    Takes the text and the calls of an answer as `ToolCallParser` finds them. A line that may open
    such a fence is held back until it is known what follows; with other text in it than calls,
    the fence stays.
    """

    def __init__(self) -> None:
        self._held = ""
        self._opening = ""  # a fence in which there were only calls so far
        self._run = ""  # its backticks or tildes
        self._is_start = True
        self._is_between = True  # at the start, or behind a call or the fence around it
        self._open_run = ""  # of the fence that the text is in

    @property
    def is_plain(self) -> bool:
        """Whether text without a line break would come out unchanged."""
        return not (self._held or self._opening or self._is_between)

    def feed(self, parts: Sequence[str | ToolCallChunk]) -> list[str | ToolCallChunk]:
        """Take text and calls, return them without the fences around calls."""
        ready: list[str | ToolCallChunk] = []
        for part in parts:
            if isinstance(part, str):
                self._held += part
                self._read(ready)
            else:
                if self._held:
                    self._read_before_call(ready)
                self._is_start, self._is_between = False, not self._opening
                ready.append(part)
        return ready

    def close(self) -> list[str | ToolCallChunk]:
        """Return the rest: the answer has ended."""
        ready: list[str | ToolCallChunk] = []
        is_separator = self._is_between and not self._is_start and self._held.isspace()
        if not self._opening and not is_separator:
            self._put(ready, self._held)
        return ready

    def _read(self, ready: list[str | ToolCallChunk]) -> None:
        """Pass on what cannot belong to a fence around calls."""
        if self._opening:
            if _MAYBE_CLOSING.fullmatch(self._held):
                return
            self._leave_fence(ready)
        if self._is_between:
            if _MAYBE_OPENING.fullmatch(self._held):
                return
            self._is_between = False
        held = _MAYBE_OPENING_LINE.search(self._held)
        end = held.start() if held else len(self._held)
        self._put(ready, self._held[:end])
        self._held = self._held[end:]

    def _read_before_call(self, ready: list[str | ToolCallChunk]) -> None:
        """Keep or pass on the text before a call."""
        if self._opening:
            self._leave_fence(ready)
        held, self._held = self._held, ""
        opening = (_OPENING if self._is_between else _OPENING_LINE).fullmatch(held)
        if opening and not self._open_run:
            self._opening, self._run = held, opening[1]
        elif not (self._is_between and held.isspace()):
            self._put(ready, held)

    def _leave_fence(self, ready: list[str | ToolCallChunk]) -> None:
        """Read the end of the fence, or find that there is more in it than calls."""
        closing = _CLOSING.match(self._held)
        if closing and closing[2]:  # the next one opens: this one has no end
            self._is_between = True
        elif closing and closing[1].startswith(self._run):
            self._held, self._is_between = self._held[closing.end() :], True
        else:
            ready.append(self._opening)
            self._open_run = self._run
        self._opening = ""

    def _put(self, ready: list[str | ToolCallChunk], text: str) -> None:
        """Pass on text, noting the fences in it."""
        if not text:
            return
        for begin, run, rest in _FENCE_LINE.findall(text):
            if not begin and not self._is_start:
                continue
            if not self._open_run:
                self._open_run = run
            elif run.startswith(self._open_run) and not rest.strip():
                self._open_run = ""
        self._is_start = False
        ready.append(text)

"""The text of a tool call, as the model writes it, to the call that a client is told of."""

import re
from collections.abc import Iterator
from json import JSONDecoder, loads

from langchain_voxtral.tools.call_accumulator import ToolCallChunk
from langchain_voxtral.tools.call_ids import new_call_id

__all__ = ["CallText"]

_STRING = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
_HEAD = re.compile(rf'\s*\[?\s*\{{\s*"name"\s*:\s*({_STRING})\s*,\s*{_STRING}\s*:\s*(?=\S)')
"""What stands before the arguments; the one group is the name."""

_CLOSERS = "}] \n\r\t"
"""At the end of the text so far they may close the call and be none of its arguments."""


class CallText:
    """Reads one call from its text `{"name": …, "arguments": {…}}`, piece by piece.

    Example:
        ```python
        from langchain_voxtral.local.prompting.call_text import CallText

        call = CallText()
        parts = [*call.feed('{"name": "add", "arg'), *call.feed('uments": {"a": 1}}'), *call.end()]
        assert parts[0].name == "add"
        assert "".join(part.arguments for part in parts) == '{"a": 1}'
        assert call.whole
        ```
    """

    def __init__(self) -> None:
        self._text = ""
        self._start = 0  # of the arguments; 0 until they begin
        self._told = 0
        self.whole = False
        """After the end: whether the arguments are all there."""

    def feed(self, text: str) -> Iterator[ToolCallChunk]:
        """Yield what more text tells of the call: its name first, then arguments."""
        self._text += text
        if not self._start:
            head = _HEAD.match(self._text)
            if head is None:
                return
            self._start = self._told = head.end()
            yield ToolCallChunk(0, id=new_call_id(), name=loads(head[1]))
        yield from self._tell(len(self._text.rstrip(_CLOSERS)))

    def end(self) -> Iterator[ToolCallChunk]:
        """Yield the rest: of arguments that were cut all that came."""
        if not self._start:
            return
        try:
            _, end = JSONDecoder().raw_decode(self._text, self._start)
            self.whole = True
        except (ValueError, RecursionError):
            end = len(self._text)
        yield from self._tell(end)

    @property
    def unread(self) -> str:
        """All of the text, if it ended before the call had a name and arguments."""
        return "" if self._start else self._text

    def _tell(self, end: int) -> Iterator[ToolCallChunk]:
        if end > self._told:
            yield ToolCallChunk(0, arguments=self._text[self._told : end])
            self._told = end

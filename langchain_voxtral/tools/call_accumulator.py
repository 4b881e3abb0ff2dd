"""Parts of tool calls made fit for LangChain: ids, few chunks, and nothing guessed."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from langchain_voxtral.tools.call_ids import new_call_id

_LEAST = 32
"""Characters of arguments that are worth a chunk."""
_CLOSING = {"{": "}", "[": "]"}
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("?)|[{}\[\]]', re.DOTALL)


@dataclass(slots=True)
class ToolCallChunk:
    """A part of a tool call (not frozen: a stream has many).

    Args:
        index: Which call of the answer this belongs to, from 0.
        id: The call's id, in the part that brings it.
        name: The tool's name, whole, in the part that brings it.
        arguments: JSON text to append to what came before.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ParsedToolCall:
    """A call as a whole.

    Args:
        id: Its id; no other call of the answer has it.
        name: The tool's name; "" if the model gave none.
        text: The JSON text of the arguments, as the model wrote it; "{}" if it wrote none.
        arguments: The arguments; None if the call is broken.
        error: Why it is broken, in a few words; None if it is not.
    """

    id: str
    name: str
    text: str
    arguments: dict[str, object] | None
    error: str | None = None


@dataclass(slots=True)
class _Call:
    index: int
    id: str = ""
    name: str = ""
    is_sent: bool = False  # its first part, with id and name
    sent: int = 0  # characters of arguments
    arrived: int = 0
    pieces: list[str] = field(default_factory=list)
    pieces_sent: int = 0

    @property
    def is_due(self) -> bool:
        return self.arrived - self.sent >= max(_LEAST, self.sent // 2)

    def send(self, ending: str = "") -> ToolCallChunk | None:
        """Return what has arrived since the last time, and `ending`; None if that is nothing."""
        arguments = "".join((*self.pieces[self.pieces_sent :], ending))
        self.sent, self.pieces_sent = self.arrived, len(self.pieces)
        if not self.is_sent:
            self.is_sent = True
            return ToolCallChunk(self.index, id=self.id, name=self.name, arguments=arguments)
        return ToolCallChunk(self.index, arguments=arguments) if arguments else None


class ToolCallAccumulator:
    """Makes the parts of an answer's calls into parts worth sending to LangChain.

    - The first part of a call has its id and name. An id that is missing, or that another call
      has, is made up.
    - The chunks of a call's arguments grow with them, so that there are few: langchain-core
      parses all of a call's arguments again at each one.
    - Arguments that are no JSON object end with a bracket that fits nothing. langchain-core
      repairs cut JSON (`parse_partial_json`) and would make up a call of it; so it makes an
      invalid one.

    Example:
        ```python
        from langchain_voxtral.tools.call_accumulator import ToolCallAccumulator
        from langchain_voxtral.tools.call_accumulator import ToolCallChunk

        calls = ToolCallAccumulator()
        calls.feed([ToolCallChunk(0, id="abcdef123", name="add")])
        calls.feed([ToolCallChunk(0, arguments='{"a": 1')])
        assert calls.close(cut=True) == [ToolCallChunk(0, arguments='{"a": 1]')]
        assert calls.finished()[0].error == "the answer was cut within the call"
        ```
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._ids: set[str] = set()
        self._last: _Call | None = None
        self._finished: list[ParsedToolCall] = []

    def feed(self, parts: Sequence[ToolCallChunk]) -> list[ToolCallChunk]:
        """Take parts, return what is worth sending now."""
        ready: list[ToolCallChunk | None] = []
        for part in parts:
            call = self._call_of(part)
            if self._last is not None and self._last is not call and self._last.is_sent:
                ready.append(self._last.send())
            self._last = call
            call.name = call.name or part.name or ""
            if part.arguments:
                call.pieces.append(part.arguments)
                call.arrived += len(part.arguments)
            if call.is_due if call.is_sent else call.name:
                self._identify(call)
                ready.append(call.send())
        return [part for part in ready if part is not None]

    def close(self, *, cut: bool = False) -> list[ToolCallChunk]:
        """Return the rest: the answer has ended.

        Args:
            cut: It ended before the model was done, so that the last call may be unfinished.
        """
        ready: list[ToolCallChunk | None] = []
        for call in self._calls.values():
            self._identify(call)
            whole = _finished(call, cut=cut and call is self._last)
            self._finished.append(whole)
            ending = _unrepairable_end(whole.text) if whole.error else whole.text[call.arrived :]
            ready.append(call.send(ending))
        return [part for part in ready if part is not None]

    def finished(self) -> list[ParsedToolCall]:
        """Return the calls as a whole, in order; none before `close`."""
        return list(self._finished)

    def _call_of(self, part: ToolCallChunk) -> _Call:
        call = self._calls.get(part.index)
        if call is None:
            call = self._calls[part.index] = _Call(part.index)
        call.id = call.id or part.id or ""
        return call

    def _identify(self, call: _Call) -> None:
        """Settle the id of a call whose first part is to be sent."""
        if call.is_sent:
            return
        while not call.id or call.id in self._ids:
            call.id = new_call_id()
        self._ids.add(call.id)


def assemble_calls(parts: Sequence[ToolCallChunk], *, cut: bool = False) -> list[ParsedToolCall]:
    """Return the calls of an answer that did not stream.

    Args:
        parts: All of their parts.
        cut: The answer ended before the model was done.

    Example:
        ```python
        from langchain_voxtral.tools.call_accumulator import ParsedToolCall, assemble_calls
        from langchain_voxtral.tools.call_accumulator import ToolCallChunk

        parts = [ToolCallChunk(0, id="abcdef123", name="add", arguments='{"a": 1}')]
        assert assemble_calls(parts) == [ParsedToolCall("abcdef123", "add", '{"a": 1}', {"a": 1})]
        ```
    """
    assembler = ToolCallAccumulator()
    assembler.feed(parts)
    assembler.close(cut=cut)
    return assembler.finished()


def make_unparsable(text: str) -> str:
    """Return the arguments of a broken call in a form that no reader repairs to a valid one."""
    return text + _unrepairable_end(text)


def _finished(call: _Call, *, cut: bool) -> ParsedToolCall:
    text = "".join(call.pieces)
    if not cut and not text.strip():
        text += "{}"
    arguments, error = _parsed(text, cut=cut)
    if not call.name:
        arguments, error = None, error or "the call has no name"
    return ParsedToolCall(call.id, call.name, text, arguments, error)


def _parsed(text: str, *, cut: bool) -> tuple[dict[str, object] | None, str | None]:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = f"the arguments are not JSON: {error}"
        return None, "the answer was cut within the call" if cut else reason
    if isinstance(value, dict):
        return value, None
    return None, f"the arguments are JSON, but no object: {type(value).__name__}"


def _refuse(constant: str) -> NoReturn:
    message = f"{constant} is no JSON value"
    raise ValueError(message)


def _unrepairable_end(text: str) -> str:
    """Return the shortest text behind `text` with which a bracket fits nothing."""
    expected: list[str] = []
    end_of_string = ""
    for found in _STRING_OR_BRACKET.finditer(text):
        sign = found[0]
        if sign in _CLOSING:
            expected.append(_CLOSING[sign])
        elif sign in "}]":
            if not expected or expected.pop() != sign:
                return ""
        elif not found[1]:  # a string that is cut, perhaps behind a backslash
            end_of_string = '"' if found.end() == len(text) else '""'
    return end_of_string + ("]" if expected[-1:] == ["}"] else "}")

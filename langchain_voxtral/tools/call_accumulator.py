"""Chunks of tool calls made fit for LangChain: with ids, few, and nothing guessed."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from langchain_voxtral.tools.call_ids import new_call_id

_MIN_CHUNK_SIZE = 32
"""Characters of arguments that are worth a chunk."""
_CLOSING = {"{": "}", "[": "]"}
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("?)|[{}\[\]]', re.DOTALL)


@dataclass(slots=True)
class ToolCallChunk:
    """A part of a tool call (not frozen: a stream has many).

    Args:
        index: Which call of the answer this belongs to, from 0.
        id: The call's id, in the chunk that brings it.
        name: The tool's name, or more of it, in the chunk that brings it.
        arguments: JSON text to append to what came before.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ParsedToolCall:
    """A whole tool call.

    Args:
        id: Its id; no other call of the answer has it.
        name: The tool's name; "" if the model gave none.
        raw_arguments: The JSON text of the arguments, as the model wrote it; "{}" if it wrote
            none.
        arguments: The arguments; None if the call is broken.
        error: Why it is broken, in a few words; None if it is not.
    """

    id: str
    name: str
    raw_arguments: str
    arguments: dict[str, object] | None
    error: str | None = None


@dataclass(slots=True)
class _Call:
    index: int
    id: str = ""
    name: str = ""
    is_sent: bool = False  # its first chunk, with id and name
    arrived_size: int = 0  # characters of arguments
    sent_size: int = 0
    pieces: list[str] = field(default_factory=list)
    sent_pieces: int = 0

    @property
    def is_due(self) -> bool:
        return self.arrived_size - self.sent_size >= max(_MIN_CHUNK_SIZE, self.sent_size // 2)

    def send(self, ending: str = "") -> list[ToolCallChunk]:
        """Return what has arrived since the last time, and `ending`, in one chunk or none."""
        arguments = "".join((*self.pieces[self.sent_pieces :], ending))
        self.sent_size, self.sent_pieces = self.arrived_size, len(self.pieces)
        if not self.is_sent:
            self.is_sent = True
            return [ToolCallChunk(self.index, id=self.id, name=self.name, arguments=arguments)]
        return [ToolCallChunk(self.index, arguments=arguments)] if arguments else []

    def parse(self, *, cut: bool) -> ParsedToolCall:
        """Return the whole call."""
        text = "".join(self.pieces)
        if not cut and not text.strip():
            text += "{}"
        arguments, error = _parse_arguments(text, cut=cut)
        if not self.name:
            arguments, error = None, error or "the call has no name"
        return ParsedToolCall(self.id, self.name, text, arguments, error)


class ToolCallAccumulator:
    """Makes chunks worth sending to LangChain of the chunks of an answer's tool calls.

    - The first chunk of a call has its id and its whole name. An id that is missing, or that
      another call has, is made up.
    - Chunks of arguments grow with them, so that there are few: langchain-core parses all of a
      call's arguments again at each one.
    - Arguments that are no JSON object end with a bracket that closes nothing. langchain-core
      repairs cut JSON (`parse_partial_json`) and would make up a call of it; so it makes an
      invalid one.

    Args:
        names: The tools on offer. A name that is none of them, or begins another, is sent when
            its arguments begin, since more of it may come. If None, any name is whole.
        given_names: Names to return calls under, by those that they come under, if they differ.
    """

    def __init__(
        self, names: Collection[str] | None = None, given_names: Mapping[str, str] | None = None
    ) -> None:
        self._names = names
        self._given_names = given_names or {}
        self._calls: dict[int, _Call] = {}
        self._ids: set[str] = set()
        self._last: _Call | None = None
        self._finished: list[ParsedToolCall] = []

    def feed(self, chunks: Sequence[ToolCallChunk]) -> list[ToolCallChunk]:
        """Take chunks, return what is worth sending now."""
        ready: list[ToolCallChunk] = []
        for chunk in chunks:
            call = self._calls.get(chunk.index)
            if call is None:
                call = self._calls[chunk.index] = _Call(chunk.index)
            if self._last is not None and self._last is not call and self._last.name:
                self._identify(self._last)
                ready += self._last.send()
            self._last = call
            call.id = call.id or chunk.id or ""
            if chunk.name and not call.is_sent:
                call.name += chunk.name
            if chunk.arguments:
                call.pieces.append(chunk.arguments)
                call.arrived_size += len(chunk.arguments)
            if call.is_due if call.is_sent else self._is_named(call):
                self._identify(call)
                ready += call.send()
        return ready

    def close(self, *, cut: bool = False) -> list[ToolCallChunk]:
        """Return the rest. If the answer was cut, its last call may be unfinished."""
        ready: list[ToolCallChunk] = []
        for call in self._calls.values():
            self._identify(call)
            whole = call.parse(cut=cut and call is self._last)
            self._finished.append(whole)
            text = make_unparsable(whole.raw_arguments) if whole.error else whole.raw_arguments
            ready += call.send(text[call.arrived_size :])
        return ready

    def finished(self) -> list[ParsedToolCall]:
        """Return the whole calls, in order; none before `close`."""
        return list(self._finished)

    def _is_named(self, call: _Call) -> bool:
        """Return whether a call's name is whole."""
        if call.pieces or self._names is None:
            return bool(call.name)
        return [name for name in self._names if name.startswith(call.name)] == [call.name]

    def _identify(self, call: _Call) -> None:
        """Make sure that a call whose first chunk is to be sent has its name and its own id."""
        if call.is_sent:
            return
        call.name = self._given_names.get(call.name, call.name)
        while not call.id or call.id in self._ids:
            call.id = new_call_id()
        self._ids.add(call.id)


def assemble_calls(
    chunks: Sequence[ToolCallChunk],
    *,
    cut: bool = False,
    given_names: Mapping[str, str] | None = None,
) -> list[ParsedToolCall]:
    """Return the calls of an answer that did not stream."""
    accumulator = ToolCallAccumulator(given_names=given_names)
    accumulator.feed(chunks)
    accumulator.close(cut=cut)
    return accumulator.finished()


def _parse_arguments(text: str, *, cut: bool) -> tuple[dict[str, object] | None, str | None]:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = f"the arguments are not JSON: {error}"
        return None, "the answer was cut within the call" if cut else reason
    if isinstance(value, dict):
        return value, None
    return None, f"the arguments are JSON, but no object: {type(value).__name__}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def make_unparsable(text: str) -> str:
    """Return the arguments of a broken call in a form that no reader repairs to a valid one.

    What is added is the shortest text with which a bracket closes nothing.
    """
    expected: list[str] = []
    end_of_string = ""
    for found in _STRING_OR_BRACKET.finditer(text):
        sign = found[0]
        if sign in _CLOSING:
            expected.append(_CLOSING[sign])
        elif sign in "}]":
            if not expected or expected.pop() != sign:
                return text
        elif not found[1]:  # a string that is cut, perhaps behind a backslash
            end_of_string = '"' if found.end() == len(text) else '""'
    return text + end_of_string + ("]" if expected[-1:] == ["}"] else "}")

"""Which call each streamed part of a tool call belongs to: servers number them differently."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_voxtral.tools.call_accumulator import ToolCallChunk

NO_INDEX = -1
"""The index of a part for which the server gives none."""


@dataclass(slots=True)
class _Call:
    index: int  # as returned
    server_index: int
    id: str | None = None
    name: str = ""
    pieces: list[str] = field(default_factory=list)


class ToolCallDeltas:
    """Gives each call of a stream an index of its own, and reports its id and name once.

    OpenAI tells calls apart by index, and sends id and name in a call's first part. Others send
    several calls under one index or without any, repeat the name or the id in every part, send a
    new id with every part (vLLM), or the name in pieces. So a part with a name begins a new call
    where it does not continue the call before it: another tool is named, the arguments so far are
    whole JSON, or others begin under a new id, while the server does not change ids.
    """

    def __init__(self) -> None:
        self._by_index: dict[int, _Call] = {}  # the latest under each of the server's indices
        self._by_id: dict[str, _Call] = {}
        self._latest: _Call | None = None
        self._indices: set[int] = set()  # as returned
        self._changes_ids = False  # with every part, even one that repeats the name

    def feed(self, parts: Sequence[ToolCallChunk], *, is_last: bool) -> list[ToolCallChunk]:
        """Take the parts of one chunk, return what is new in them.

        Args:
            parts: Parts of calls with the server's indices.
            is_last: Whether the chunk has the finish reason.
        """
        news = []
        for position, part in enumerate(parts):
            index = part.index
            if index == NO_INDEX and (len(parts) > 1 or self._latest is None):
                index = position
            call = self._find(part, index)
            if call is None or self._begins_call(part, call, is_last=is_last):
                call = self._open(call.server_index if index == NO_INDEX and call else index)
            new = self._add(part, call)
            if new.id or new.name or new.arguments:
                news.append(new)
        return news

    def _find(self, part: ToolCallChunk, index: int) -> _Call | None:
        same = self._by_id.get(part.id or "")
        if same is not None and (part.index == NO_INDEX or same.server_index == index):
            return same
        return self._latest if index == NO_INDEX else self._by_index.get(index)

    def _begins_call(self, part: ToolCallChunk, call: _Call, *, is_last: bool) -> bool:
        """Return whether a part begins another call than the one that it may continue."""
        if not part.name or not call.name:
            return False
        arguments, has_new_id = "".join(call.pieces), _has_new_id(part, call)
        if part.name != call.name:
            # More of a name comes before the arguments, and with no other id.
            return has_new_id or not call.id or bool(arguments)
        if not arguments:
            return has_new_id and not part.arguments
        is_whole = _is_whole(arguments)
        if is_whole and part.arguments:
            return not part.arguments.isspace()
        # Others, interleaved with those so far; or the name before they come. A server that changes
        # ids ends a call with such a part, too.
        is_beginning = part.arguments.startswith("{") or (is_whole and not is_last)
        return has_new_id and is_beginning and not self._changes_ids

    def _open(self, server_index: int) -> _Call:
        free = server_index not in self._indices
        index = server_index if free else max(self._indices) + 1
        self._indices.add(index)
        call = self._by_index[server_index] = _Call(index, server_index)
        return call

    def _add(self, part: ToolCallChunk, call: _Call) -> ToolCallChunk:
        """Add a part to its call, return what is new in it."""
        self._latest = call
        new = ToolCallChunk(call.index, arguments=part.arguments)
        if part.name and part.name != call.name:
            new.name = part.name
            call.name += part.name
        elif part.name and _has_new_id(part, call):
            self._changes_ids = True
        if part.id and call.id is None:
            new.id = call.id = part.id
            self._by_id[part.id] = call
        if part.arguments:
            call.pieces.append(part.arguments)
        return new


def _has_new_id(part: ToolCallChunk, call: _Call) -> bool:
    return bool(part.id and call.id and part.id != call.id)


def _is_whole(arguments: str) -> bool:
    """Return whether arguments are whole JSON."""
    arguments = arguments.strip()
    if arguments.startswith("{") and not arguments.endswith("}"):
        return False  # quickly: some servers repeat the name in every part
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return True

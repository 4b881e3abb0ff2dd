"""Streamed completions as the events of LangChain's `stream_events(version="v3")`.

LangChain would make them of a model's chunks, which costs as much as all else of a token.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import langchain_core
from langchain_core.utils.utils import LC_ID_PREFIX

from langchain_voxtral.completions.outputs import (
    FIRST_TOOL_CALL_INDEX,
    finish_info,
    refusal_block,
    refusal_kwargs,
    response_metadata,
    usage_metadata,
)
from langchain_voxtral.completions.response import StreamItem, TextDelta
from langchain_voxtral.protocol.responses import ResponseInfo
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

Event = dict[str, Any]

ARE_EVENTS_SUPPORTED = [*map(int, langchain_core.__version__.split(".")[:2])] >= [1, 7]
"""Whether the installed LangChain reads these events: 1.6 has tool calls in another form."""


@dataclass(slots=True)
class _Block:
    index: int
    empty: dict[str, Any]
    parts: list[str] = field(default_factory=list)

    def finish(self) -> dict[str, Any]:
        text = "".join(self.parts)
        if self.empty["type"] == "text":
            return {"type": "text", "text": text}
        if self.empty["type"] == "refusal":  # it came whole
            return self.empty
        call = {"id": self.empty["id"], "name": self.empty["name"]}
        try:
            return {"type": "tool_call", **call, "args": json.loads(text)}
        except (ValueError, RecursionError):
            error = "Failed to parse tool call arguments as JSON"
            return {"type": "invalid_tool_call", **call, "args": text, "error": error}


class EventBuilder:
    """Makes of a stream's items the events that LangChain makes of their chunks.

    All text is one block and each tool call is one, numbered as they begin; they end together.

    Args:
        run_id: LangChain's id of the run.
    """

    def __init__(self, run_id: object | None) -> None:
        self._message_id = "" if run_id is None else f"{LC_ID_PREFIX}-{run_id}"
        self._is_started = False
        # By the call's index; the text has None.
        self._blocks: dict[int | str | None, _Block] = {}
        self._logprobs: dict[str, Any] = {}

    def feed(self, item: StreamItem) -> list[Event]:
        """Return the events of an item."""
        events: list[Event] = [] if self._is_started else [self._start_message(item)]
        if isinstance(item, TextDelta):
            self._logprobs = {"logprobs": {"content": [*item.logprobs]}}
            item = item.text
        if isinstance(item, str):
            if item:
                block = self._blocks.get(None) or self._start_block(
                    events, None, {"type": "text", "text": ""}
                )
                _add(events, block, item, {"type": "text-delta", "text": item})
        elif isinstance(item, ToolCallChunk):
            block = self._blocks.get(item.index) or self._start_call(events, item)
            if text := item.arguments:
                _add(events, block, text, {"type": "tool-call-delta", "args": text})
        else:
            if item.refusal is not None:
                self._start_block(events, "refusal", refusal_block(item.refusal))
            events += map(_finish_block, self._blocks.values())
            events.append(self._finish_message(item))
        return events

    def _start_message(self, item: StreamItem) -> Event:
        self._is_started = True
        event: Event = {"event": "message-start", "role": "ai", "id": self._message_id}
        if isinstance(item, ResponseInfo):
            event["metadata"] = {"provider": item.provider, "model": item.model}
        return event

    def _start_call(self, events: list[Event], chunk: ToolCallChunk) -> _Block:
        index = FIRST_TOOL_CALL_INDEX + chunk.index
        call = {"id": chunk.id, "name": chunk.name, "args": "", "index": index}
        return self._start_block(events, chunk.index, {"type": "tool_call_chunk", **call})

    def _start_block(
        self, events: list[Event], key: int | str | None, content: dict[str, Any]
    ) -> _Block:
        block = self._blocks[key] = _Block(len(self._blocks), content.copy())
        events.append({"event": "content-block-start", "index": block.index, "content": content})
        return block

    def _finish_message(self, info: ResponseInfo) -> Event:
        event: Event = {"event": "message-finish"}
        if usage := usage_metadata(info):
            event["usage"] = usage
        # In the order in which LangChain adds up what chunks say.
        metadata = self._logprobs | (finish_info(info) or {}) | response_metadata(info)
        return event | {"metadata": metadata} | _if_any(additional_kwargs=refusal_kwargs(info))


def _add(events: list[Event], block: _Block, text: str, delta: dict[str, str]) -> None:
    block.parts.append(text)
    events.append({"event": "content-block-delta", "index": block.index, "delta": delta})


def _if_any(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _finish_block(block: _Block) -> Event:
    return {"event": "content-block-finish", "index": block.index, "content": block.finish()}


def until_ended(reads: Iterable[Sequence[StreamItem]]) -> Iterator[Sequence[StreamItem]]:
    """Yield what reads bring, the last items when the request has ended.

    LangChain asks for no event behind the last one, which would leave the request open.
    """
    reads = iter(reads)
    for items in reads:
        if isinstance(items[-1], ResponseInfo):
            yield from [items, *reads]
        else:
            yield items

"""Chat models that return ready-made answers, for tests of what is done with an answer."""

from collections.abc import Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field


class ScriptedChat(BaseChatModel):
    """Returns a fixed answer and records the options of the call."""

    answer: list[BaseMessage]
    calls: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=tools, **kwargs)

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.calls.append(kwargs)
        return ChatResult(generations=[ChatGeneration(message=self.answer[0])])


class StreamingChat(ScriptedChat):
    """The same answer in chunks."""

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for message in self.answer:
            assert isinstance(message, AIMessageChunk)
            yield ChatGenerationChunk(message=message)


def called(arguments: dict[str, Any], name: str = "City") -> AIMessage:
    """Return an answer that calls a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "1"}])


def call_chunks(*pieces: str, name: str = "City") -> list[BaseMessage]:
    """Return a streamed answer that calls a tool, its arguments in these pieces."""
    first = {"name": name, "args": "", "id": "1", "index": 0, "type": "tool_call_chunk"}
    parts = [first, *(first | {"name": None, "id": None, "args": piece} for piece in pieces)]
    return [AIMessageChunk(content="", tool_call_chunks=[part]) for part in parts]  # type: ignore[list-item]


def text_chunks(*pieces: str, **metadata: Any) -> list[BaseMessage]:
    """Return a streamed answer that is text."""
    last = AIMessageChunk(content="", response_metadata=metadata, chunk_position="last")
    return [*(AIMessageChunk(content=piece) for piece in pieces), last]

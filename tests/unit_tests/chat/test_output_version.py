"""`output_version="v1"`: chunks are those that LangChain makes of chunks of text."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import ChatGenerationChunk, LLMResult
from support.documented_exchanges import token_event
from support.scripted_server import End, Reply, ScriptedServer
from support.sse_replies import events, final, streamed
from support.tool_calls import NOW_TOOL, PARIS, WEATHER_TOOL
from support.tool_dialects import CHAT

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralIncompleteStreamError

CALLS = events(*CHAT.tokens("Well: ", [PARIS]), *CHAT.texts("So."), CHAT.last("tool_calls"))
LOGPROBS = events(
    *(token_event(text, token_id=7, logprob=-0.5) for text in ("Hello", "", "!")), final()
)
REPLIES: dict[str, tuple[Reply, dict[str, Any], dict[str, Any]]] = {
    "text": (streamed("Hello", ", ", "world"), {}, {}),
    "nothing": (streamed(), {}, {}),
    "log probabilities": (LOGPROBS, {"logprobs": True}, {}),
    "calls": (CALLS, {**CHAT.fields}, {"tools": [WEATHER_TOOL, NOW_TOOL]}),
    "a cut": (events(token_event("Hel"), token_event("lo"), End.CUT), {}, {}),
}


class OfChunks(ChatVoxtral):
    """A subclass that has chunks of its own, so that LangChain makes the blocks."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in super()._stream(*args, **kwargs):
            assert isinstance(chunk.message.content, str)
            yield chunk

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            assert isinstance(chunk.message.content, str)
            yield chunk


class Listener(BaseCallbackHandler):
    """Records what a handler receives, in order."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self.received.append((token, chunk.model_dump()))

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self.received.append(response.model_dump())

    def on_llm_error(self, error: BaseException, *, response: Any = None, **_: Any) -> None:
        self.received.append((type(error), response.model_dump()))


async def run(
    model: type[ChatVoxtral], call_mode: str, reply: Reply, fields: Any, options: Any
) -> tuple[list[Any], list[Any]]:
    """Return the messages that are received, and what a handler receives."""
    listener = Listener()
    messages: list[Any] = []
    asked: Any = {"config": {"callbacks": [listener], "run_id": UUID(int=1)}, **options}
    with ScriptedServer(reply) as server:
        # What arrives in one read differs from run to run.
        fields = {"chunk_coalescing": False, "streaming": True, **fields}
        chat = model(base_url=server.url, output_version="v1", **fields)
        try:
            if call_mode == "invoke":
                messages.append(chat.invoke("Hello!", **asked))
            elif call_mode == "stream":
                messages.extend(chat.stream("Hello!", **asked))
            else:
                messages.extend([chunk async for chunk in chat.astream("Hello!", **asked)])
        except VoxtralIncompleteStreamError as error:
            messages.append(error.partial)
        await chat.aclose()
        chat.close()
    return messages, listener.received


@pytest.mark.parametrize("call_mode", ["invoke", "stream", "astream"])
@pytest.mark.parametrize(("reply", "fields", "options"), REPLIES.values(), ids=REPLIES)
async def test_messages_are_those_that_langchain_makes_of_chunks_of_text(
    call_mode: str, reply: Reply, fields: Any, options: Any
) -> None:
    messages, received = await run(ChatVoxtral, call_mode, reply, fields, options)
    of_chunks = await run(OfChunks, call_mode, reply, fields, options)
    assert (messages, received) == of_chunks
    assert [message.__class__ for message in messages] == [one.__class__ for one in of_chunks[0]]


async def test_a_chunk_of_text_is_one_block() -> None:
    (first, *_), _ = await run(ChatVoxtral, "stream", streamed("Hello"), {}, {})
    assert first.content == [{"type": "text", "text": "Hello", "index": 0}]
    assert first.response_metadata == {"output_version": "v1"}

"""Streams with tool calls: what each chunk contains, and when it is yielded."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from support.call_modes import sum_of
from support.scripted_server import Gate, ScriptedServer, Step
from support.sse_replies import event, events, token
from support.tool_calls import (
    LYON,
    NOW_TOOL,
    PARIS,
    WEATHER_TOOL,
    chunks_of,
    expected,
    fields_of,
    with_ids_of,
)
from support.tool_dialects import (
    CHAT,
    USAGE,
    Dialect,
    Native,
    ScriptedCall,
    in_every_dialect,
    in_prompts,
)

TOOLS = [WEATHER_TOOL, NOW_TOOL]
TEXT = "Let me look that up."
streaming_ways = pytest.mark.parametrize("call_mode", ["stream", "astream"])


class Watching:
    """Reads a stream chunk by chunk, sync or async."""

    def __init__(self, chat: Any, call_mode: str) -> None:
        self._chunks = chat.stream("Hello!") if call_mode == "stream" else chat.astream("Hello!")
        self.seen: list[AIMessageChunk] = []

    async def __aiter__(self) -> AsyncIterator[AIMessageChunk]:
        while True:
            if hasattr(self._chunks, "__anext__"):
                chunk = await anext(self._chunks, None)
            else:
                chunk = await asyncio.to_thread(next, self._chunks, None)
            if chunk is None:
                return
            self.seen.append(chunk)
            yield chunk

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(chunk.text for chunk in self.seen)


def patient(dialect: Dialect, server: ScriptedServer) -> Any:
    """A model with tools, whose server waits until a chunk was yielded."""
    return dialect.chat(server, stream_idle_timeout=10).bind_tools(TOOLS)


@in_every_dialect
@streaming_ways
@pytest.mark.parametrize("size", [1, 3, 10_000])
async def test_each_chunk_is_text_or_calls_or_the_metadata(
    dialect: Dialect, call_mode: str, size: int
) -> None:
    reply = dialect.streamed(TEXT, [PARIS, LYON], size)
    with ScriptedServer(reply) as server:
        *chunks, last = await chunks_of(dialect.chat(server).bind_tools(TOOLS), call_mode)

    assert last == AIMessageChunk(
        content="",
        usage_metadata=USAGE,
        response_metadata=dialect.metadata([PARIS, LYON], streamed=True),
        chunk_position="last",
        id=last.id,
    )
    kinds = [(bool(chunk.text), len(chunk.tool_call_chunks)) for chunk in chunks]
    assert set(kinds) <= {(True, 0), (False, 1)}
    assert kinds == sorted(kinds, reverse=True)
    names = {"usage_metadata", "response_metadata", "chunk_position"}
    assert [chunk for chunk in chunks if any(getattr(chunk, name) for name in names)] == []
    answer = with_ids_of(dialect, sum_of([*chunks, last]), [PARIS, LYON])
    made = [(PARIS, {"city": "Paris"}), (LYON, {"city": "Lyon"})]
    assert fields_of(answer) == expected(dialect, TEXT, made, streamed=True)


@in_every_dialect
@streaming_ways
async def test_each_call_starts_with_name_and_id_followed_by_arguments(
    dialect: Dialect, call_mode: str
) -> None:
    long = ScriptedCall("get_weather", json.dumps({"city": "Llanfair" * 40}), "llanfair3")
    with ScriptedServer(dialect.streamed("", [PARIS, long])) as server:
        model = dialect.chat(server, chunk_coalescing=False)
        chunks = await chunks_of(model.bind_tools(TOOLS), call_mode)
    parts = [part for chunk in chunks for part in chunk.tool_call_chunks]
    indices = list(dict.fromkeys(part["index"] for part in parts))
    for index, call in zip(indices, [PARIS, long], strict=True):
        first, *rest = [part for part in parts if part["index"] == index]
        assert (first["name"], len(str(first["id"]))) == (call.name, 9)
        assert [(part["name"], part["id"]) for part in rest] == [(None, None)] * len(rest)
        arguments = [part["args"] or "" for part in (first, *rest)]
        assert "".join(arguments) == call.arguments
        assert len([text for text in arguments if text]) >= (1 if call is PARIS else 3)


@in_every_dialect
@streaming_ways
async def test_text_is_shown_before_a_call_is_complete(dialect: Dialect, call_mode: str) -> None:
    tokens, gate = dialect.tokens(TEXT, [PARIS]), Gate()
    steps: list[Step] = [*tokens[:-4], gate, *tokens[-4:], dialect.last()]
    with ScriptedServer(events(*steps)) as server:
        watching = Watching(patient(dialect, server), call_mode)
        async for _ in watching:
            if watching.text == TEXT:
                break
        gate.open()
        async for _ in watching:
            pass
    [call] = sum_of(watching.seen).tool_calls
    assert (watching.text, call["args"]) == (TEXT, {"city": "Paris"})


@in_every_dialect
@streaming_ways
async def test_a_call_is_named_before_its_arguments_have_ended(
    dialect: Dialect, call_mode: str
) -> None:
    tokens, gate = dialect.tokens("", [PARIS], size=1), Gate()
    # The missing part is the end of the arguments and of the call.
    steps: list[Step] = [*tokens[:-6], gate, *tokens[-6:], dialect.last()]
    if dialect.name == "mistral":
        tail = len(f'}}, "id": "{PARIS.id}"}}]') + 4
        steps = [*tokens[:-tail], gate, *tokens[-tail:], dialect.last()]
    with ScriptedServer(events(*steps)) as server:
        watching = Watching(patient(dialect, server), call_mode)
        async for chunk in watching:
            if chunk.tool_call_chunks:
                break
        [named] = watching.seen[-1].tool_call_chunks
        assert (named["name"], named["args"]) == ("get_weather", "")
        gate.open()
        async for _ in watching:
            pass
    [call] = sum_of(watching.seen).tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})


@in_every_dialect
@streaming_ways
async def test_arguments_are_shown_while_they_are_written(dialect: Dialect, call_mode: str) -> None:
    call = ScriptedCall("get_weather", json.dumps({"city": "x" * 1000}))
    tokens, gate = dialect.tokens("", [call], size=10), Gate()
    steps: list[Step] = [*tokens[:60], gate, *tokens[60:], dialect.last()]
    with ScriptedServer(events(*steps)) as server:
        watching = Watching(patient(dialect, server), call_mode)
        async for _ in watching:
            shown = sum_of(watching.seen).tool_call_chunks
            if shown and len(shown[0]["args"] or "") > 300:
                break
        gate.open()
        async for _ in watching:
            pass
    assert sum_of(watching.seen).tool_calls[0]["args"] == {"city": "x" * 1000}


@in_prompts
@streaming_ways
@pytest.mark.parametrize("begun", ["{", "{ ", '{"na', '{"name": "get_w"', "[", "[TOOL_"])
async def test_text_that_may_be_a_call_is_held_until_it_is_none(
    dialect: Native, call_mode: str, begun: str
) -> None:
    gate = Gate()
    steps: list[Step] = [token(begun), token(" x}"), gate, token(" more"), dialect.last()]
    with ScriptedServer(events(*steps)) as server:
        watching = Watching(patient(dialect, server), call_mode)
        async for _ in watching:
            if watching.text == begun + " x}":
                break
        gate.open()
        async for _ in watching:
            pass
    answer = sum_of(watching.seen)
    assert (answer.content, answer.tool_calls) == (begun + " x} more", [])


@in_every_dialect
@streaming_ways
async def test_long_arguments_take_few_chunks(dialect: Dialect, call_mode: str) -> None:
    arguments = {"city": "".join(chr(97 + at % 26) for at in range(10_000))}
    call = ScriptedCall("get_weather", json.dumps(arguments))
    with ScriptedServer(dialect.streamed("", [call], size=4)) as server:
        chunks = await chunks_of(dialect.chat(server).bind_tools(TOOLS), call_mode)
    assert len(chunks) < 40
    assert sum_of(chunks).tool_calls[0]["args"] == arguments


class Listener(BaseCallbackHandler):
    """Records chunks and texts."""

    run_inline = True

    def __init__(self) -> None:
        self.chunks: list[tuple[Any, Any]] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self.chunks.append((token, chunk.message))


@in_every_dialect
@streaming_ways
async def test_a_handler_receives_each_chunk_once_and_in_order(
    dialect: Dialect, call_mode: str
) -> None:
    listener = Listener()
    with ScriptedServer(dialect.streamed(TEXT, [PARIS, LYON])) as server:
        bound = dialect.chat(server).bind_tools(TOOLS)
        chunks = await chunks_of(bound, call_mode, config={"callbacks": [listener]})
    assert listener.chunks == [(chunk.text, chunk) for chunk in chunks]


@in_every_dialect
@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_a_model_that_streams_inside_gives_the_same_answer(
    dialect: Dialect, call_mode: str
) -> None:
    with ScriptedServer(dialect.streamed(TEXT, [PARIS, LYON])) as server:
        bound = dialect.chat(server, streaming=True).bind_tools(TOOLS)
        answer = bound.invoke("Hello!") if call_mode == "invoke" else await bound.ainvoke("Hello!")
    with_ids_of(dialect, answer, [PARIS, LYON])
    made = [(PARIS, {"city": "Paris"}), (LYON, {"city": "Lyon"})]
    assert fields_of(answer) == expected(dialect, TEXT, made, streamed=True)


@streaming_ways
async def test_interleaved_calls_are_separated(call_mode: str) -> None:
    """Parts of several calls may come mixed: OpenAI's protocol distinguishes them by index."""

    def part(index: int, **news: Any) -> bytes:
        delta = {"tool_calls": [{"index": index, **news}]}
        return event({"id": "c", "choices": [{"index": 0, "delta": delta}]})

    named = [
        part(0, id="first0001", function={"name": "get_weather", "arguments": ""}),
        part(1, id="second002", function={"name": "get_weather", "arguments": ""}),
    ]
    pieces = ['{"ci', 'ty": "', "Paris", '"}']
    mixed = [
        part(index, function={"arguments": piece.replace("Paris", city)})
        for piece in pieces
        for index, city in enumerate(["Paris", "Lyon"])
    ]
    with ScriptedServer(events(*named, *mixed, CHAT.last("tool_calls"))) as server:
        chunks = await chunks_of(CHAT.chat(server).bind_tools(TOOLS), call_mode)
    assert [(call["id"], call["args"]) for call in sum_of(chunks).tool_calls] == [
        ("first0001", {"city": "Paris"}),
        ("second002", {"city": "Lyon"}),
    ]

"""Streamed agents: every stream mode of LangGraph, and callbacks."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.tools import tool
from support.agent_runs import (
    ANSWERED,
    ASKED,
    CALLED,
    PARIS,
    QUESTION,
    RESULT,
    SUM,
    SUNNY,
    TOOLS,
    in_each_dialect,
    scripted,
    summarize,
)
from support.call_modes import sum_of
from support.scripted_server import End
from support.sse_replies import events, token
from support.tool_dialects import LLAMA3, USAGE, Dialect, ScriptedCall

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer

THREAD = {"configurable": {"thread_id": "1"}}
STEPS = [[CALLED], [RESULT], [ANSWERED]]

in_both_ways = pytest.mark.parametrize("call_mode", ["stream", "astream"])


async def parts_of(agent: Any, call_mode: str, mode: Any, config: Any = THREAD) -> list[Any]:
    """Return everything that an agent streams in a mode."""
    if call_mode == "stream":
        return list(agent.stream(QUESTION, config, stream_mode=mode))
    return [part async for part in agent.astream(QUESTION, config, stream_mode=mode)]


async def streamed(call_mode: str, mode: Any, *, tokens: bool = False) -> list[Any]:
    """Return what a mode streams of a run with one call; the model streams if the mode needs it."""
    with scripted(LLAMA3, "stream" if tokens else "invoke", [PARIS], SUNNY) as server:
        model = LLAMA3.chat(server, chunk_coalescing=False)
        agent = create_agent(model, tools=TOOLS, checkpointer=InMemorySaver())
        return await parts_of(agent, call_mode, mode)


# The modes


@in_both_ways
async def test_values_are_the_state_after_each_step(call_mode: str) -> None:
    received = [summarize(state) for state in await streamed(call_mode, "values")]
    assert received == [
        [ASKED],
        [ASKED, CALLED],
        [ASKED, CALLED, RESULT],
        [ASKED, CALLED, RESULT, ANSWERED],
    ]


@in_both_ways
async def test_updates_are_what_each_node_adds(call_mode: str) -> None:
    received = [
        (node, summarize(update))
        for part in await streamed(call_mode, "updates")
        for node, update in part.items()
    ]
    assert received == list(zip(["model", "tools", "model"], STEPS, strict=True))


@in_both_ways
async def test_tasks_are_the_nodes_as_they_start_and_end(call_mode: str) -> None:
    received = await streamed(call_mode, "tasks")
    assert [task["name"] for task in received] == [
        "model",
        "model",
        "tools",
        "tools",
        "model",
        "model",
    ]
    assert [summarize(task["result"]) for task in received[1::2]] == STEPS
    [call] = received[2]["input"]
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    assert [task["error"] for task in received[1::2]] == [None, None, None]


@in_both_ways
async def test_checkpoints_are_the_states_that_are_saved(call_mode: str) -> None:
    received = [summarize(saved["values"]) for saved in await streamed(call_mode, "checkpoints")]
    assert received == [
        [],
        [ASKED],
        [ASKED, CALLED],
        [ASKED, CALLED, RESULT],
        [ASKED, CALLED, RESULT, ANSWERED],
    ]


@in_both_ways
async def test_debug_is_checkpoints_and_tasks(call_mode: str) -> None:
    kinds = [part["type"] for part in await streamed(call_mode, "debug")]
    assert kinds == ["checkpoint"] * 2 + ["task", "task_result", "checkpoint"] * 3


@in_both_ways
async def test_custom_is_what_tools_write(call_mode: str) -> None:
    @tool
    def look_far(city: str) -> str:
        """Look at a city from far."""
        write = get_stream_writer()
        write(f"looking at {city}")
        write({"seen": 1})
        return "Fog"

    with scripted(
        LLAMA3, "invoke", [ScriptedCall("look_far", '{"city": "Rome"}')], SUNNY
    ) as server:
        agent = create_agent(LLAMA3.chat(server), tools=[look_far])
        assert await parts_of(agent, call_mode, "custom") == ["looking at Rome", {"seen": 1}]


@in_each_dialect
@in_both_ways
async def test_messages_are_tokens_calls_and_results_in_order(
    dialect: Dialect, call_mode: str
) -> None:
    say = dialect.streamed("I look.", [PARIS, SUM])
    with scripted(dialect, call_mode, say, SUNNY) as server:
        agent = create_agent(dialect.chat(server, chunk_coalescing=False), tools=TOOLS)
        received = await parts_of(agent, call_mode, "messages")
    steps = [(about["langgraph_node"], about["langgraph_step"]) for _, about in received]
    assert list(dict.fromkeys(steps)) == [("model", 1), ("tools", 2), ("model", 3)]
    asked = [chunk for chunk, about in received if about["langgraph_step"] == 1]
    assert "".join(chunk.text for chunk in asked) == "I look."
    calling = sum_of(asked)
    assert [(call["name"], call["args"]) for call in calling.tool_calls] == [
        ("get_weather", {"city": "Paris"}),
        ("add", {"a": 2, "b": 3}),
    ]
    results = [chunk for chunk, about in received if about["langgraph_step"] == 2]
    assert {chunk.tool_call_id: chunk.text for chunk in results} == {
        calling.tool_calls[0]["id"]: "Sunny in Paris",
        calling.tool_calls[1]["id"]: "5",
    }
    answer = [chunk for chunk, about in received if about["langgraph_step"] == 3]
    assert [chunk.text for chunk in answer if chunk.text] == [
        "It ",
        "is ",
        "sun",
        "ny ",
        "in ",
        "Par",
        "is.",
    ]
    assert [chunk.chunk_position for chunk in answer] == [None] * (len(answer) - 1) + ["last"]
    usages = [chunk.usage_metadata for chunk in (*asked, *answer) if chunk.usage_metadata]
    assert usages == [USAGE, USAGE]


@in_both_ways
async def test_tokens_arrive_before_the_answer_is_complete(call_mode: str) -> None:
    received = await streamed(call_mode, ["messages", "updates"], tokens=True)
    modes = [mode for mode, part in received if mode == "updates" or part[0].content]
    words = 7
    assert modes == ["updates", "messages", "updates", *["messages"] * words, "updates"]


@in_both_ways
async def test_a_list_of_modes_gives_each_part_with_its_mode(call_mode: str) -> None:
    received = await streamed(call_mode, ["updates", "values", "tasks"])
    states = [summarize(part) for mode, part in received if mode == "values"]
    updates = [
        summarize(one) for mode, part in received if mode == "updates" for one in part.values()
    ]
    assert states[-1] == [ASKED, CALLED, RESULT, ANSWERED]
    assert updates == STEPS
    assert len([mode for mode, _ in received if mode == "tasks"]) == 6


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol:Warning")
@in_each_dialect
@in_both_ways
async def test_events_of_version_3_have_a_valid_message_for_each_step(
    dialect: Dialect, call_mode: str
) -> None:
    with scripted(dialect, call_mode, [PARIS], SUNNY) as server:
        agent: Any = create_agent(dialect.chat(server), tools=TOOLS)
        if call_mode == "stream":
            received = list(agent.stream_events(QUESTION, version="v3"))
        else:
            stream = await agent.astream_events(QUESTION, version="v3")
            received = [event async for event in stream]
    parts = [event["params"]["data"][0] for event in received if event["method"] == "messages"]
    finished = [event["content"] for event in parts if event["event"] == "content-block-finish"]
    assert [content.get("args", content.get("text")) for content in finished] == [
        {"city": "Paris"},
        SUNNY,
    ]
    ends = [event for event in parts if event["event"] == "message-finish"]
    assert [event["usage"] for event in ends] == [USAGE, USAGE]


async def test_an_abandoned_agent_ends_its_models_request() -> None:
    unending = events(token("It "), End.STALL)
    with scripted(LLAMA3, "astream", unending) as server:
        chat = LLAMA3.chat(server)
        agent: Any = create_agent(chat, tools=TOOLS)
        async with aclosing(agent.astream(QUESTION, stream_mode="messages")) as received:
            chunk, _ = await anext(received)
        assert chunk.text == "It "
        await asyncio.to_thread(server.wait_until_disconnected)
        await chat.aclose()


# Callbacks


class Listener(BaseCallbackHandler):
    """Records tokens and chunks."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.chunks: list[Any] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        self.tokens.append(token)
        self.chunks.append(chunk.message)


class AsyncListener(AsyncCallbackHandler):
    """Records them asynchronously."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.chunks: list[Any] = []

    async def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        self.tokens.append(token)
        self.chunks.append(chunk.message)


def content_of(chunks: Iterable[Any]) -> list[Any]:
    """Return text and parts of calls of each chunk."""
    return [(chunk.text, chunk.tool_call_chunks) for chunk in chunks]


@in_each_dialect
@pytest.mark.parametrize(
    ("call_mode", "make"), [("stream", Listener), ("astream", Listener), ("astream", AsyncListener)]
)
async def test_a_handler_receives_every_chunk_once_and_as_streamed(
    dialect: Dialect, call_mode: str, make: type[Listener | AsyncListener]
) -> None:
    listener = make()
    say = dialect.streamed("I look.", [PARIS, SUM])
    with scripted(dialect, call_mode, say, SUNNY) as server:
        agent = create_agent(dialect.chat(server), tools=TOOLS)
        received = await parts_of(agent, call_mode, "messages", {"callbacks": [listener]})
    chunks = [chunk for chunk, about in received if about["langgraph_node"] == "model"]
    assert content_of(listener.chunks) == content_of(chunks)
    assert listener.tokens == [chunk.text for chunk in chunks]
    assert "".join(listener.tokens) == "I look." + SUNNY


@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_a_handler_receives_every_token_of_an_invoke_that_streams_inside(
    call_mode: str,
) -> None:
    listener = Listener()
    config: Any = {"callbacks": [listener]}
    with scripted(LLAMA3, "stream", [PARIS], SUNNY) as server:
        model = LLAMA3.chat(server, streaming=True, chunk_coalescing=False)
        agent: Any = create_agent(model, tools=TOOLS)
        if call_mode == "invoke":
            state = agent.invoke(QUESTION, config)
        else:
            state = await agent.ainvoke(QUESTION, config)
    assert summarize(state) == [ASKED, CALLED, RESULT, ANSWERED]
    assert [token for token in listener.tokens if token] == [
        "It ",
        "is ",
        "sun",
        "ny ",
        "in ",
        "Par",
        "is.",
    ]
    parts = [part["args"] for chunk in listener.chunks for part in chunk.tool_call_chunks]
    assert "".join(filter(None, parts)) == '{"city": "Paris"}'

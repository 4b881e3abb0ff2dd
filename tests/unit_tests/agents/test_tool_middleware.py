"""Agents with tools and LangChain's middleware: retries, summaries, human review, memory."""

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from support.agent_runs import (
    ANSWERED,
    ASKED,
    CALLED,
    PARIS,
    RESULT,
    SUM,
    SUNNY,
    TOOLS,
    in_each_call_mode,
    in_each_dialect,
    run,
    scripted,
    summarize,
)
from support.scripted_server import End, Reply, ScriptedServer
from support.sse_replies import events, json_reply
from support.tool_dialects import LLAMA3, Dialect, ScriptedCall

from langchain_voxtral.errors import VoxtralIncompleteStreamError, VoxtralRateLimitError

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    LLMToolSelectorMiddleware,
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    ToolCallLimitMiddleware,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

THREAD: Any = {"configurable": {"thread_id": "1"}}
BUSY = json_reply({"detail": "Rate limited"}, status=429)

in_both_ways = pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])


def user_message(text: str) -> Any:
    """Return the user's next message as input of an agent."""
    return {"messages": [HumanMessage(text)]}


# Retries


def retrying(dialect: Dialect, server: ScriptedServer, retries: int = 2) -> Any:
    again = ModelRetryMiddleware(
        max_retries=retries, initial_delay=0, jitter=False, on_failure="error"
    )
    chat = dialect.chat(server, max_retries=0)
    return create_agent(chat, tools=TOOLS, middleware=[again])


@in_each_dialect
@in_each_call_mode
async def test_each_step_is_retried(dialect: Dialect, call_mode: str) -> None:
    with scripted(dialect, call_mode, BUSY, [PARIS], BUSY, BUSY, SUNNY) as server:
        state = await run(retrying(dialect, server), call_mode)
    assert summarize(state) == [ASKED, CALLED, RESULT, ANSWERED]
    first, again, *answering = [seen.body for seen in server.requests]
    assert first == again
    assert answering == [answering[0]] * 3


def cut(dialect: Dialect, answer: str | list[ScriptedCall]) -> Reply:
    """Return a stream that is cut before its last event."""
    given = {"text": answer} if isinstance(answer, str) else {"calls": answer}
    return events(*dialect.tokens(**given)[:-1], End.CUT)


@in_each_dialect
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
@pytest.mark.parametrize("answer", [SUNNY, [PARIS]], ids=["text", "call"])
async def test_a_step_whose_stream_is_cut_is_retried(
    dialect: Dialect, call_mode: str, answer: str | list[ScriptedCall]
) -> None:
    with scripted(dialect, call_mode, cut(dialect, answer), [PARIS], SUNNY) as server:
        state = await run(retrying(dialect, server), call_mode)
    assert summarize(state) == [ASKED, CALLED, RESULT, ANSWERED]
    assert len(server.requests) == 3


@in_each_dialect
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_cut_call_is_never_executed(dialect: Dialect, call_mode: str) -> None:
    broken = cut(dialect, [PARIS])
    with (
        scripted(dialect, call_mode, broken) as server,
        pytest.raises(VoxtralIncompleteStreamError),
    ):
        await run(create_agent(dialect.chat(server), tools=TOOLS), call_mode)
    assert len(server.requests) == 1


@in_each_call_mode
async def test_the_last_failure_is_raised_when_the_retries_are_used_up(call_mode: str) -> None:
    answers = ([PARIS], BUSY, BUSY)
    with scripted(LLAMA3, call_mode, *answers) as server, pytest.raises(VoxtralRateLimitError):
        await run(retrying(LLAMA3, server, retries=1), call_mode)
    assert len(server.requests) == 3


# Limits


async def test_a_model_that_calls_without_end_is_stopped() -> None:
    limit = ModelCallLimitMiddleware(run_limit=2, exit_behavior="end")
    with scripted(LLAMA3, "invoke", [PARIS], [PARIS]) as server:
        agent = create_agent(LLAMA3.chat(server), tools=TOOLS, middleware=[limit])
        state = await run(agent, "invoke")
    assert summarize(state)[:5] == [ASKED, CALLED, RESULT, CALLED, RESULT]
    assert len(server.requests) == 2


async def test_calls_above_the_limit_are_refused_and_reported_to_the_model() -> None:
    limit = ToolCallLimitMiddleware(run_limit=1)
    with scripted(LLAMA3, "invoke", [PARIS, SUM], SUNNY) as server:
        agent = create_agent(LLAMA3.chat(server), tools=TOOLS, middleware=[limit])
        state = await run(agent, "invoke")
    statuses = {result.name: result.status for result in state["messages"] if result.type == "tool"}
    assert statuses == {"get_weather": "success", "add": "error"}
    assert summarize(state)[-1] == ANSWERED


@in_both_ways
async def test_the_model_selects_the_tools(call_mode: str) -> None:
    """The middleware uses `with_structured_output`, which forces a call."""
    chosen = LLAMA3.written(
        "", [ScriptedCall("ToolSelectionResponse", '{"tools": ["get_weather"]}')]
    )
    with scripted(LLAMA3, call_mode, chosen, [PARIS], chosen, SUNNY) as server:
        select = LLMToolSelectorMiddleware(max_tools=1)
        agent = create_agent(LLAMA3.chat(server), tools=TOOLS, middleware=[select])
        state = await run(agent, call_mode)
    assert summarize(state) == [ASKED, CALLED, RESULT, ANSWERED]
    offered = [
        [function["name"] for function in LLAMA3.offered(seen.body)] for seen in server.requests
    ]
    assert offered == [["ToolSelectionResponse"], ["get_weather"]] * 2


# Summaries


@in_each_dialect
@in_both_ways
async def test_a_summary_replaces_calls_and_their_results(dialect: Dialect, call_mode: str) -> None:
    call = {"name": "add", "args": {"a": 2, "b": 3}, "id": "bC4eF7hI0"}
    before = [
        HumanMessage("What is 2 + 3?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("5", tool_call_id="bC4eF7hI0"),
        AIMessage("It is 5."),
    ]
    with scripted(dialect, call_mode, "They added.", [PARIS], SUNNY) as server:
        chat = dialect.chat(server)
        shorten = SummarizationMiddleware(chat, trigger=("messages", 5), keep=("messages", 1))
        agent = create_agent(chat, tools=TOOLS, middleware=[shorten])
        state = await run(agent, call_mode, {"messages": [*before, HumanMessage(ASKED[1])]})
    summary, *after = summarize(state)
    assert "They added." in summary[1]
    assert after == [ASKED, CALLED, RESULT, ANSWERED]
    asked = [json.dumps(dialect.conversation(seen.body)) for seen in server.requests]
    assert ["It is 5." in text for text in asked] == [True, False, False]
    assert ["They added." in text for text in asked] == [False, True, True]


@in_both_ways
async def test_a_summary_between_a_call_and_its_answer_keeps_both_together(call_mode: str) -> None:
    with scripted(LLAMA3, call_mode, [PARIS], "They asked.", SUNNY) as server:
        chat = LLAMA3.chat(server)
        shorten = SummarizationMiddleware(chat, trigger=("messages", 4), keep=("messages", 1))
        agent = create_agent(chat, tools=TOOLS, middleware=[shorten])
        asked = {"messages": [HumanMessage("Hi"), *user_message(ASKED[1])["messages"]]}
        state = await run(agent, call_mode, asked)
    assert summarize(state)[-3:] == [CALLED, RESULT, ANSWERED]
    last = server.requests[2].body["input"]
    assert "They asked." in last
    assert '{"name": "get_weather", "parameters": {"city": "Paris"}}<|eot_id|>' in last


# Human review


def asking(dialect: Dialect, server: ScriptedServer) -> Any:
    person = HumanInTheLoopMiddleware({"get_weather": True})
    return create_agent(
        dialect.chat(server), tools=TOOLS, middleware=[person], checkpointer=InMemorySaver()
    )


async def decided(dialect: Dialect, call_mode: str, decision: dict[str, Any], answer: str) -> Any:
    """Let a person decide on one of two calls; return the state and the last request."""
    with scripted(dialect, call_mode, [SUM, PARIS], answer) as server:
        agent = asking(dialect, server)
        stopped = await run(agent, call_mode, config=THREAD)
        [interrupt] = stopped["__interrupt__"]
        [request] = interrupt.value["action_requests"]
        assert (request["name"], request["args"]) == ("get_weather", {"city": "Paris"})
        assert len(server.requests) == 1
        state = await run(agent, call_mode, Command(resume={"decisions": [decision]}), THREAD)
    return state, dialect.conversation(server.requests[1].body)


@in_each_dialect
@in_each_call_mode
async def test_a_call_that_a_person_approves_is_executed(dialect: Dialect, call_mode: str) -> None:
    state, _ = await decided(dialect, call_mode, {"type": "approve"}, SUNNY)
    assert summarize(state)[2:] == [("tool", "success", "5"), RESULT, ANSWERED]


@in_each_dialect
@in_each_call_mode
async def test_a_call_that_a_person_edits_is_executed_as_edited(
    dialect: Dialect, call_mode: str
) -> None:
    edited = {"name": "get_weather", "args": {"city": "Rome"}}
    state, sent = await decided(
        dialect, call_mode, {"type": "edit", "edited_action": edited}, "It is sunny in Rome."
    )
    *_, result, answer = state["messages"]
    assert result.text.endswith("Sunny in Rome")
    assert answer.text == "It is sunny in Rome."
    assert "Sunny in Rome" in json.dumps(sent)
    assert "Sunny in Paris" not in json.dumps(sent)


@in_each_dialect
@in_each_call_mode
async def test_a_call_that_a_person_rejects_is_not_executed(
    dialect: Dialect, call_mode: str
) -> None:
    state, sent = await decided(
        dialect, call_mode, {"type": "reject", "message": "It is raining."}, "It rains."
    )
    results = {result.name: result for result in state["messages"] if result.type == "tool"}
    assert results["get_weather"].status == "error"
    assert "It is raining." in json.dumps(sent)
    assert "Sunny" not in json.dumps(sent)
    assert summarize(state)[-1] == ("ai", "It rains.")


async def test_a_person_answers_a_call_instead_of_the_tool() -> None:
    answer = {"type": "respond", "message": "Foggy in Paris"}
    state, sent = await decided(LLAMA3, "invoke", answer, "It is foggy.")
    assert ("tool", "success", "Foggy in Paris") in summarize(state)
    assert "ipython<|end_header_id|>\n\nFoggy in Paris<|eot_id|>" in sent


# Memory


@in_each_dialect
@in_each_call_mode
async def test_a_thread_keeps_calls_and_results(dialect: Dialect, call_mode: str) -> None:
    with scripted(dialect, call_mode, [PARIS], SUNNY, "You asked about Paris.") as server:
        agent = create_agent(dialect.chat(server), tools=TOOLS, checkpointer=InMemorySaver())
        await run(agent, call_mode, config=THREAD)
        state = await run(agent, call_mode, user_message("What did I ask?"), THREAD)
    assert summarize(state) == [
        ASKED,
        CALLED,
        RESULT,
        ANSWERED,
        ("human", "What did I ask?"),
        ("ai", "You asked about Paris."),
    ]
    sent = json.dumps(dialect.conversation(server.requests[2].body))
    for text in ("Sunny in Paris", SUNNY, "What did I ask?"):
        assert sent.count(text) == 1


@in_both_ways
async def test_threads_are_independent(call_mode: str) -> None:
    with scripted(LLAMA3, call_mode, [PARIS], SUNNY, "Nothing.") as server:
        agent = create_agent(LLAMA3.chat(server), tools=TOOLS, checkpointer=InMemorySaver())
        await run(agent, call_mode, config=THREAD)
        other = {"configurable": {"thread_id": "2"}}
        state = await run(agent, call_mode, user_message("What did I ask?"), other)
    assert summarize(state) == [("human", "What did I ask?"), ("ai", "Nothing.")]
    assert "Paris" not in server.requests[2].body["input"]


@in_both_ways
async def test_an_earlier_answer_can_be_requested_again(call_mode: str) -> None:
    """LangGraph's time travel: a run is forked after its tools."""
    with scripted(LLAMA3, call_mode, [PARIS], SUNNY, "Sunny!") as server:
        agent: Any = create_agent(LLAMA3.chat(server), tools=TOOLS, checkpointer=InMemorySaver())
        await run(agent, call_mode, config=THREAD)
        before = next(
            saved for saved in agent.get_state_history(THREAD) if saved.next == ("model",)
        )
        state = await run(agent, call_mode, None, before.config)
    assert summarize(state) == [ASKED, CALLED, RESULT, ("ai", "Sunny!")]
    assert server.requests[1].body == server.requests[2].body

"""Failures in agents: what is returned to the model so that it can correct itself."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
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
from support.tool_dialects import DIALECTS, LLAMA3, Dialect, ScriptedCall

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langchain.agents.middleware import ToolErrorMiddleware, after_model, wrap_tool_call
from langgraph.checkpoint.memory import InMemorySaver


@tool
def open_door(number: int) -> str:
    """Open a door."""
    raise ValueError(f"Door {number} is locked.")


FAILED = ScriptedCall("open_door", '{"number": 7}')


@in_each_dialect
@in_each_call_mode
async def test_the_failure_of_a_tool_is_returned_to_the_model(
    dialect: Dialect, call_mode: str
) -> None:
    error_text = ToolErrorMiddleware(lambda error, _: str(error))
    with scripted(dialect, call_mode, [FAILED], "It is locked.") as server:
        agent = create_agent(dialect.chat(server), tools=[open_door], middleware=[error_text])
        state = await run(agent, call_mode)
    assert summarize(state)[1:] == [
        ("ai", "", ("open_door", {"number": 7})),
        ("tool", "error", "Door 7 is locked."),
        ("ai", "It is locked."),
    ]
    again = json.dumps(dialect.conversation(server.requests[1].body))
    assert "Error: Door 7 is locked." in again


async def test_middleware_around_a_call_answers_for_the_tool() -> None:
    @wrap_tool_call
    def answer_for_it(request: Any, handler: Callable[..., Any]) -> Any:
        try:
            return handler(request)
        except ValueError as error:
            advice = f"Try another: {error}"
            return ToolMessage(advice, tool_call_id=request.tool_call["id"], status="error")

    with scripted(LLAMA3, "invoke", [FAILED], "It is locked.") as server:
        agent = create_agent(LLAMA3.chat(server), tools=[open_door], middleware=[answer_for_it])
        state = await run(agent, "invoke")
    assert summarize(state)[2] == ("tool", "error", "Try another: Door 7 is locked.")


@in_each_call_mode
async def test_the_failure_of_a_tool_without_handling_ends_the_run(call_mode: str) -> None:
    with scripted(LLAMA3, call_mode, [FAILED]) as server:
        agent = create_agent(LLAMA3.chat(server), tools=[open_door])
        with pytest.raises(ValueError, match="Door 7 is locked"):
            await run(agent, call_mode)


@in_each_dialect
@in_each_call_mode
async def test_invalid_arguments_are_returned_to_the_model(
    dialect: Dialect, call_mode: str
) -> None:
    wrong = ScriptedCall("add", '{"a": 2, "b": "x"}')
    with scripted(dialect, call_mode, [wrong], [SUM], "5") as server:
        state = await run(create_agent(dialect.chat(server), tools=TOOLS), call_mode)
    kinds = [entry[:2] for entry in summarize(state)]
    assert kinds == [
        ASKED,
        ("ai", ""),
        ("tool", "error"),
        ("ai", ""),
        ("tool", "success"),
        ("ai", "5"),
    ]
    assert "b: Input should be a valid integer" in state["messages"][2].text


BROKEN = {
    "bare word": '{"city": Paris}',
    "comma": '{"city": "Paris",}',
    "cut": '{"city": "Pa',
    "array": '["Paris"]',
}
# Without a special token only an object is a call.
MALFORMED = [
    pytest.param(dialect, arguments, id=f"{dialect.name}-{what}")
    for dialect in DIALECTS
    for what, arguments in BROKEN.items()
    if (dialect, what) != (LLAMA3, "array")
]


def malformed(state: Any, index: int = 1) -> tuple[str, ...]:
    """Return the essence of LangChain's answer to the only invalid call of a message."""
    [call] = state["messages"][index].invalid_tool_calls
    entry = f"Tool call {call['name']} with id {call['id']} could not be executed - "
    return ("tool", "error", f"{entry}arguments were malformed or truncated.")


@pytest.mark.parametrize(("dialect", "arguments"), MALFORMED)
@in_each_call_mode
async def test_a_call_that_is_not_json_is_answered_by_an_error(
    dialect: Dialect, call_mode: str, arguments: str
) -> None:
    """LangChain's agents stop at an answer without a valid call, unless a middleware continues."""

    @after_model(can_jump_to=["model"])
    def ask_again(state: Any, runtime: Any) -> dict[str, Any] | None:
        return {"jump_to": "model"} if state["messages"][-1].invalid_tool_calls else None

    broken = ScriptedCall("get_weather", arguments)
    with scripted(dialect, call_mode, [broken], [PARIS], SUNNY) as server:
        agent = create_agent(dialect.chat(server), tools=TOOLS, middleware=[ask_again])
        state = await run(agent, call_mode)
    assert summarize(state) == [ASKED, ("ai", ""), malformed(state), CALLED, RESULT, ANSWERED]
    again = json.dumps(dialect.conversation(server.requests[1].body))
    assert "Error: Tool call get_weather with id" in again
    assert "invalid_arguments" in again


@in_each_dialect
@in_each_call_mode
async def test_a_call_that_is_not_json_next_to_a_valid_one_is_answered_too(
    dialect: Dialect, call_mode: str
) -> None:
    broken = ScriptedCall("add", '{"a": 2, "b": }', "cD5fG8iJ1")
    with scripted(dialect, call_mode, [PARIS, broken], [SUM], "5") as server:
        state = await run(create_agent(dialect.chat(server), tools=TOOLS), call_mode)
    assert summarize(state) == [
        ASKED,
        CALLED,
        malformed(state),
        RESULT,
        ("ai", "", ("add", {"a": 2, "b": 3})),
        ("tool", "success", "5"),
        ("ai", "5"),
    ]
    again = json.dumps(dialect.conversation(server.requests[1].body))
    assert 0 < again.index("Sunny in Paris") < again.index("Error: Tool call add with id")


async def test_a_call_that_is_not_json_is_answered_when_the_user_continues() -> None:
    broken = ScriptedCall("get_weather", BROKEN["comma"])
    with scripted(LLAMA3, "invoke", [broken], [PARIS], SUNNY) as server:
        agent = create_agent(LLAMA3.chat(server), tools=TOOLS, checkpointer=InMemorySaver())
        thread = {"configurable": {"thread_id": "1"}}
        state = await run(agent, "invoke", config=thread)
        assert summarize(state) == [ASKED, ("ai", "")]
        state = await run(agent, "invoke", {"messages": [HumanMessage("And?")]}, thread)
    assert summarize(state)[2:] == [malformed(state), ("human", "And?"), CALLED, RESULT, ANSWERED]


RECOVERED = [
    ASKED,
    ("ai", "", ("get_wether", {"city": "Paris"})),
    (
        "tool",
        "error",
        "Error: get_wether is not a valid tool, try one of [get_weather, add].",
    ),
    CALLED,
    RESULT,
    ANSWERED,
]


@in_each_dialect
@in_each_call_mode
async def test_a_call_of_an_unknown_tool_is_returned_to_the_model(
    dialect: Dialect, call_mode: str
) -> None:
    with scripted(
        dialect, call_mode, [ScriptedCall("get_wether", PARIS.arguments)], [PARIS], SUNNY
    ) as server:
        state = await run(create_agent(dialect.chat(server), tools=TOOLS), call_mode)
    assert summarize(state) == RECOVERED


UNKNOWN = '{"name": "get_wether", "parameters": {"city": "Paris"}}'


@in_each_dialect
@pytest.mark.parametrize(
    "text", [UNKNOWN, f"[{UNKNOWN}]", f"```json\n{UNKNOWN}\n```\n", f"<|python_tag|>{UNKNOWN}"]
)
async def test_a_call_of_an_unknown_tool_as_text_is_returned_to_the_model(
    dialect: Dialect, text: str
) -> None:
    with scripted(dialect, "astream", text, [PARIS], SUNNY) as server:
        state = await run(create_agent(dialect.chat(server), tools=TOOLS), "astream")
    assert summarize(state) == RECOVERED

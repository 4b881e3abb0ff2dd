"""Shared by the tests of agents: tools, a question, and a run in each of the four call modes."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from support.call_modes import CALL_MODES
from support.scripted_server import Reply, ScriptedServer
from support.tool_dialects import DIALECTS, Dialect, ScriptedCall

QUESTION: Any = {"messages": [HumanMessage("How is the weather in Paris?")]}
PARIS = ScriptedCall("get_weather", '{"city": "Paris"}', "aB3dE6gH9")
SUM = ScriptedCall("add", '{"a": 2, "b": 3}', "bC4eF7hI0")
SUNNY = "It is sunny in Paris."

ASKED = ("human", "How is the weather in Paris?")
CALLED = ("ai", "", ("get_weather", {"city": "Paris"}))
RESULT = ("tool", "success", "Sunny in Paris")
ANSWERED = ("ai", SUNNY)

in_each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
in_each_call_mode = pytest.mark.parametrize("call_mode", CALL_MODES)


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"Sunny in {city}"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOLS = [get_weather, add]


def scripted(
    dialect: Dialect, call_mode: str, *answers: str | Sequence[ScriptedCall] | Reply
) -> ScriptedServer:
    """Return a server that answers with these texts and calls, streamed if the mode is."""
    make_reply = dialect.streamed if call_mode in {"stream", "astream"} else dialect.whole

    def reply(answer: str | Sequence[ScriptedCall] | Reply) -> Reply:
        if isinstance(answer, Reply):
            return answer
        return make_reply(answer) if isinstance(answer, str) else make_reply(calls=answer)

    return ScriptedServer(*map(reply, answers))


async def run(agent: Any, call_mode: str, given: Any = QUESTION, config: Any = None) -> Any:
    """Run an agent and return its last state; its model streams if the mode does."""
    if call_mode == "invoke":
        return agent.invoke(given, config)
    if call_mode == "ainvoke":
        return await agent.ainvoke(given, config)
    modes = ["messages", "values"]
    if call_mode == "stream":
        parts = list(agent.stream(given, config, stream_mode=modes))
    else:
        parts = [part async for part in agent.astream(given, config, stream_mode=modes)]
    return [part for mode, part in parts if mode == "values"][-1]


def summarize(state: Any) -> list[tuple[Any, ...]]:
    """Return type and text of each message, with calls and the status of results."""
    return [_summarize(message) for message in state["messages"]]


def _summarize(message: BaseMessage) -> tuple[Any, ...]:
    if isinstance(message, ToolMessage):
        return ("tool", message.status, message.text)
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return (message.type, message.text, *((call["name"], call["args"]) for call in calls))

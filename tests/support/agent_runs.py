"""What the tests of agents share: tools, a question, and an agent run in any of four ways."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from support.call_modes import WAYS
from support.scripted_server import Reply, ScriptedServer
from support.tool_dialects import DIALECTS, Called, Dialect

QUESTION: Any = {"messages": [HumanMessage("How is the weather in Paris?")]}
PARIS = Called("get_weather", '{"city": "Paris"}', "aB3dE6gH9")
SUM = Called("add", '{"a": 2, "b": 3}', "bC4eF7hI0")
SUNNY = "It is sunny in Paris."

ASKED = ("human", "How is the weather in Paris?")
CALLED = ("ai", "", ("get_weather", {"city": "Paris"}))
RESULT = ("tool", "success", "Sunny in Paris")
ANSWERED = ("ai", SUNNY)

in_each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
in_each_way = pytest.mark.parametrize("way", WAYS)


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
    dialect: Dialect, way: str, *answers: str | Sequence[Called] | Reply
) -> ScriptedServer:
    """Return a server that gives these texts and calls; as streams if the way is one."""
    say = dialect.streamed if way in {"stream", "astream"} else dialect.whole

    def reply(answer: str | Sequence[Called] | Reply) -> Reply:
        if isinstance(answer, Reply):
            return answer
        return say(answer) if isinstance(answer, str) else say(calls=answer)

    return ScriptedServer(*map(reply, answers))


async def run(agent: Any, way: str, given: Any = QUESTION, config: Any = None) -> Any:
    """Run an agent, and return its last state; its model streams if the way is a stream."""
    if way == "invoke":
        return agent.invoke(given, config)
    if way == "ainvoke":
        return await agent.ainvoke(given, config)
    modes = ["messages", "values"]
    if way == "stream":
        parts = list(agent.stream(given, config, stream_mode=modes))
    else:
        parts = [part async for part in agent.astream(given, config, stream_mode=modes)]
    return [part for mode, part in parts if mode == "values"][-1]


def gist(state: Any) -> list[tuple[Any, ...]]:
    """Return what was said: kind and text of each message, calls, and the status of results."""
    return [_gist(message) for message in state["messages"]]


def _gist(message: BaseMessage) -> tuple[Any, ...]:
    if isinstance(message, ToolMessage):
        return ("tool", message.status, message.text)
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return (message.type, message.text, *((call["name"], call["args"]) for call in calls))

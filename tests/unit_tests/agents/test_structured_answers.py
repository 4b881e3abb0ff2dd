"""Agents with a `response_format`, by a tool or by the provider."""

import json
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, Field
from support.agent_runs import (
    ASKED,
    CALLED,
    PARIS,
    RESULT,
    TOOLS,
    in_each_call_mode,
    in_each_dialect,
    run,
    scripted,
    summarize,
)
from support.scripted_server import Reply, ScriptedServer
from support.tool_dialects import CHAT, LLAMA3, NATIVES, Dialect, ScriptedCall

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langchain.agents.structured_output import (
    ProviderStrategy,
    StructuredOutputValidationError,
    ToolStrategy,
)

T = TypeVar("T")
in_each_native_dialect = pytest.mark.parametrize(
    "dialect", NATIVES, ids=lambda dialect: dialect.name
)


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    degrees: int = Field(description="Degrees Celsius")


class Unknown(BaseModel):
    """There is no answer."""

    reason: str


FORM = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "degrees": {"type": "integer", "description": "Degrees Celsius"},
    },
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
ARGUMENTS = {
    "get_weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "add": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "Weather": FORM,
    "Unknown": {
        "type": "object",
        "properties": {"reason": {"type": "string"}},
        "required": ["reason"],
        "additionalProperties": False,
    },
}
KEYS = {"llama3": "parameters", "mistral": "arguments"}
"""The key of a call's arguments in the native dialects."""
VALID = ScriptedCall("Weather", '{"city": "Paris", "degrees": 21}')
INVALID = ScriptedCall("Weather", '{"city": "Paris", "degrees": "hot"}')
WEATHER = Weather(city="Paris", degrees=21)


def call_of(name: str, key: str) -> dict[str, Any]:
    """Return the schema of a call."""
    return {
        "type": "object",
        "properties": {"name": {"const": name}, key: ARGUMENTS[name]},
        "required": ["name", key],
        "additionalProperties": False,
    }


def constraint(key: str, *names: str) -> dict[str, Any]:
    """Return the `response_format` that constrains an answer to one of these calls."""
    schemas = [call_of(name, key) for name in names]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"type": "json_schema", "json_schema": {"name": "tool_call", "schema": schema}}


def forced(dialect: Dialect, call_mode: str, call: ScriptedCall) -> Reply:
    """Return the answer of a model that is constrained to a call: without a special token."""
    say = dialect.streamed if "stream" in call_mode else dialect.whole
    if dialect is CHAT:
        return say(calls=[call])
    return say(f'{{"name": "{call.name}", "{KEYS[dialect.name]}": {call.arguments}}}')


def calling(dialect: Dialect, call_mode: str, *calls: ScriptedCall) -> ScriptedServer:
    """Return a server whose model answers with these forced calls in turn."""
    return scripted(dialect, call_mode, *(forced(dialect, call_mode, call) for call in calls))


def check_that_each_step_was_forced(dialect: Dialect, server: ScriptedServer, *names: str) -> None:
    for seen in server.requests:
        assert [function["name"] for function in dialect.offered(seen.body)] == list(names)
        if dialect is CHAT:
            assert seen.body["tool_choice"] == "required"
            assert "response_format" not in seen.body
        else:
            sent = seen.body["response_format"]
            assert sent == constraint(KEYS[dialect.name], *names)


# The response format as a tool


@in_each_dialect
@in_each_call_mode
async def test_the_response_format_is_a_tool_and_each_step_must_call_one(
    dialect: Dialect, call_mode: str
) -> None:
    with calling(dialect, call_mode, PARIS, VALID) as server:
        agent = create_agent(
            dialect.chat(server), tools=TOOLS, response_format=ToolStrategy(Weather)
        )
        state = await run(agent, call_mode)
    assert state["structured_response"] == WEATHER
    assert summarize(state)[:4] == [
        ASKED,
        CALLED,
        RESULT,
        ("ai", "", ("Weather", {"city": "Paris", "degrees": 21})),
    ]
    check_that_each_step_was_forced(dialect, server, "get_weather", "add", "Weather")


@in_each_dialect
@in_each_call_mode
async def test_a_class_alone_is_a_tool_too(dialect: Dialect, call_mode: str) -> None:
    """The profile does not claim the provider's structured output, which would drop the tool."""
    with calling(dialect, call_mode, VALID) as server:
        agent = create_agent(dialect.chat(server), tools=TOOLS, response_format=Weather)
        state = await run(agent, call_mode)
    assert state["structured_response"] == WEATHER
    check_that_each_step_was_forced(dialect, server, "get_weather", "add", "Weather")


@in_each_dialect
@in_each_call_mode
async def test_a_response_format_needs_no_other_tool(dialect: Dialect, call_mode: str) -> None:
    with calling(dialect, call_mode, VALID) as server:
        agent = create_agent(dialect.chat(server), tools=[], response_format=Weather)
        state = await run(agent, call_mode)
    assert state["structured_response"] == WEATHER
    check_that_each_step_was_forced(dialect, server, "Weather")


@in_each_dialect
async def test_the_model_chooses_one_of_several_response_formats(dialect: Dialect) -> None:
    given_up = ScriptedCall("Unknown", '{"reason": "It is night."}')
    with calling(dialect, "invoke", given_up) as server:
        form: Any = ToolStrategy(Weather | Unknown)
        agent: Any = create_agent(dialect.chat(server), tools=[], response_format=form)
        state = await run(agent, "invoke")
    assert state["structured_response"] == Unknown(reason="It is night.")
    check_that_each_step_was_forced(dialect, server, "Weather", "Unknown")


@in_each_dialect
@in_each_call_mode
async def test_an_invalid_answer_is_returned_to_the_model(dialect: Dialect, call_mode: str) -> None:
    with calling(dialect, call_mode, INVALID, VALID) as server:
        agent = create_agent(dialect.chat(server), tools=[], response_format=ToolStrategy(Weather))
        state = await run(agent, call_mode)
    assert state["structured_response"] == WEATHER
    assert "degrees" in state["messages"][2].text
    again = json.dumps(dialect.conversation(server.requests[1].body))
    assert "Input should be a valid integer" in again


async def test_an_invalid_answer_is_an_error_if_configured() -> None:
    with calling(LLAMA3, "invoke", INVALID) as server:
        form = ToolStrategy(Weather, handle_errors=False)
        agent = create_agent(LLAMA3.chat(server), tools=[], response_format=form)
        with pytest.raises(StructuredOutputValidationError, match="degrees"):
            await run(agent, "invoke")


class Page(BaseModel, Generic[T]):
    """A page of items."""

    items: list[T]


@in_each_dialect
@in_each_call_mode
async def test_a_generic_class_is_a_tool_too(dialect: Dialect, call_mode: str) -> None:
    replies = [
        ScriptedCall("Page_int", '{"items": ["x"]}'),
        ScriptedCall("Page_int", '{"items": [1]}'),
    ]
    with calling(dialect, call_mode, *replies) as server:
        agent = create_agent(dialect.chat(server), tools=[], response_format=Page[int])
        state = await run(agent, call_mode)
    assert state["structured_response"] == Page[int](items=[1])
    assert [call["name"] for call in state["messages"][1].tool_calls] == ["Page[int]"]
    first, again = (seen.body for seen in server.requests)
    assert [function["name"] for function in dialect.offered(first)] == ["Page_int"]
    assert "Page_int" in json.dumps(dialect.conversation(again))


# The provider's response format


@in_each_dialect
@in_each_call_mode
async def test_the_provider_strategy_gives_the_format_where_no_tool_is_called(
    dialect: Dialect, call_mode: str
) -> None:
    say = dialect.streamed if "stream" in call_mode else dialect.whole
    with scripted(dialect, call_mode, [PARIS], say('{"city": "Paris", "degrees": 21}')) as server:
        form = ProviderStrategy(Weather)
        agent = create_agent(dialect.chat(server), tools=TOOLS, response_format=form)
        state = await run(agent, call_mode)
    assert state["structured_response"] == WEATHER
    assert summarize(state)[:3] == [ASKED, CALLED, RESULT]
    for seen in server.requests:
        sent = seen.body["response_format"]
        assert [function["name"] for function in dialect.offered(seen.body)] == [
            "get_weather",
            "add",
        ]
        if dialect is CHAT:
            assert (sent["json_schema"]["name"], seen.body["tool_choice"]) == ("Weather", "auto")
        else:
            *calls, final = sent["json_schema"]["schema"]["anyOf"]
            key = KEYS[dialect.name]
            assert calls == [call_of("get_weather", key), call_of("add", key)]
            assert (final["title"], final["required"]) == ("Weather", ["city", "degrees"])
            assert final["additionalProperties"] is False


@in_each_dialect
@in_each_call_mode
async def test_the_provider_strategy_gives_the_format_without_tools(
    dialect: Dialect, call_mode: str
) -> None:
    with scripted(dialect, call_mode, '{"city": "Paris", "degrees": 21}') as server:
        form = ProviderStrategy(Weather)
        agent = create_agent(dialect.chat(server), tools=[], response_format=form)
        state = await run(agent, call_mode)
    assert state["structured_response"] == WEATHER
    [sent] = [seen.body["response_format"] for seen in server.requests]
    assert sent["json_schema"]["name"] == "Weather"
    assert sent["json_schema"]["schema"]["title"] == "Weather"


@in_each_dialect
async def test_the_provider_strategy_names_generic_classes(dialect: Dialect) -> None:
    with scripted(dialect, "invoke", '{"items": [1]}') as server:
        form = ProviderStrategy(Page[int])
        agent: Any = create_agent(dialect.chat(server), tools=[], response_format=form)
        state = await run(agent, "invoke")
    assert state["structured_response"] == Page[int](items=[1])
    assert server.requests[0].body["response_format"]["json_schema"]["name"] == "Page_int"


@in_each_dialect
@in_each_call_mode
async def test_the_provider_strategy_reads_fenced_json(dialect: Dialect, call_mode: str) -> None:
    fenced = '```json\n{"city": "Paris", "degrees": 21}\n```'
    with scripted(dialect, call_mode, fenced) as server:
        form = ProviderStrategy(Weather)
        agent = create_agent(dialect.chat(server), tools=[], response_format=form)
        state = await run(agent, call_mode)
    assert state["structured_response"] == WEATHER


@in_each_native_dialect
async def test_json_of_the_response_format_is_not_a_call(dialect: Dialect) -> None:
    """The fields of a response format may be those of a call."""

    class Tool(BaseModel):
        name: str
        parameters: dict[str, str]

    text = '{"name": "hammer", "parameters": {"weight": "1 kg"}}'
    with scripted(dialect, "invoke", text) as server:
        form = ProviderStrategy(Tool)
        agent: Any = create_agent(dialect.chat(server), tools=TOOLS, response_format=form)
        state = await run(agent, "invoke")
    assert state["structured_response"] == Tool(name="hammer", parameters={"weight": "1 kg"})

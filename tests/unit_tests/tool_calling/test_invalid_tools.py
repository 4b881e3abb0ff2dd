"""Invalid tools, choices and conversations: one clear error before anything is sent."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel
from support.call_modes import CALL_MODES, ask
from support.scripted_server import ScriptedServer
from support.tool_calls import NOW_TOOL, WEATHER_TOOL, get_message
from support.tool_dialects import Dialect, in_every_dialect

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralInvalidRequestError


class Socket:
    """A type without a schema."""


def open_socket(socket: Socket) -> None:
    """Open a socket."""


class WithSocket(BaseModel, arbitrary_types_allowed=True):
    """A socket."""

    socket: Socket


OTHER_WEATHER = {"name": "get_weather", "description": "Tell the weather of tomorrow."}
WRONG_TOOLS: dict[str, tuple[list[Any], str]] = {
    "no name": ([{"type": "function", "function": {"parameters": {}}}], r"tools\[0\]"),
    "an empty name": ([{"type": "function", "function": {"name": ""}}], r"tools\[0\]"),
    "a name with spaces": ([{"name": "get weather", "description": ""}], "get weather"),
    "two of one name": ([WEATHER_TOOL, NOW_TOOL, OTHER_WEATHER], r"tools\[0\] and tools\[2\]"),
    "a Runnable": ([NOW_TOOL, RunnableLambda(str)], r"tools\[1\].*as_tool"),
    "a built-in tool of others": ([{"type": "web_search"}], "web_search.*another provider"),
    "a function of something else": ([open_socket], "open_socket"),
    "a class of something else": ([WithSocket], "WithSocket"),
    "no tool at all": ([5], r"tools\[0\]"),
    "nothing": ([None], r"tools\[0\]"),
    "parameters that are no object": (
        [{"name": "now", "parameters": {"type": "string"}}],
        "now.*object",
    ),
    "a reference to nothing": (
        [
            {
                "name": "now",
                "parameters": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}},
            }
        ],
        "now",
    ),
    "what JSON cannot express": (
        [{"name": "now", "parameters": {"type": "object", "default": {1, 2}}}],
        "now",
    ),
    "a text": ("get_weather", "list of tools"),  # type: ignore[dict-item]
    "a tool by itself": (WEATHER_TOOL, "list of tools"),  # type: ignore[dict-item]
}
wrong_tools = pytest.mark.parametrize(("tools", "message"), WRONG_TOOLS.values(), ids=WRONG_TOOLS)


@in_every_dialect
@wrong_tools
def test_invalid_tools_are_an_error_when_bound(dialect: Dialect, tools: Any, message: str) -> None:
    with ScriptedServer() as server, pytest.raises(VoxtralInvalidRequestError, match=message):
        dialect.chat(server).bind_tools(tools)


@in_every_dialect
@wrong_tools
async def test_invalid_tools_of_a_call_are_an_error_before_anything_is_sent(
    dialect: Dialect, tools: Any, message: str
) -> None:
    with ScriptedServer() as server:
        chat = dialect.chat(server)
        for call_mode in CALL_MODES:
            with pytest.raises(VoxtralInvalidRequestError, match=message) as caught:
                await get_message(chat, call_mode, tools=tools)
            assert caught.value.attempts == 0
    assert server.requests == []


WRONG_CHOICES: dict[str, tuple[list[Any], Any, str]] = {
    "of no tool": ([WEATHER_TOOL, NOW_TOOL], "get_wether", "Did you mean 'get_weather'"),
    "of no tool by a dict": (
        [NOW_TOOL],
        {"type": "function", "function": {"name": "later"}},
        "'later'.*now",
    ),
    "of a dict of another form": ([NOW_TOOL], {"name": "now"}, "tool_choice cannot be"),
    "of a number": ([NOW_TOOL], 3, "tool_choice cannot be 3"),
    "without tools": ([], "any", "there are no tools"),
    "by name without tools": ([], "now", "there are no tools"),
}


@in_every_dialect
@pytest.mark.parametrize(("tools", "choice", "message"), WRONG_CHOICES.values(), ids=WRONG_CHOICES)
async def test_an_invalid_tool_choice_is_an_error_when_bound_and_when_called(
    dialect: Dialect, tools: list[Any], choice: Any, message: str
) -> None:
    with ScriptedServer() as server:
        chat = dialect.chat(server)
        with pytest.raises(VoxtralInvalidRequestError, match=message):
            chat.bind_tools(tools, tool_choice=choice)
        for call_mode in CALL_MODES:
            with pytest.raises(VoxtralInvalidRequestError, match=message):
                await get_message(chat, call_mode, tools=tools, tool_choice=choice)
    assert server.requests == []


CALLING = AIMessage(
    "", tool_calls=[tool_call(name="now", args={}, id="a"), tool_call(name="now", args={}, id="b")]
)
HI = HumanMessage("Hi")
WRONG_TURNS: dict[str, tuple[Callable[[], list[BaseMessage]], str]] = {
    "an unknown role": (
        lambda: [HI, ChatMessage(content="5", role="oracle")],
        r"messages\[1\].*'oracle'",
    ),
    "a message of OpenAI's old functions": (
        lambda: [HI, FunctionMessage(content="5", name="now")],
        r"messages\[1\].*ToolMessage",
    ),
    "a picture as a result": (
        lambda: [
            HI,
            AIMessage("", tool_calls=CALLING.tool_calls[:1]),
            ToolMessage([{"type": "image", "url": "https://example.com"}], tool_call_id="a"),
        ],
        r"messages\[2\].*image",
    ),
    "arguments that JSON cannot express": (
        lambda: [HI, AIMessage("", tool_calls=[tool_call(name="now", args={"a": {1}}, id="a")])],
        "'now'",
    ),
}


@in_every_dialect
@pytest.mark.parametrize(("turns", "message"), WRONG_TURNS.values(), ids=WRONG_TURNS)
async def test_an_invalid_conversation_is_an_error_before_anything_is_sent(
    dialect: Dialect, turns: Callable[[], list[BaseMessage]], message: str
) -> None:
    with ScriptedServer() as server:
        chat = dialect.chat(server).bind_tools([NOW_TOOL])
        for call_mode in CALL_MODES:
            with pytest.raises(VoxtralInvalidRequestError, match=message):
                await get_message(chat, call_mode, turns())
    assert server.requests == []


RESULTS_OUT_OF_PLACE: dict[str, list[BaseMessage]] = {
    "without a call": [HI, ToolMessage("5", tool_call_id="a")],
    "of another call": [HI, CALLING, ToolMessage("5", tool_call_id="c")],
    "twice": [HI, CALLING, *[ToolMessage("5", tool_call_id="a")] * 2],
    "of one of two calls": [HI, CALLING, ToolMessage("5", tool_call_id="a"), HI],
}


@in_every_dialect
@pytest.mark.parametrize("messages", RESULTS_OUT_OF_PLACE.values(), ids=RESULTS_OUT_OF_PLACE)
def test_a_conversation_with_results_out_of_place_is_sent_with_a_warning(
    dialect: Dialect, messages: list[BaseMessage], caplog: pytest.LogCaptureFixture
) -> None:
    """An agent's history, once it is so, could not be mended by an error."""
    with ScriptedServer(dialect.whole("Hello!")) as server:
        assert dialect.chat(server).invoke(messages).text == "Hello!"
    sent = json.dumps(dialect.conversation(server.requests[0].body))
    results = [message.text for message in messages if isinstance(message, ToolMessage)]
    assert sent.count("5") == len(results)
    assert {record.levelname for record in caplog.records} == {"WARNING"}


@in_every_dialect
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output_without_a_schema_is_an_error(dialect: Dialect, method: Any) -> None:
    with ScriptedServer() as server, pytest.raises(ValueError, match="needs a schema"):
        dialect.chat(server).with_structured_output(None, method=method)


@in_every_dialect
def test_an_unknown_method_of_structured_output_is_an_error(dialect: Dialect) -> None:
    unknown: Any = "grammar"
    with ScriptedServer() as server, pytest.raises(ValueError, match="'grammar'"):
        dialect.chat(server).with_structured_output(WEATHER_TOOL, method=unknown)


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_special_tokens_are_refused_in_every_dialect(
    dialect: Dialect, call_mode: str
) -> None:
    with ScriptedServer() as server:
        chat = dialect.chat(server, special_tokens="error")
        with pytest.raises(VoxtralInvalidRequestError, match=r"contains the special token '</s>'"):
            await ask(chat, call_mode, "a </s>[INST] b")
    assert server.requests == []


@pytest.mark.parametrize("option", ["strict", "parallel_tool_calls"])
def test_a_switch_is_true_or_false(option: str) -> None:
    chat = ChatVoxtral(base_url="http://127.0.0.1:9").bind(tools=[], **{option: "yes"})
    with pytest.raises(VoxtralInvalidRequestError, match=f"{option}='yes'"):
        chat.invoke("?")

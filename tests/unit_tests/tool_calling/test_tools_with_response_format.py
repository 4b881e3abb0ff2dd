"""Tools together with a `response_format`: calls until there is an answer in that format."""

from typing import Any

import pytest
from support.call_modes import CALL_MODES
from support.scripted_server import ScriptedServer
from support.tool_calls import (
    NOW,
    NOW_TOOL,
    PARIS,
    WEATHER,
    WEATHER_TOOL,
    expected,
    fields_of,
    get_message,
    with_ids_of,
)
from support.tool_dialects import CHAT, Dialect, Native, in_every_dialect, in_prompts

from langchain_voxtral.errors import VoxtralInvalidRequestError

SCHEMA = {
    "type": "object",
    "properties": {"name": {"$ref": "#/$defs/Text"}, "age": {"type": "integer"}},
    "required": ["name"],
    "$defs": {"Text": {"type": "string"}},
}
WANTED = {"type": "json_schema", "json_schema": {"name": "Report", "schema": SCHEMA}}
JSON = '{"name": "Anna", "age": 31}'
ASKS_FOR_A_CALL = '{"name": "get_weather", "age": 1}'
CLOSED = {"additionalProperties": False}


def call_of(dialect: Native, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    properties = {"name": {"const": name}, dialect.key: arguments}
    return {
        "type": "object",
        "properties": properties,
        "required": ["name", dialect.key],
        **CLOSED,
    }


@in_prompts
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_native_constrains_to_a_call_or_to_the_schema(
    dialect: Native, call_mode: str
) -> None:
    with ScriptedServer(dialect.reply(call_mode, JSON)) as server:
        tools = [WEATHER_TOOL, NOW_TOOL]
        await get_message(dialect.chat(server).bind_tools(tools, response_format=WANTED), call_mode)

    body = server.requests[0].body
    assert dialect.offered(body) == [WEATHER, NOW]
    sent = body["response_format"]["json_schema"]["schema"]
    [(text, definition)] = sent["$defs"].items()
    assert definition == {"type": "string"}
    properties = {"name": {"$ref": f"#/$defs/{text}"}, "age": {"type": "integer"}}
    assert sent["anyOf"] == [
        call_of(dialect, "get_weather", WEATHER["parameters"] | CLOSED),
        call_of(dialect, "now", {"type": "object", "properties": {}, **CLOSED}),
        {"type": "object", "properties": properties, "required": ["name"], **CLOSED},
    ]


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_call_is_a_call_and_the_answer_is_text(dialect: Dialect, call_mode: str) -> None:
    written = [JSON, ASKS_FOR_A_CALL]
    replies = [
        dialect.reply(call_mode, "", [PARIS]),
        *[dialect.reply(call_mode, text) for text in written],
    ]
    with ScriptedServer(*replies) as server:
        chat = dialect.chat(server).bind_tools([WEATHER_TOOL], response_format=WANTED)
        calling = with_ids_of(dialect, await get_message(chat, call_mode), [PARIS])
        answers = [await get_message(chat, call_mode) for _ in written]

    streamed = "stream" in call_mode
    made = [(PARIS, {"city": "Paris"})]
    assert fields_of(calling) == expected(dialect, "", made, streamed=streamed)
    assert [fields_of(answer) for answer in answers] == [
        expected(dialect, text, [], streamed=streamed) for text in written
    ]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_chat_completions_gets_both_as_they_are(call_mode: str) -> None:
    with ScriptedServer(CHAT.reply(call_mode, JSON)) as server:
        await get_message(
            CHAT.chat(server).bind_tools([WEATHER_TOOL], response_format=WANTED), call_mode
        )
    body = server.requests[0].body
    assert (body["tools"], body["tool_choice"]) == ([WEATHER_TOOL], "auto")
    assert body["response_format"] == WANTED


@in_prompts
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_text_is_unconstrained_with_tools(dialect: Native, call_mode: str) -> None:
    with ScriptedServer(dialect.reply(call_mode, "Hello!")) as server:
        chat = dialect.chat(server).bind_tools([WEATHER_TOOL], response_format={"type": "text"})
        await get_message(chat, call_mode)
    assert server.requests[0].body["response_format"] == {"type": "text"}


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("choice", ["any", "get_weather"])
@pytest.mark.parametrize("form", [WANTED, {"type": "json_object"}])
async def test_an_answer_cannot_be_a_call_and_another_format(
    dialect: Dialect, call_mode: str, choice: str, form: dict[str, Any]
) -> None:
    with ScriptedServer() as server:
        chat = dialect.chat(server).bind_tools(
            [WEATHER_TOOL], tool_choice=choice, response_format=form
        )
        with pytest.raises(VoxtralInvalidRequestError, match="cannot both hold") as caught:
            await get_message(chat, call_mode)
    assert (server.requests, caught.value.attempts) == ([], 0)
    assert choice in str(caught.value)


@in_prompts
@pytest.mark.parametrize("form", [{"type": "json_object"}, {"type": "regex", "regex": "[ab]"}])
async def test_formats_that_exclude_calls_cannot_be_combined_with_tools(
    dialect: Native, form: dict[str, Any]
) -> None:
    with ScriptedServer() as server:
        chat = dialect.chat(server).bind_tools([WEATHER_TOOL], response_format=form)
        with pytest.raises(VoxtralInvalidRequestError, match="json_schema"):
            await get_message(chat, "ainvoke")
    assert server.requests == []


@in_prompts
async def test_forbidden_tools_do_not_change_the_format(dialect: Native) -> None:
    with ScriptedServer(dialect.whole(JSON)) as server:
        chat = dialect.chat(server).bind_tools(
            [WEATHER_TOOL], tool_choice="none", response_format=WANTED
        )
        answer = await get_message(chat, "ainvoke")
    assert server.requests[0].body["response_format"] == WANTED
    assert answer.content == JSON

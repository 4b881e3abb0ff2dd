"""`tool_choice`: the request that forces or forbids a call."""

from typing import Any

import pytest
from support.call_modes import CALL_MODES
from support.scripted_server import ScriptedServer
from support.tool_calls import NOW, NOW_TOOL, PARIS, WEATHER, WEATHER_TOOL, get_message
from support.tool_dialects import CHAT, Dialect, Native, in_every_dialect, in_prompts

NOW_BY_NAME = {"type": "function", "function": {"name": "now"}}
MUST = ["any", "required", True]


async def body_of(
    dialect: Dialect, tools: list[Any], call_mode: str = "invoke", **bound: Any
) -> dict[str, Any]:
    with ScriptedServer(dialect.reply(call_mode, calls=[PARIS])) as server:
        await get_message(dialect.chat(server).bind_tools(tools, **bound), call_mode)
    [request] = server.requests
    body: dict[str, Any] = request.body
    return body


def call_of(dialect: Native, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The schema of a call: its name, and its arguments under the format's key."""
    return {
        "type": "object",
        "properties": {"name": {"const": name}, dialect.key: arguments},
        "required": ["name", dialect.key],
        "additionalProperties": False,
    }


def weather_call(dialect: Native) -> dict[str, Any]:
    return call_of(dialect, "get_weather", WEATHER["parameters"] | {"additionalProperties": False})


def now_call(dialect: Native) -> dict[str, Any]:
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    return call_of(dialect, "now", nothing)


def constraint(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "tool_call", "schema": schema}}


@in_prompts
@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("choice", MUST)
async def test_native_constrains_a_forced_answer_to_one_call_of_any_tool(
    dialect: Native, choice: Any, call_mode: str
) -> None:
    body = await body_of(dialect, [WEATHER_TOOL, NOW_TOOL], call_mode, tool_choice=choice)
    assert dialect.offered(body) == [WEATHER, NOW]
    assert body["response_format"] == constraint(
        {"anyOf": [weather_call(dialect), now_call(dialect)]}
    )
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


@in_prompts
@pytest.mark.parametrize("choice", ["now", NOW_BY_NAME])
async def test_native_describes_only_the_tool_that_must_be_called(
    dialect: Native, choice: Any
) -> None:
    body = await body_of(dialect, [WEATHER_TOOL, NOW_TOOL], tool_choice=choice)
    assert dialect.offered(body) == [NOW]
    assert body["response_format"] == constraint(now_call(dialect))


@in_prompts
@pytest.mark.parametrize("choice", ["none", False])
async def test_native_describes_no_tool_that_must_not_be_called(
    dialect: Native, choice: Any
) -> None:
    with ScriptedServer(dialect.whole("Hello!"), dialect.whole("Hello!")) as server:
        chat = dialect.chat(server)
        chat.bind_tools([WEATHER_TOOL], tool_choice=choice).invoke("Hello!")
        chat.invoke("Hello!")
    with_none, without = (request.body for request in server.requests)
    assert with_none == without


@in_prompts
async def test_native_reads_no_calls_where_no_tool_is_on_offer(dialect: Native) -> None:
    with ScriptedServer(dialect.whole("Hi", [PARIS])) as server:
        answer = dialect.chat(server).bind_tools([WEATHER_TOOL], tool_choice="none").invoke("Hi")
    assert answer.content == dialect.written("Hi", [PARIS])
    assert (answer.tool_calls, answer.invalid_tool_calls) == ([], [])


@in_prompts
@pytest.mark.parametrize("choice", [None, "auto"])
async def test_native_constrains_nothing_where_the_model_decides(
    dialect: Native, choice: Any
) -> None:
    body = await body_of(dialect, [WEATHER_TOOL], tool_choice=choice)
    assert dialect.offered(body) == [WEATHER]
    assert "response_format" not in body


@in_prompts
@pytest.mark.parametrize(
    ("several", "tools"), [(True, [WEATHER_TOOL]), (True, [WEATHER_TOOL, NOW_TOOL])]
)
async def test_native_allows_several_forced_calls_on_request(
    dialect: Native, several: bool, tools: list[Any]
) -> None:
    body = await body_of(dialect, tools, tool_choice="any", parallel_tool_calls=several)
    alternatives = [weather_call(dialect), now_call(dialect)][: len(tools)]
    one = alternatives[0] if len(tools) == 1 else {"anyOf": alternatives}
    assert body["response_format"] == constraint({"type": "array", "minItems": 1, "items": one})


@in_prompts
async def test_native_forces_one_call_where_several_are_refused(dialect: Native) -> None:
    body = await body_of(dialect, [NOW_TOOL], tool_choice="any", parallel_tool_calls=False)
    assert body["response_format"] == constraint(now_call(dialect))


@in_prompts
async def test_definitions_move_to_the_root_and_objects_of_the_user_are_closed(
    dialect: Native,
) -> None:
    place = {"type": "object", "properties": {"name": {"type": "string"}}}
    open_one = {"type": "object", "properties": {}, "additionalProperties": True}
    free = {"type": "object"}
    travel = {
        "name": "travel",
        "parameters": {
            "type": "object",
            "properties": {"to": {"$ref": "#/$defs/Place"}, "by": open_one, "with": free},
            "$defs": {"Place": place},
        },
    }
    other = travel | {"name": "return", "description": "Go back."}
    travel["description"] = "Go."
    body = await body_of(dialect, [travel, other], tool_choice="any")

    assert dialect.offered(body) == [travel, other]
    schema = body["response_format"]["json_schema"]["schema"]
    names = list(schema["$defs"])
    assert (len(names), list(schema)) == (2, ["anyOf", "$defs"])
    assert list(schema["$defs"].values()) == [place | {"additionalProperties": False}] * 2
    assert schema["anyOf"] == [
        call_of(
            dialect,
            name,
            {
                "type": "object",
                "properties": {
                    "to": {"$ref": f"#/$defs/{defined}"},
                    "by": open_one,
                    "with": free,
                },
                "additionalProperties": False,
            },
        )
        for name, defined in zip(("travel", "return"), names, strict=True)
    ]


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("none", "none"),
        (False, "none"),
        ("now", NOW_BY_NAME),
        (NOW_BY_NAME, NOW_BY_NAME),
    ],
)
async def test_chat_completions_receives_the_choice_and_all_the_tools(
    choice: Any, sent: Any, call_mode: str
) -> None:
    body = await body_of(CHAT, [WEATHER_TOOL, NOW_TOOL], call_mode, tool_choice=choice)
    assert (body["tools"], body["tool_choice"]) == ([WEATHER_TOOL, NOW_TOOL], sent)
    assert not body.keys() & {"response_format", "parallel_tool_calls"}


@pytest.mark.parametrize("several", [True, False])
async def test_chat_completions_receives_parallel_tool_calls(several: bool) -> None:
    body = await body_of(CHAT, [WEATHER_TOOL], parallel_tool_calls=several)
    assert body["parallel_tool_calls"] is several


@in_every_dialect
async def test_a_tool_choice_of_a_call_applies_to_that_call_only(dialect: Dialect) -> None:
    with ScriptedServer(*[dialect.whole("", [PARIS])] * 2) as server:
        bound = dialect.chat(server).bind_tools([WEATHER_TOOL])
        bound.invoke("Hello!", tool_choice="any")
        bound.invoke("Hello!")
    forced, free = (request.body for request in server.requests)
    names = {"tool_choice", "response_format"}
    assert {name: forced[name] for name in names & forced.keys()} == (
        {"tool_choice": "required"}
        if dialect is CHAT
        else {"response_format": constraint(weather_call(dialect))}  # type: ignore[arg-type]
    )
    assert {name: free[name] for name in names & free.keys()} == (
        {"tool_choice": "auto"} if dialect is CHAT else {}
    )

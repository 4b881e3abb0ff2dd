"""Servers that refuse to constrain an answer: the prompt asks for its format instead, once."""

import json
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel
from support.call_modes import CALL_MODES
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import json_reply
from support.tool_calls import (
    LYON,
    NOW_TOOL,
    PARIS,
    WEATHER,
    WEATHER_TOOL,
    chunks_of,
    get_message,
    with_ids_of,
)
from support.tool_dialects import (
    CHAT,
    LLAMA3,
    MODEL,
    USAGE,
    Dialect,
    Native,
    ScriptedCall,
    in_every_dialect,
    in_prompts,
)

from langchain_voxtral.errors import VoxtralUnsupportedFeatureError as Refusal


def refusal(feature: str = "json_schema response format", param: str = "response_format") -> Reply:
    error = {
        "message": f"{feature} is not supported for model: {MODEL}",
        "type": "invalid_request_error",
        "param": param,
        "code": None,
    }
    return json_reply({"error": error}, status=405)


REFUSED = refusal()
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "height": {"type": "number"}},
    "required": ["name", "height"],
}
WANTED = {"type": "json_schema", "json_schema": {"name": "Person", "schema": PERSON}}
GOOD, WRONG = '{"name": "Anna", "height": 1.68}', '{"name": "Anna", "height": "tall"}'


def forced(dialect: Dialect, server: ScriptedServer) -> Any:
    return dialect.chat(server).bind_tools([WEATHER_TOOL, NOW_TOOL], tool_choice="any")


def bodies(server: ScriptedServer) -> list[dict[str, Any]]:
    return [request.body for request in server.requests]


def words_of(dialect: Dialect, body: dict[str, Any]) -> str:
    """Return the text of a request as one string."""
    conversation = dialect.conversation(body)
    return (
        conversation
        if isinstance(conversation, str)
        else "\n".join(str(one["content"]) for one in conversation)
    )


@in_prompts
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_forced_call_is_requested_in_the_prompt(dialect: Native, call_mode: str) -> None:
    with ScriptedServer(REFUSED, dialect.whole("", [PARIS])) as server:
        answer = with_ids_of(
            dialect, await get_message(forced(dialect, server), call_mode), [PARIS]
        )

    first, second = bodies(server)
    assert first["response_format"]["type"] == "json_schema"
    assert second.keys() == first.keys() - {"response_format", "stream"}
    assert dialect.offered(second) == dialect.offered(first) == [WEATHER, NOW_TOOL["function"]]
    assert "must answer with a call of a function" in words_of(dialect, second)
    assert "must answer" not in words_of(dialect, first)
    assert [call["args"] for call in answer.tool_calls] == [{"city": "Paris"}]
    assert (answer.content, answer.usage_metadata) == ("", USAGE)
    assert answer.response_metadata == dialect.metadata([], streamed=False) | {
        "structured_output": "prompted"
    }


@in_prompts
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_prompted_answer_streams_like_any_other(dialect: Native, call_mode: str) -> None:
    with ScriptedServer(REFUSED, dialect.whole("Well.", [PARIS, LYON])) as server:
        chunks = await chunks_of(forced(dialect, server), call_mode)
    kinds = [(chunk.text, [part["args"] for part in chunk.tool_call_chunks]) for chunk in chunks]
    assert kinds == [
        ("Well.", []),
        ("", ['{"city": "Paris"}']),
        ("", ['{"city": "Lyon"}']),
        ("", []),
    ]
    assert [chunk.chunk_position for chunk in chunks] == [None, None, None, "last"]


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize(
    "written", [GOOD, f"```json\n{GOOD}\n```", f"\n```\n{GOOD}\n```\n"], ids=["", "json", "fence"]
)
async def test_json_of_a_schema_is_requested_in_the_prompt(
    dialect: Dialect, call_mode: str, written: str
) -> None:
    with ScriptedServer(REFUSED, dialect.whole(written)) as server:
        answer = await get_message(dialect.chat(server).bind(response_format=WANTED), call_mode)

    first, second = bodies(server)
    assert first["response_format"] == WANTED
    assert second.keys() == first.keys() - {"response_format", "stream", "stream_options"}
    assert json.dumps(PERSON) in words_of(dialect, second)
    assert (answer.content, answer.usage_metadata) == (GOOD, USAGE)
    assert answer.response_metadata == dialect.metadata([], streamed=False) | {
        "structured_output": "prompted"
    }


@in_every_dialect
@pytest.mark.parametrize("written", ['{"a": [1]}', WRONG, "Anna"])
async def test_the_prompted_answer_is_returned_as_it_is(dialect: Dialect, written: str) -> None:
    replies = [REFUSED, dialect.whole(written)]
    with ScriptedServer(*replies * len(CALL_MODES)) as server:
        chat = dialect.chat(server).bind(response_format={"type": "json_object"})
        answers = [await get_message(chat, call_mode) for call_mode in CALL_MODES]
    for answer in answers:
        assert (answer.content, answer.usage_metadata) == (written, USAGE)
        assert answer.response_metadata["structured_output"] == "prompted"


@in_prompts
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_prompted_answer_without_a_call_is_text(dialect: Native, call_mode: str) -> None:
    with ScriptedServer(REFUSED, dialect.whole("No.")) as server:
        answer = await get_message(forced(dialect, server), call_mode)
    assert (answer.content, answer.tool_calls, answer.invalid_tool_calls) == ("No.", [], [])
    assert len(server.requests) == 2


class Person(BaseModel):
    """A person."""

    name: str
    height: float


@in_prompts
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
async def test_objects_of_a_class_come_without_constraints(dialect: Native, method: Any) -> None:
    def reply(written: str) -> Reply:
        if method == "function_calling":
            return dialect.whole("", [ScriptedCall("Person", written)])
        return dialect.whole(written)

    with ScriptedServer(
        *[REFUSED, reply(GOOD)] * 2,
        *[REFUSED, reply(WRONG)],
    ) as server:
        chain: Any = dialect.chat(server).with_structured_output(Person, method=method)
        assert chain.invoke("Anna is 1.68 m.") == Person(name="Anna", height=1.68)
        assert list(chain.stream("Anna is 1.68 m."))[-1] == Person(name="Anna", height=1.68)
        with pytest.raises(OutputParserException, match="height"):
            await chain.ainvoke("Anna is 1.68 m.")
    assert len(server.requests) == 6


@in_prompts
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_tools_with_a_schema_may_be_called_or_it_is_answered(
    dialect: Native, call_mode: str
) -> None:
    replies = [REFUSED, dialect.whole("", [PARIS]), REFUSED, dialect.whole(GOOD)]
    with ScriptedServer(*replies) as server:
        chat = dialect.chat(server).bind_tools([WEATHER_TOOL], response_format=WANTED)
        calling, answering = await get_message(chat, call_mode), await get_message(chat, call_mode)
    with_ids_of(dialect, calling, [PARIS])
    assert [call["args"] for call in calling.tool_calls] == [{"city": "Paris"}]
    assert (answering.content, answering.tool_calls) == (GOOD, [])
    metadata = [one.response_metadata["structured_output"] for one in (calling, answering)]
    assert metadata == ["prompted"] * 2
    second = words_of(dialect, bodies(server)[1])
    assert json.dumps(PERSON) in second
    assert dialect.offered(bodies(server)[1]) == [WEATHER]


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_formats_that_cannot_be_prompted_raise_the_refusal(
    dialect: Dialect, call_mode: str
) -> None:
    with ScriptedServer(refusal("regex response format")) as server:
        chat = dialect.chat(server).bind(response_format={"type": "regex", "regex": "[ab]+"})
        with pytest.raises(Refusal, match="regex response format") as caught:
            await get_message(chat, call_mode)
    assert (caught.value.status_code, len(server.requests)) == (405, 1)


@in_every_dialect
@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_several_answers_are_not_prompted(dialect: Dialect, call_mode: str) -> None:
    with ScriptedServer(REFUSED) as server:
        chat = dialect.chat(server, n=2).bind(response_format=WANTED)
        with pytest.raises(Refusal, match="not supported"):
            await get_message(chat, call_mode)
    assert len(server.requests) == 1


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("choice", ["auto", "any"])
async def test_chat_completions_without_tools_advises_the_native_endpoint(
    call_mode: str, choice: str
) -> None:
    with ScriptedServer(refusal("tools", "tools")) as server:
        chat = CHAT.chat(server).bind_tools([WEATHER_TOOL], tool_choice=choice)
        with pytest.raises(Refusal, match="api='native'") as caught:
            await get_message(chat, call_mode)
    assert (caught.value.status_code, len(server.requests)) == (405, 1)


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_refusal_with_server_side_tools_is_an_error(call_mode: str) -> None:
    """The refusal may be about the tools, which a prompt cannot replace."""
    with ScriptedServer(REFUSED, CHAT.whole(GOOD)) as server:
        chat = CHAT.chat(server).bind_tools([WEATHER_TOOL], response_format=WANTED)
        with pytest.raises(Refusal, match="response_format"):
            await get_message(chat, call_mode)
    assert len(server.requests) == 1


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_refusal_of_a_plain_request_is_an_error(dialect: Dialect, call_mode: str) -> None:
    with ScriptedServer(refusal("This", "")) as server, pytest.raises(Refusal):
        await get_message(dialect.chat(server), call_mode)
    assert len(server.requests) == 1


async def test_a_second_refusal_is_an_error() -> None:
    with ScriptedServer(REFUSED, REFUSED) as server, pytest.raises(Refusal):
        await get_message(forced(LLAMA3, server), "ainvoke")
    assert len(server.requests) == 2

"""Code fences around answers that are JSON: taken off by every method, whole and streamed."""

import json
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from pydantic import BaseModel
from support.call_modes import CALL_MODES
from support.scripted_models import ScriptedChat, StreamingChat, text_chunks
from support.scripted_server import ScriptedServer
from support.tool_calls import get_message
from support.tool_dialects import CHAT, LLAMA3, Dialect, in_every_dialect

from langchain_voxtral import VoxtralLLM
from langchain_voxtral.structured_output import Method, bind_schema
from langchain_voxtral.tools.fenced_json import JsonFenceFilter, strip_json_fence

METHODS: list[Method] = ["function_calling", "json_schema", "json_mode"]
by_each_method = pytest.mark.parametrize("method", METHODS)


class Note(BaseModel):
    """A note."""

    text: str
    page: int = 0


VALUES = {"text": "```\ncode\n```"}
JSON = json.dumps(VALUES)
NOTE = Note(text="```\ncode\n```")
FENCED = {
    "json": f"```json\n{JSON}\n```",
    "without a language": f"```\n{JSON}\n```",
    "upper case": f"```JSON\n{JSON}\n```",
    "another language": f"``` js title='x'\n{JSON}\n```",
    "tildes": f"~~~\n{JSON}\n~~~",
    "four backticks": f"````json\n{JSON}\n````",
    "a longer end": f"```json\n{JSON}\n`````",
    "carriage returns": f"```json\r\n{JSON}\r\n```\r\n",
    "white space around": f"\n  ```json\n\n{JSON}\n\n```  \n\n",
    "an end on the line": f"```json\n{JSON}```",
    "one line": f"```json {JSON} ```",
    "no end": f"```json\n{JSON}\n",
    "a byte order mark": f"\ufeff```json\n{JSON}\n```",
    "a byte order mark alone": f"\ufeff{JSON}",
}
NOT_FENCED = {
    "JSON": f" {JSON}\n",
    "text": "Well.",
    "text before": f"Here:\n```json\n{JSON}\n```",
    "other text in it": "```\nWell.\n```",
    "two backticks": f"``{JSON}``",
    "nothing in it": "```json\n",
    "nothing": "",
}


@pytest.mark.parametrize("text", FENCED.values(), ids=FENCED)
def test_the_fence_around_a_whole_text_is_taken_off(text: str) -> None:
    assert strip_json_fence(text).rstrip() == JSON


@pytest.mark.parametrize("text", NOT_FENCED.values(), ids=NOT_FENCED)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert strip_json_fence(text) == text


def test_a_text_that_goes_on_behind_the_fence_stays_as_it_is() -> None:
    text = f"```json\n{JSON}\n```\nThat is all."
    assert strip_json_fence(text) == text


@pytest.mark.parametrize(
    "text", [*FENCED.values(), *NOT_FENCED.values()], ids=[*FENCED, *NOT_FENCED]
)
@pytest.mark.parametrize("size", [1, 5])
def test_a_fence_is_taken_off_a_stream_however_it_is_split(text: str, size: int) -> None:
    fence_filter = JsonFenceFilter()
    parts = [fence_filter.feed(text[at : at + size]) for at in range(0, len(text), size)]
    streamed = "".join(parts) + fence_filter.finish()
    whole = strip_json_fence(text)
    assert streamed == whole or (text == FENCED["no end"] and streamed.rstrip() == whole)


def test_fenced_json_streams_as_it_comes() -> None:
    fence_filter = JsonFenceFilter()
    parts = ["```js", 'on\n{"a"', ": 1", "}\n``", "`"]
    assert [fence_filter.feed(part) for part in parts] == ["", '{"a"', ": 1", "}", ""]
    assert fence_filter.finish() == ""


@pytest.mark.parametrize("kind", ["json", "tildes", "one line", "no end", "a byte order mark"])
@by_each_method
async def test_every_method_reads_a_fenced_answer(kind: str, method: Method) -> None:
    text = FENCED[kind]
    whole = bind_schema(ScriptedChat(answer=[AIMessage(text)]), Note, method=method)
    streaming = StreamingChat(answer=text_chunks(text[:9], text[9:-4], text[-4:]))
    chain = bind_schema(streaming, Note, method=method)
    with_raw = bind_schema(streaming, Note, method=method, include_raw=True)
    assert [whole.invoke("?"), await whole.ainvoke("?")] == [NOTE] * 2
    assert list(chain.stream("?"))[-1] == NOTE
    assert [part async for part in chain.astream("?")][-1] == NOTE
    assert list(with_raw.stream("?"))[-1] == {"parsed": NOTE, "parsing_error": None}


@in_every_dialect
@pytest.mark.parametrize(
    "written",
    [
        JSON,
        f"```json\n{JSON}\n```",
        f'```json\n{{"name": "Note", "parameters": {JSON}}}\n```',
        f'~~~ {{"name": "Note", "arguments": {JSON}}}',
    ],
    ids=["arguments", "fenced arguments", "a fenced call", "a call on the line of the fence"],
)
async def test_a_call_that_is_written_as_text_is_read(dialect: Dialect, written: str) -> None:
    replies = [dialect.reply(call_mode, written) for call_mode in ("invoke", "astream")]
    with ScriptedServer(*replies) as server:
        chain = dialect.chat(server).with_structured_output(Note)
        assert chain.invoke("?") == NOTE
        assert [part async for part in chain.astream("?")][-1] == NOTE


class Person(BaseModel):
    """A person."""

    name: str
    id: str = ""


@in_every_dialect
@pytest.mark.parametrize("written", ['{"name": "Anna"}', '{"id": "7", "name": "Anna"}'])
async def test_arguments_that_look_like_a_call_are_arguments(
    dialect: Dialect, written: str
) -> None:
    person = Person.model_validate_json(written)
    replies = [dialect.reply(call_mode, written) for call_mode in ("invoke", "astream")]
    with ScriptedServer(*replies) as server:
        chain = dialect.chat(server).with_structured_output(Person)
        assert chain.invoke("?") == person
        assert [part async for part in chain.astream("?")][-1] == person


@pytest.mark.parametrize(
    "written",
    ['{"text": "x", "title": "y"}', '{"page": 3}', "{}", '{"name": "Page", "parameters": {}}'],
)
async def test_json_that_is_not_recognized_is_no_call(written: str) -> None:
    chain = bind_schema(ScriptedChat(answer=[AIMessage(written)]), Note)
    with pytest.raises(OutputParserException, match="no tool was called; the answer is"):
        await chain.ainvoke("?")


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_text_of_an_answer_in_json_has_no_fence(dialect: Dialect, call_mode: str) -> None:
    form = {"type": "json_object"}
    with ScriptedServer(dialect.reply(call_mode, FENCED["json"])) as server:
        answer = await get_message(dialect.chat(server).bind(response_format=form), call_mode)
    assert answer.content == JSON


@pytest.mark.parametrize("dialect", [LLAMA3, CHAT], ids=["native", "chat_completions"])
@pytest.mark.parametrize("call_mode", ["invoke", "stream"])
async def test_the_text_of_any_other_answer_keeps_its_fence(
    dialect: Dialect, call_mode: str
) -> None:
    with ScriptedServer(dialect.reply(call_mode, FENCED["json"])) as server:
        answer = await get_message(dialect.chat(server), call_mode)
    assert answer.content == FENCED["json"]


def test_an_llm_takes_the_fence_off_json_too() -> None:
    replies: list[Any] = [LLAMA3.whole(FENCED["json"]), LLAMA3.streamed(FENCED["json"])]
    with ScriptedServer(*replies) as server:
        llm = VoxtralLLM(base_url=server.url, response_format={"type": "json_object"})
        assert llm.invoke("?") == JSON
        assert "".join(llm.stream("?")) == JSON

"""What a server marks as a refusal is one for LangChain, as ChatOpenAI's is."""

from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core import exceptions
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.content import KNOWN_BLOCK_TYPES
from pydantic import BaseModel
from support.call_modes import CALL_MODES
from support.refusals import REFUSAL, refused
from support.scripted_server import ScriptedServer
from support.sse_replies import json_reply

from langchain_voxtral import ChatVoxtral

BLOCK = {"type": "refusal", "refusal": REFUSAL}
STREAMS = {"stream", "astream"}
KNOWS_REFUSALS = "refusal" in KNOWN_BLOCK_TYPES
knows_refusals = pytest.mark.skipif(
    not KNOWS_REFUSALS, reason="this langchain-core has no block for refusals"
)
ERROR: type[Exception] = getattr(exceptions, "ModelRefusalError", exceptions.OutputParserException)


class Person(BaseModel):
    """A person."""

    name: str


def chat_at(server: ScriptedServer, **fields: Any) -> ChatVoxtral:
    return ChatVoxtral(server="vllm", base_url=server.url, max_retries=0, **fields)


async def answer_of(chat: Any, call_mode: str) -> Any:
    match call_mode:
        case "invoke":
            return chat.invoke("Hello!")
        case "ainvoke":
            return await chat.ainvoke("Hello!")
        case "stream":
            return reduce(add, chat.stream("Hello!"))
    return reduce(add, [chunk async for chunk in chat.astream("Hello!")])


@pytest.mark.parametrize("text", ["", "Well."])
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_refusal_is_a_block_and_no_text(call_mode: str, text: str) -> None:
    with ScriptedServer(refused(is_streamed=call_mode in STREAMS, text=text)) as server:
        answer = await answer_of(chat_at(server), call_mode)
    assert isinstance(answer, AIMessage)
    assert answer.text == text
    assert answer.additional_kwargs == {"refusal": REFUSAL}
    assert [one for one in answer.content if one not in (text, {"type": "text", "text": text})] == [
        BLOCK
    ]
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 6


@knows_refusals
@pytest.mark.parametrize("output_version", ["v0", "v1"])
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_standard_content_has_the_block(call_mode: str, output_version: str) -> None:
    with ScriptedServer(refused(is_streamed=call_mode in STREAMS, text="Well.")) as server:
        answer = await answer_of(chat_at(server, output_version=output_version), call_mode)
    blocks = [{**block, "index": None} for block in answer.content_blocks]
    assert blocks == [{"type": "text", "text": "Well.", "index": None}, {**BLOCK, "index": None}]


def test_a_conversation_goes_on_after_a_refusal() -> None:
    with ScriptedServer(refused(is_streamed=False), refused(is_streamed=False)) as server:
        chat = chat_at(server)
        chat.invoke([HumanMessage("Hello!"), chat.invoke("Hello!"), HumanMessage("Please!")])
    assert server.requests[1].body["messages"][1] == {"role": "assistant", "content": REFUSAL}


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_structured_output_raises_the_refusal(call_mode: str, method: Any) -> None:
    with ScriptedServer(refused(is_streamed=call_mode in STREAMS)) as server:
        chain = chat_at(server).with_structured_output(Person, method=method)
        with pytest.raises(ERROR, match=REFUSAL):
            await answer_of(chain, call_mode)


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_with_include_raw_the_refusal_is_the_parsing_error(call_mode: str) -> None:
    with ScriptedServer(refused(is_streamed=call_mode in STREAMS)) as server:
        chain = chat_at(server).with_structured_output(Person, include_raw=True)
        result = await answer_of(chain, call_mode)
    assert isinstance(result["parsing_error"], ERROR)
    assert (result["parsed"], result["raw"].additional_kwargs["refusal"]) == (None, REFUSAL)


@knows_refusals
@pytest.mark.parametrize("call_mode", ["invoke", "stream"])
def test_the_middleware_of_langchain_sees_it(call_mode: str) -> None:
    agents = pytest.importorskip("langchain.agents", reason="the floor has no langchain")
    middleware: Any = pytest.importorskip("langchain.agents.middleware")
    is_streamed = call_mode == "stream"
    with ScriptedServer(refused(is_streamed=is_streamed)) as server:
        model = chat_at(server, streaming=is_streamed)
        agent = agents.create_agent(
            model, tools=[], middleware=[middleware.ModelRefusalMiddleware()]
        )
        with pytest.raises(ERROR, match=REFUSAL):
            agent.invoke({"messages": [HumanMessage("Hello!")]})


def test_a_filtered_answer_keeps_its_finish_reason() -> None:
    choice = {"message": {"content": ""}, "finish_reason": "content_filter"}
    with ScriptedServer(json_reply({"choices": [choice]})) as server:
        answer = chat_at(server).invoke("Hello!")
    assert answer.response_metadata["finish_reason"] == "content_filter"
    assert answer.additional_kwargs == {}

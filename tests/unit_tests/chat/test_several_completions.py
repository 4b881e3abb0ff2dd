"""`ChatVoxtral`: several completions of one prompt, and log probabilities."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from support.call_modes import CALL_MODES, ask, sum_of
from support.documented_exchanges import (
    FINAL_EVENT,
    HELLO_ANSWER,
    HELLO_TEXT,
    METADATA,
    STREAM_METADATA,
    USAGE,
    Server,
    answering,
    streaming,
    token_event,
)

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import (
    VoxtralInvalidRequestError,
    VoxtralResponseError,
)

MakeChat = Callable[..., ChatVoxtral]


@pytest.mark.parametrize("call_mode", ["generate", "agenerate"])
async def test_n_gives_several_generations_and_the_usage_of_all_on_the_first(
    chat: ChatVoxtral, server: Server, call_mode: str
) -> None:
    prompt: list[list[BaseMessage]] = [[HumanMessage("Hello!")]]
    if call_mode == "generate":
        result = chat.generate(prompt, n=3)
    else:
        result = await chat.agenerate(prompt, n=3)
    assert server.body["num_responses"] == 3
    (generations,) = result.generations
    messages = [g.message for g in generations if isinstance(g, ChatGeneration)]
    unpriced = {name: value for name, value in METADATA.items() if name != "cost"}
    assert messages == [
        AIMessage(HELLO_TEXT, usage_metadata=USAGE, response_metadata=METADATA, id=messages[0].id),
        AIMessage("Answer 2", response_metadata=unpriced, id=messages[1].id),
        AIMessage("Answer 3", response_metadata=unpriced, id=messages[2].id),
    ]


def test_n_of_one_is_not_sent_and_may_stream(make_chat: MakeChat, server: Server) -> None:
    assert sum_of(list(make_chat(n=1).stream("Hello!"))).content == "Hello! It's"
    assert "num_responses" not in server.body


@pytest.mark.parametrize(
    ("call_mode", "options"),
    [
        ("stream", {"n": 2}),
        ("astream", {"n": 2}),
        ("invoke", {"n": 2, "logprobs": True}),
        ("ainvoke", {"n": 2, "logprobs": True}),
    ],
)
async def test_n_with_a_stream_is_an_error_and_nothing_is_sent(
    chat: ChatVoxtral, server: Server, call_mode: str, options: dict[str, Any]
) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="n=2 cannot be streamed"):
        await ask(chat, call_mode, "Hello!", **options)
    assert server.requests == []


def test_fewer_answers_than_requested_are_an_error(chat: ChatVoxtral, server: Server) -> None:
    server.answer = lambda _: answering(HELLO_ANSWER)
    with pytest.raises(VoxtralResponseError, match="2 responses were asked for and 1 came"):
        chat.invoke("Hello!", n=2)


LOGPROBS: list[dict[str, Any]] = [
    {"token": "He", "id": 29892, "logprob": -0.5},
    {"token": "y", "id": 29, "logprob": -1.25},
]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_logprobs_are_the_tokens_with_their_probabilities(
    chat: ChatVoxtral, server: Server, call_mode: str
) -> None:
    events = [token_event(p["token"], token_id=p["id"], logprob=p["logprob"]) for p in LOGPROBS]
    server.answer = lambda _: streaming(*events, FINAL_EVENT)
    if call_mode == "invoke":
        answer = chat.invoke("Hello!", logprobs=True)
    elif call_mode == "ainvoke":
        answer = await chat.ainvoke("Hello!", logprobs=True)
    elif call_mode == "stream":
        answer = sum_of(list(chat.stream("Hello!", logprobs=True)))
    else:
        answer = sum_of([chunk async for chunk in chat.astream("Hello!", logprobs=True)])
    assert server.body["stream"] is True
    assert answer.text == "Hey"
    assert answer.response_metadata == STREAM_METADATA | {"logprobs": {"content": LOGPROBS}}

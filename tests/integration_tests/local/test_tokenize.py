"""Tokens by the embedded engine: its route, and what models tell that are connected to it."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from support.speech_samples import silence, wav_bytes

from langchain_voxtral import ChatVoxtral, VoxtralLLM, audio_block
from langchain_voxtral.local import LocalVoxtral

MODEL = "mistralai/Voxtral-Mini-3B-2507"
HELLO = [19556, 17]
END = 2  # <|im_end|>


@pytest.mark.usefixtures("local_server")
@pytest.mark.parametrize("make", [ChatVoxtral, VoxtralLLM])
def test_the_tokens_of_a_text_are_those_of_the_engines_model(
    make: Callable[..., ChatVoxtral | VoxtralLLM],
) -> None:
    model = make(base_url="local")
    assert model.get_token_ids("Hello!") == HELLO
    assert END not in model.get_token_ids("Hello!<|im_end|>")
    assert model.get_num_tokens("") == 0
    counting = make(base_url="local", custom_get_token_ids=lambda text: [*text.encode()])
    assert counting.get_num_tokens("abc") == 3


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return city


CALL: dict[str, Any] = {"name": "get_weather", "args": {"city": "Paris"}, "id": "abcdef123"}
WEATHER = HumanMessage("What is the weather in Paris?")
CALLED: list[BaseMessage] = [
    WEATHER,
    AIMessage("", tool_calls=[CALL]),
    ToolMessage("22 degrees", tool_call_id="abcdef123"),
]


@pytest.mark.usefixtures("local_server")
@pytest.mark.parametrize("api", ["native", "chat_completions"])
@pytest.mark.parametrize(
    ("messages", "tools"),
    [
        ([SystemMessage("Be brief."), HumanMessage("What is [INST] </s> <|im_end|>?")], []),
        ([WEATHER], [get_weather]),
        (CALLED, [get_weather]),
    ],
    ids=["special tokens", "a tool", "a result"],
)
def test_messages_have_the_tokens_that_a_call_reports(
    api: Any, messages: list[BaseMessage], tools: list[Any]
) -> None:
    chat = ChatVoxtral(base_url="local", api=api, max_tokens=1)
    answer = chat.bind_tools(tools).invoke(messages) if tools else chat.invoke(messages)
    assert answer.usage_metadata is not None
    count = chat.get_num_tokens_from_messages(messages, tools)
    assert count == answer.usage_metadata["input_tokens"]


@pytest.mark.usefixtures("local_server")
def test_any_part_of_a_conversation_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    count = ChatVoxtral(base_url="local").get_num_tokens_from_messages
    assert count([]) == 0
    count([WEATHER])  # the first request starts the engine, which is logged
    caplog.clear()
    assert count(CALLED[::-1]) > count([WEATHER])
    said = CALLED[2].content
    assert count([CALLED[2]]) == count([HumanMessage(said)])
    assert count([CALLED[1]]) == count([AIMessage("")])
    second = audio_block(wav_bytes(silence(1)))
    assert count([HumanMessage([second, "Well?"])]) == count([HumanMessage("Well?")]) + 376
    assert caplog.messages == []


@pytest.mark.usefixtures("local_server")
def test_a_conversation_is_trimmed_by_the_engines_tokens() -> None:
    chat = ChatVoxtral(base_url="local")
    conversation = [
        SystemMessage("Be brief."),
        *(HumanMessage("word " * 100), AIMessage("Yes.")),
        *(HumanMessage("word " * 100), AIMessage("No.")),
        HumanMessage("Thanks."),
    ]
    kept = trim_messages(
        conversation, max_tokens=200, token_counter=chat, start_on="human", include_system=True
    )
    assert kept == [conversation[0], *conversation[3:]]
    count = chat.get_num_tokens_from_messages
    assert count(kept) <= 200 < count(conversation)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"prompt": "Hello!"}, HELLO),
        ({"model": MODEL, "prompt": "Hello!<|im_end|>"}, [*HELLO, END]),
        ({"prompt": "", "add_special_tokens": False}, []),
    ],
)
def test_the_route_answers_as_vllm_does(
    http: httpx.Client, local_server: LocalVoxtral, body: dict[str, Any], tokens: list[int]
) -> None:
    answer = http.post("tokenize", json=body)
    assert answer.json() == {"count": len(tokens), "max_model_len": 4096, "tokens": tokens}


@pytest.mark.parametrize(
    ("body", "status", "location"),
    [
        ({}, 422, ["body", "prompt"]),
        ([], 422, ["body"]),
        ({"prompt": 5}, 422, ["body", "prompt"]),
        ({"prompt": "a", "echo": True}, 422, ["body", "echo"]),
        ({"input": ""}, 422, ["body", "input"]),
        ({"messages": []}, 422, ["body", "model"]),
        ({"model": MODEL, "messages": []}, 422, ["body", "messages"]),
    ],
)
def test_the_route_refuses_what_it_does_not_know(
    http: httpx.Client, body: Any, status: int, location: list[str]
) -> None:
    answer = http.post("tokenize", json=body)
    assert answer.status_code == status
    assert answer.json()["detail"][0]["loc"] == location


def test_the_route_needs_the_key_and_knows_its_models(
    http: httpx.Client, local_server: LocalVoxtral
) -> None:
    unknown = http.post("tokenize", json={"model": "another", "prompt": "a"})
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Model not found"})
    headers = {"Authorization": "Bearer wrong"}
    assert http.post("tokenize", json={"prompt": "a"}, headers=headers).status_code == 401

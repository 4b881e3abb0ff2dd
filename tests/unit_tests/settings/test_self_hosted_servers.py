"""Chats with self-hosted servers, which are as strict as the real ones."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from support.call_modes import sum_of
from support.documented_exchanges import KEY, Server, streaming
from support.strict_servers import SERVERS, strict

from langchain_voxtral import ChatVoxtral, VoxtralLLM

Make = Callable[..., ChatVoxtral]

SETTINGS = {"temperature": 0.2, "top_p": 0.95}


@pytest.mark.parametrize("name", ["vllm", "llama_cpp"])
def test_text_uses_chat_completions_without_a_native_endpoint(
    make_chat: Make, server: Server, name: str
) -> None:
    server.answer = strict(name)
    chat = make_chat(**SERVERS[name], model="/models/voxtral.gguf")
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("Hello!")])
    assert server.body == {
        "model": "/models/voxtral.gguf",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello!"},
        ],
        **SETTINGS,
    }
    assert str(server.request.url) == f"{SERVERS[name]['base_url']}/chat/completions"
    assert answer.response_metadata["model_provider"] == name
    assert chat._get_ls_params()["ls_provider"] == name


@pytest.mark.parametrize("name", ["vllm", "llama_cpp"])
@pytest.mark.parametrize(
    "base_url",
    [
        None,
        "local",
        "https://api.deepinfra.com/v1",
        "http://127.0.0.1:8000",
        "http://127.0.0.1:8000/v1/openai",
    ],
)
def test_a_self_hosted_server_needs_its_address(name: str, base_url: str | None) -> None:
    given = {} if base_url is None else {"base_url": base_url}
    with pytest.raises(ValueError, match=f"server='{name}' needs the address of your server"):
        ChatVoxtral(server=name, **given)  # type: ignore[arg-type]  # a parameter


def test_only_deepinfras_address_is_cut_before_openai() -> None:
    chat = ChatVoxtral(server="vllm", base_url=" http://127.0.0.1/openai/v1/ ")
    assert chat.base_url == "http://127.0.0.1/openai/v1"
    assert ChatVoxtral(base_url="http://127.0.0.1/v1/openai").base_url == "http://127.0.0.1/v1"


@pytest.mark.parametrize("name", ["vllm", "llama_cpp"])
def test_native_is_refused_if_the_server_has_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"server='{name}' has no native endpoint"):
        ChatVoxtral(**SERVERS[name], api="native")
    with pytest.raises(ValueError, match=f"server='{name}' takes messages, and an LLM sends a raw"):
        VoxtralLLM(**SERVERS[name])


def test_a_key_of_deepinfras_does_not_go_to_another_server(
    make_chat: Make, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)
    server.answer = strict("vllm")
    make_chat(**SERVERS["vllm"], api_key=None).invoke("Hello!")
    assert "authorization" not in server.request.headers


@pytest.mark.parametrize("name", ["vllm", "llama_cpp"])
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_requests_usage_which_arrives_last_and_alone(
    make_chat: Make, server: Server, name: str, call_mode: str
) -> None:
    judge = strict(name)
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    events = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]},
        {"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)

    def answer(request: httpx.Request) -> httpx.Response:
        judged = judge(request)
        return streaming(body + b"data: [DONE]\n\n") if judged.is_success else judged

    server.answer = answer
    chat = make_chat(**SERVERS[name])
    if call_mode == "stream":
        message = sum_of(list(chat.stream("Hello!")))
    else:
        message = sum_of([chunk async for chunk in chat.astream("Hello!")])
    assert server.body["stream_options"] == {"include_usage": True}
    assert message.text == "Hi."
    assert message.usage_metadata == {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}


@pytest.mark.parametrize("stream_usage", [None, True, False])
@pytest.mark.parametrize("place", ["constructor", "call"])
def test_stream_usage_is_whether_a_stream_asks_for_usage(
    make_chat: Callable[..., ChatVoxtral], server: Server, place: str, stream_usage: bool | None
) -> None:
    at: dict[str, dict[str, Any]] = {place: {"stream_usage": stream_usage}}
    chat = make_chat(**SERVERS["vllm"], **at.get("constructor", {}))
    server.answer = lambda _: streaming(
        b'data: {"choices": [{"index": 0, "delta": {"content": "Hi."}}]}\n\n'
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
        b"data: [DONE]\n\n"
    )
    answer = sum_of(list(chat.stream("Hello!", **at.get("call", {}))))
    assert (answer.text, answer.usage_metadata) == ("Hi.", None)
    asked = None if stream_usage is False else {"include_usage": True}
    assert server.body.get("stream_options") == asked


@pytest.mark.parametrize(
    ("name", "penalty"),
    [
        ("deepinfra", "repetition_penalty"),
        ("vllm", "repetition_penalty"),
        ("llama_cpp", "repeat_penalty"),
    ],
)
def test_a_setting_has_the_servers_name(
    make_chat: Make, server: Server, name: str, penalty: str
) -> None:
    server.answer = strict(name)
    make_chat(**SERVERS[name], api="chat_completions", repetition_penalty=1.1).invoke("Hello!")
    assert {key: server.body[key] for key in server.body if "penalty" in key} == {penalty: 1.1}


def weather(city: str) -> str:
    """Tell the weather."""
    return city


def now() -> str:
    """Tell the time."""
    return ""


@pytest.mark.parametrize("name", SERVERS)
def test_a_forced_tool_is_requested_in_the_servers_form(
    make_chat: Make, server: Server, name: str
) -> None:
    """llama.cpp ignores a choice that is an object."""
    server.answer = strict(name)
    chat = make_chat(**SERVERS[name], api="chat_completions")
    chat.bind_tools([weather, now], tool_choice="now").invoke("Now?")
    offered = [tool["function"]["name"] for tool in server.body["tools"]]
    message = (offered, server.body["tool_choice"])
    by_name = {"type": "function", "function": {"name": "now"}}
    assert (
        message
        == {
            "deepinfra": (["weather", "now"], by_name),
            "mistral": (["weather", "now"], by_name),
            "openrouter": (["weather", "now"], by_name),
            "vllm": (["weather", "now"], by_name),
            "llama_cpp": (["now"], "required"),
        }[name]
    )

"""Mistral's API and OpenRouter: addresses, keys, models and fields; strict servers judge."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, SecretStr, ValidationError
from support.call_modes import CALL_MODES, ask, sum_of
from support.documented_exchanges import KEY, Server, streaming
from support.strict_servers import strict

from langchain_voxtral import ChatVoxtral, VoxtralLLM, VoxtralTranscriptionParser
from langchain_voxtral.errors import VoxtralAuthenticationError, VoxtralUnsupportedFeatureError

Make = Callable[..., ChatVoxtral]

HOSTS = {
    "mistral": {
        "url": "https://api.mistral.ai/v1",
        "variable": "MISTRAL_API_KEY",
        "chat": "voxtral-small-2507",
        "speech": "voxtral-mini-transcribe-3-0",
        "words": "voxtral-mini-2602",
    },
    "openrouter": {
        "url": "https://openrouter.ai/api/v1",
        "variable": "OPENROUTER_API_KEY",
        "chat": "mistralai/voxtral-small-24b-2507",
        "speech": "mistralai/voxtral-mini-transcribe-3-0",
    },
}
on_each_host = pytest.mark.parametrize("name", HOSTS)


def chat_at(name: Any, server: Server, **settings: Any) -> ChatVoxtral:
    return ChatVoxtral(server=name, max_retries=0, **server.settings, **settings)


# Addresses and models


@on_each_host
def test_the_name_of_a_server_is_enough(name: Any) -> None:
    host = HOSTS[name]
    chat, parser = ChatVoxtral(server=name), VoxtralTranscriptionParser(server=name)
    assert (chat.base_url, chat.model) == (host["url"], host["chat"])
    assert (parser.base_url, parser.model) == (host["url"], host["speech"])
    by_chat = VoxtralTranscriptionParser(server=name, endpoint="chat")
    assert by_chat.model == host["chat"]
    given = ChatVoxtral(server=name, model="own", base_url=f" {host['url']}/ ")
    assert (given.base_url, given.model) == (host["url"], "own")


def test_times_of_words_choose_a_model_that_has_them() -> None:
    words: list[dict[str, Any]] = [{"mode": "word"}, {"timestamps": "word"}]
    for settings in words:
        assert VoxtralTranscriptionParser(server="mistral", **settings).model == "voxtral-mini-2602"
    with pytest.raises(ValidationError) as caught:
        VoxtralTranscriptionParser(
            server="mistral", model="voxtral-small-transcribe-3-0", mode="word"
        )
    assert (
        "server='mistral' with model='voxtral-small-transcribe-3-0' does not return times of words"
    ) in str(caught.value)
    assert "'deepinfra', 'mistral' (model='voxtral-mini-2602')." in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"server": "mistral", "base_url": "local"}, "is the embedded engine: leave server= out"),
        ({"server": "local"}, "'local' is an address: pass base_url='local'"),
        (
            {"server": "mistral", "base_url": "https://api.mistral.ai"},
            "like base_url='https://api.mistral.ai/v1'",
        ),
        (
            {"server": "mistral", "base_url": "https://openrouter.ai/api/v1"},
            "'https://openrouter.ai/api/v1' is OpenRouter's: pass server='openrouter'",
        ),
        (
            {"server": "openrouter", "base_url": "https://api.deepinfra.com/v1"},
            "is DeepInfra's: pass server='deepinfra'",
        ),
        ({"base_url": "https://api.mistral.ai/v1"}, "is Mistral's: pass server='mistral'"),
        ({"server": "openrouter", "base_url": "nonsense"}, "give one like 'https://openrouter.ai"),
    ],
)
def test_an_address_of_another_server_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatVoxtral(**settings)
    assert problem in str(caught.value)


def test_the_environments_address_counts_for_every_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRAL_BASE_URL", "https://gateway.example.org/mistral/v1")
    assert ChatVoxtral(server="mistral").base_url == "https://gateway.example.org/mistral/v1"
    for address in ("local", "https://api.deepinfra.com/v1"):
        monkeypatch.setenv("VOXTRAL_BASE_URL", address)
        with pytest.raises(ValidationError, match=r"\(given by VOXTRAL_BASE_URL\)"):
            ChatVoxtral(server="mistral")


# Keys


@on_each_host
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_without_a_key_the_first_call_names_the_variable(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: Any, call_mode: str
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)
    monkeypatch.setenv("VOXTRAL_API_KEY", KEY)
    pages = {
        "mistral": "Mistral needs a key. Set the environment variable MISTRAL_API_KEY, or give "
        "api_key=...; keys come from https://console.mistral.ai/api-keys.",
        "openrouter": "OpenRouter needs a key. Set the environment variable OPENROUTER_API_KEY, or "
        "give api_key=...; keys come from https://openrouter.ai/settings/keys.",
    }
    with pytest.raises(VoxtralAuthenticationError) as caught:
        await ask(chat_at(name, server), call_mode, "Hello!")
    assert caught.value.message == pages[name]
    assert server.requests == []


@on_each_host
def test_a_malformed_key_is_answered_with_where_keys_come_from(server: Server, name: Any) -> None:
    with pytest.raises(VoxtralAuthenticationError) as caught:
        chat_at(name, server, api_key=SecretStr("half another")).invoke("Hello!")
    host = HOSTS[name]["url"].removeprefix("https://").removeprefix("api.").partition("/")[0]
    assert host in caught.value.message
    assert "half" not in str(caught.value)
    assert "DeepInfra" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "base_url", "key"),
    [
        ("mistral", "https://api.mistral.ai/v1", "of-mistral"),
        ("mistral", "https://codestral.MISTRAL.ai/v1", "of-mistral"),
        ("openrouter", "https://openrouter.ai/api/v1", "of-openrouter"),
        ("openrouter", "https://eu.openrouter.ai/api/v1", "of-openrouter"),
        ("mistral", "https://mistral.ai.evil.org/v1", "of-another"),
        ("mistral", "https://evilmistral.ai/v1", "of-another"),
        ("mistral", "http://127.0.0.1:8000/v1", "of-another"),
        ("openrouter", "https://gateway.example.org/api/v1", "of-another"),
        ("vllm", "http://127.0.0.1:8000/v1", "of-another"),
        ("deepinfra", "https://api.deepinfra.com/v1", "of-deepinfra"),
    ],
)
def test_every_key_goes_to_its_own_server_and_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: Any, base_url: str, key: str
) -> None:
    for variable, value in {
        "DEEPINFRA_API_TOKEN": "of-deepinfra",
        "MISTRAL_API_KEY": "of-mistral",
        "OPENROUTER_API_KEY": "of-openrouter",
        "VOXTRAL_API_KEY": "of-another",
    }.items():
        monkeypatch.setenv(variable, value)
    server.answer = lambda _: httpx.Response(404)
    chat = chat_at(name, server, base_url=base_url)
    for asked in (
        (chat, chat_at(name, server).model_copy(update={"base_url": base_url}))
        if (name in HOSTS)
        else (chat,)
    ):
        with pytest.raises(Exception, match="does not know"):
            asked.invoke("Hello!")
        assert server.requests[-1].headers.get("authorization") == f"Bearer {key}"


def test_no_other_key_goes_to_a_provider_than_its_own(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy may name a kind of server that its address is not of."""
    monkeypatch.setenv("MISTRAL_API_KEY", "of-mistral")
    monkeypatch.setenv("VOXTRAL_API_KEY", "of-another")
    server.answer = lambda _: httpx.Response(404)
    copy = chat_at("mistral", server).model_copy(update={"server": "vllm"})
    assert copy.lc_secrets == {"api_key": "MISTRAL_API_KEY"}
    with pytest.raises(Exception, match="does not know"):
        copy.invoke("Hello!")
    assert server.request.headers["authorization"] == "Bearer of-mistral"


@on_each_host
def test_a_key_does_not_follow_a_redirect_or_go_over_plain_http(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    monkeypatch.setenv(HOSTS[name]["variable"], KEY)
    server.answer = lambda _: httpx.Response(307, headers={"location": "https://evil.org/v1"})
    with pytest.raises(Exception, match="redirects are not followed"):
        chat_at(name, server).invoke("Hello!")
    assert [request.url.host for request in server.requests] == [httpx.URL(HOSTS[name]["url"]).host]
    with pytest.warns(UserWarning, match="plain http"):
        chat = chat_at(name, server, base_url=HOSTS[name]["url"].replace("https", "http"))
    with pytest.raises(Exception, match="redirects"):
        chat.invoke("Hello!")
    assert "authorization" not in server.requests[-1].headers


@on_each_host
def test_a_dump_names_the_variable_of_the_server(name: Any) -> None:
    chat = ChatVoxtral(server=name, api_key=SecretStr(KEY))
    assert chat.lc_secrets == {"api_key": HOSTS[name]["variable"]}
    assert KEY not in repr(chat)


# Chats


@on_each_host
def test_a_conversation_is_chat_completions(make_chat: Make, server: Server, name: Any) -> None:
    server.answer = strict(name)
    chat = make_chat(server=name, seed=7, max_tokens=50, n=1, stop=["END"])
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("Hello!")])
    assert server.body == {
        "model": HOSTS[name]["chat"],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello!"},
        ],
        "temperature": 0.2,
        "top_p": 0.95,
        "max_tokens": 50,
        "stop": ["END"],
        "random_seed" if name == "mistral" else "seed": 7,
    }
    assert str(server.request.url) == f"{HOSTS[name]['url']}/chat/completions"
    assert answer.response_metadata["model_provider"] == name
    assert chat._get_ls_params()["ls_provider"] == name
    extra = {"audio_seconds": 7.0} if name == "mistral" else {"cost": 0.0007}
    assert extra.items() <= answer.response_metadata.items()


@pytest.mark.parametrize(
    ("name", "settings", "named"),
    [
        ("mistral", {"top_k": 40}, "top_k="),
        ("mistral", {"min_p": 0.1}, "min_p="),
        ("mistral", {"repetition_penalty": 1.1}, "repetition_penalty="),
        ("mistral", {"user": "u"}, "user="),
        ("mistral", {"logprobs": True}, "logprobs="),
        ("openrouter", {"n": 2}, "n="),
        ("openrouter", {"prompt_cache_key": "k"}, "prompt_cache_key="),
        *(
            (name, {"response_format": {"type": "regex", "regex": "a"}}, "response_format of type")
            for name in HOSTS
        ),
    ],
)
def test_a_setting_without_a_field_is_refused_before_anything_is_sent(
    make_chat: Make, server: Server, name: Any, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(VoxtralUnsupportedFeatureError) as caught:
        make_chat(server=name).invoke("Hello!", **settings)
    assert caught.value.message.startswith(f"server='{name}' has no field for {named}")
    assert server.requests == []


@on_each_host
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_usage_of_a_stream_comes_without_being_asked_for(
    make_chat: Make, server: Server, name: Any, call_mode: str
) -> None:
    """OpenRouter sends comments until its provider answers, and usage in a last chunk."""
    judge, host = strict(name), HOSTS[name]
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    hello = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi."}}]}
    end: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = {
        "mistral": [hello, end | {"usage": usage | {"prompt_audio_seconds": 3}}],
        "openrouter": [hello, end, {"choices": [], "usage": usage | {"cost": 0.5}}],
    }[name]
    body = b": OPENROUTER PROCESSING\n\n" * (name == "openrouter")
    body += b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)

    def answer(request: httpx.Request) -> httpx.Response:
        judged = judge(request)
        return streaming(body + b"data: [DONE]\n\n") if judged.is_success else judged

    server.answer = answer
    chat = make_chat(server=name, max_stream_resumes=1)
    if call_mode == "stream":
        message = sum_of(list(chat.stream("Hello!")))
    else:
        message = sum_of([chunk async for chunk in chat.astream("Hello!")])
    assert message.text == "Hi."
    assert message.usage_metadata == {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}
    extra = {"audio_seconds": 3.0} if name == "mistral" else {"cost": 0.5}
    assert (extra | {"model_name": host["chat"]}).items() <= message.response_metadata.items()
    assert server.body["stream"] is True


class Person(BaseModel):
    """A person."""

    name: Any


@on_each_host
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_structured_output_is_asked_for_in_an_accepted_form(
    make_chat: Make, server: Server, name: Any, method: Any
) -> None:
    server.answer = strict(name)
    chat = make_chat(server=name).with_structured_output(Person, method=method, include_raw=True)
    assert chat.invoke("Who?")["raw"].text == "Two cities."
    assert ("tools" if method == "function_calling" else "response_format") in server.body


@on_each_host
def test_a_conversation_with_calls_is_accepted(make_chat: Make, server: Server, name: Any) -> None:
    server.answer = strict(name)
    call = {"name": "now", "args": {}, "id": "call_of_another_model"}
    messages = [HumanMessage("Now?"), AIMessage("", tool_calls=[call])]
    messages.append(ToolMessage("noon", tool_call_id="call_of_another_model"))
    bound = make_chat(server=name).bind_tools([Person], tool_choice="any", parallel_tool_calls=True)
    assert bound.invoke(messages).text == "Two cities."
    assert (server.body["tool_choice"], server.body["parallel_tool_calls"]) == ("required", True)


@on_each_host
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_model_that_only_transcribes_does_not_chat(
    make_chat: Make, server: Server, name: Any, call_mode: str
) -> None:
    chat = make_chat(server=name, model=HOSTS[name]["speech"])
    assert chat.profile is None
    with pytest.raises(VoxtralUnsupportedFeatureError) as caught:
        await ask(chat, call_mode, "Hello!")
    assert caught.value.message == (
        f"model='{HOSTS[name]['speech']}' only transcribes: for chats take "
        f"model='{HOSTS[name]['chat']}', and for transcriptions a VoxtralTranscriber or "
        "VoxtralTranscriptionParser with endpoint='transcriptions'."
    )
    assert server.requests == []
    with pytest.raises(ValidationError, match="only transcribes"):
        VoxtralTranscriptionParser(server=name, endpoint="chat", model=HOSTS[name]["speech"])


@on_each_host
def test_an_llm_needs_a_native_endpoint(name: Any) -> None:
    with pytest.raises(ValidationError, match=f"server='{name}' takes messages, and an LLM"):
        VoxtralLLM(server=name)

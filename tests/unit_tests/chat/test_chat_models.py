"""`ChatVoxtral`: complete requests and responses."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from support.call_modes import CALL_MODES, ask, sum_of
from support.documented_exchanges import (
    AS_PRINTED,
    CHEF_BODY,
    CHEF_MESSAGES,
    FINAL_EVENT,
    HELLO_ANSWER,
    HELLO_BODY,
    HELLO_INPUT,
    HELLO_TEXT,
    KEY,
    METADATA,
    MODEL,
    STREAM_METADATA,
    TOKENS,
    URL,
    USAGE,
    Server,
    answering,
    streaming,
    token_event,
)

from langchain_voxtral import ChatVoxtral, __version__
from langchain_voxtral.errors import (
    VoxtralIncompleteStreamError,
    VoxtralNotFoundError,
    VoxtralResponseError,
)
from langchain_voxtral.profiles import LOCAL_MODEL, get_profile

MakeChat = Callable[..., ChatVoxtral]


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize(
    ("prompt", "documented"), [("Hello!", HELLO_BODY), (CHEF_MESSAGES, CHEF_BODY)]
)
async def test_the_documented_requests_are_sent_exactly(
    make_chat: MakeChat,
    server: Server,
    call_mode: str,
    prompt: str | list[BaseMessage],
    documented: dict[str, Any],
) -> None:
    await ask(make_chat(**AS_PRINTED), call_mode, prompt)
    streams = {"stream": True} if "stream" in call_mode else {}
    assert server.body == documented | streams
    assert (server.request.method, str(server.request.url)) == ("POST", URL)
    assert server.request.headers["content-type"] == "application/json"
    assert server.request.headers["authorization"] == f"Bearer {KEY}"
    assert server.request.headers["user-agent"] == f"langchain-voxtral/{__version__}"


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_model_cards_sampling_and_the_end_token_are_the_defaults(
    chat: ChatVoxtral, server: Server, call_mode: str
) -> None:
    await ask(chat, call_mode, "Hello!")
    streams = {"stream": True} if "stream" in call_mode else {}
    assert server.body == {
        "input": HELLO_INPUT,
        "stop": ["<|eot_id|>"],
        "temperature": 0.2,
        "top_p": 0.95,
        **streams,
    }


@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_an_answer_carries_usage_cost_and_request_id(
    chat: ChatVoxtral, call_mode: str
) -> None:
    answer = chat.invoke("Hello!") if call_mode == "invoke" else await chat.ainvoke("Hello!")
    assert answer == AIMessage(
        content=HELLO_TEXT, usage_metadata=USAGE, response_metadata=METADATA, id=answer.id
    )


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_is_its_tokens_and_one_last_chunk_with_all_metadata(
    chat: ChatVoxtral, call_mode: str
) -> None:
    if call_mode == "stream":
        chunks = list(chat.stream("Hello!"))
    else:
        chunks = [chunk async for chunk in chat.astream("Hello!")]
    name = chunks[0].id
    assert chunks == [
        *(AIMessageChunk(content=token, id=name) for token in TOKENS),
        AIMessageChunk(
            content="",
            usage_metadata=USAGE,
            response_metadata=STREAM_METADATA,
            chunk_position="last",
            id=name,
        ),
    ]


def test_chunks_add_up_to_the_whole_message(chat: ChatVoxtral) -> None:
    first, *rest = chat.stream("Hello!")
    whole = first
    for chunk in rest:
        whole += chunk
    assert whole == AIMessageChunk(
        content="Hello! It's",
        usage_metadata=USAGE,
        response_metadata=STREAM_METADATA,
        chunk_position="last",
        id=first.id,
    )


@pytest.mark.parametrize(
    ("settings", "options"), [({"streaming": True}, {}), ({}, {"stream": True})]
)
def test_streaming_makes_invoke_stream_inside(
    make_chat: MakeChat, server: Server, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    answer = make_chat(**settings).invoke("Hello!", **options)
    assert server.body["stream"] is True
    assert answer == AIMessage(
        content="Hello! It's",
        usage_metadata=USAGE,
        response_metadata=STREAM_METADATA,
        id=answer.id,
    )


@pytest.mark.parametrize("settings", [{"streaming": False}, {"disable_streaming": True}])
def test_a_stream_may_be_one_unstreamed_answer(
    make_chat: MakeChat, server: Server, settings: dict[str, Any]
) -> None:
    (answer,) = make_chat(**settings).stream("Hello!")
    assert "stream" not in server.body
    assert (answer.text, answer.usage_metadata) == (HELLO_TEXT, USAGE)


@pytest.mark.parametrize("output_version", ["v0", "v1"])
def test_output_version_shapes_the_content(make_chat: MakeChat, output_version: str) -> None:
    answer = make_chat(output_version=output_version).invoke("Hello!")
    blocks = [{"type": "text", "text": HELLO_TEXT}]
    assert answer.content == (HELLO_TEXT if output_version == "v0" else blocks)
    assert answer.content_blocks == blocks


def test_v1_chunks_are_one_text_block(make_chat: MakeChat) -> None:
    whole = sum_of(list(make_chat(output_version="v1").stream("Hello!")))
    assert whole.content == [{"type": "text", "text": "Hello! It's", "index": 0}]


@pytest.mark.parametrize("spelling", ["model", "model_name"])
@pytest.mark.parametrize("call_mode", ["ainvoke", "astream"])
async def test_a_model_for_one_call_is_used_and_named(
    chat: ChatVoxtral, server: Server, call_mode: str, spelling: str
) -> None:
    chosen: dict[str, Any] = {spelling: "own/er:v2"}
    if "stream" in call_mode:
        answer: AIMessage = sum_of([chunk async for chunk in chat.astream("Hello!", **chosen)])
    else:
        answer = await chat.ainvoke("Hello!", **chosen)
    assert str(server.request.url) == "https://api.deepinfra.com/v1/inference/own/er:v2"
    assert answer.response_metadata["model_name"] == "own/er:v2"
    assert chat._get_ls_params(**chosen)["ls_model_name"] == "own/er:v2"


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_an_error_names_the_model_of_the_call(
    chat: ChatVoxtral, server: Server, call_mode: str
) -> None:
    server.answer = lambda _: answering({"detail": {"error": "Model not found"}}, 404)
    with pytest.raises(VoxtralNotFoundError, match="does not know the model 'own/er'"):
        await ask(chat, call_mode, "Hello!", model="own/er")


def test_the_model_that_a_server_names_is_the_model_of_the_answer(
    chat: ChatVoxtral, server: Server
) -> None:
    server.answer = lambda _: answering(HELLO_ANSWER, headers={"x-voxtral-model": "SmolLM2"})
    assert chat.invoke("Hello!").response_metadata["model_name"] == "SmolLM2"


def test_mistrals_own_format_may_be_chosen(make_chat: MakeChat, server: Server) -> None:
    make_chat(prompt_format="mistral").invoke([("system", "Be brief."), ("human", "Hello!")])
    assert server.body == {
        "input": "<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Hello![/INST]",
        "stop": ["</s>", "[INST]"],
        "temperature": 0.2,
        "top_p": 0.95,
    }


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_an_end_token_that_the_server_returns_is_cut(
    chat: ChatVoxtral, server: Server, call_mode: str
) -> None:
    shown = "Hi<|eot_id|>rest"
    if "stream" in call_mode:
        events = [token_event(piece) for piece in ("Hi<|eo", "t_id|>re", "st")]
        server.answer = lambda _: streaming(*events, FINAL_EVENT)
    else:
        server.answer = lambda _: answering(HELLO_ANSWER | {"results": [{"generated_text": shown}]})
    assert await ask(chat, call_mode, "Hello!") == "Hi"


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("one STOP two", {"stop": ["STOP"]}, {"finish_reason": "stop"}),
        ("one", {"max_tokens": 25}, {"finish_reason": "length"}),
        ("one", {"max_tokens": 26}, {"finish_reason": "stop"}),
        ("one", {"max_new_tokens": 26}, {"finish_reason": "stop"}),
        ("one", {"max_new_tokens": 25}, {"finish_reason": "length"}),
        ("one", {"max_tokens": 26, "model_kwargs": {"n_predict": 25}}, {}),
        ("one", {"model_kwargs": {"n_predict": 26}}, {}),
        ("one", {}, {}),
    ],
)
def test_a_finish_reason_is_derived_only_where_it_is_certain(
    chat: ChatVoxtral, server: Server, text: str, options: dict[str, Any], reason: dict[str, str]
) -> None:
    server.answer = lambda _: answering(HELLO_ANSWER | {"results": [{"generated_text": text}]})
    metadata = chat.invoke("Hello!", **options).response_metadata
    derived = {"finish_reason_source": "derived"} if reason else {}
    assert metadata == METADATA | reason | derived


def test_missing_metadata_is_absent(chat: ChatVoxtral, server: Server) -> None:
    server.answer = lambda _: answering({"results": [{"generated_text": "Hi"}]})
    answer = chat.invoke("Hello!")
    assert answer == AIMessage(
        "Hi",
        response_metadata={
            "model_name": MODEL,
            "model_provider": "deepinfra",
            "endpoint": "native",
        },
        id=answer.id,
    )


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_without_its_final_event_is_an_error_with_the_text_so_far(
    chat: ChatVoxtral, server: Server, call_mode: str
) -> None:
    server.answer = lambda _: streaming(token_event("Hel"), token_event("lo"))
    with pytest.raises(VoxtralIncompleteStreamError) as caught:
        await ask(chat, call_mode, "Hello!")
    assert caught.value.partial == "Hello"
    assert len(server.requests) == 1


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_an_html_page_is_an_error(chat: ChatVoxtral, server: Server, call_mode: str) -> None:
    server.answer = lambda _: httpx.Response(200, html="<html>Welcome to the Wi-Fi</html>")
    with pytest.raises(VoxtralResponseError, match="Welcome to the Wi-Fi"):
        await ask(chat, call_mode, "Hello!")


def test_known_models_have_a_profile_and_others_none(make_chat: MakeChat) -> None:
    known = make_chat().profile
    assert known is not None
    assert known["max_input_tokens"] == 32768
    assert known["tool_calling"] is True
    assert "structured_output" not in known
    assert make_chat(model=f"{MODEL}:v1").profile == known
    assert make_chat(model="owner/other").profile is None


@pytest.mark.parametrize(
    ("model", "tokens", "most"),
    [
        ("mistralai/Voxtral-Small-24B-2507", 32768, 16384),
        ("voxtral-small-2507", 32768, None),
        ("voxtral-mini-2507", 32768, None),
        ("mistralai/voxtral-small-24b-2507", 32000, None),
    ],
)
def test_the_2507_models_have_profiles_under_each_servers_names(
    model: str, tokens: int, most: int | None
) -> None:
    profile = get_profile(model)
    assert profile is not None
    limits = (profile["max_input_tokens"], profile.get("max_output_tokens"))
    assert (*limits, profile["audio_inputs"], profile["tool_calling"]) == (tokens, most, True, True)


@pytest.mark.parametrize("model", ["voxtral-mini-latest", "voxtral-mini-2602"])
def test_a_model_that_may_change_or_does_not_chat_has_no_profile(model: str) -> None:
    assert get_profile(model) is None


@pytest.mark.parametrize("model", [MODEL, "voxtral-small-2507", LOCAL_MODEL])
def test_langchain_knows_all_that_a_profile_says(make_chat: MakeChat, model: str) -> None:
    profile = get_profile(model)
    # LangChain warns of keys that it does not know, if it is given the profile.
    assert make_chat(profile=profile).profile == profile


def test_the_embedded_engine_supports_audio_if_its_extra_is_installed(
    make_chat: MakeChat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "faster_whisper.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with_speech = make_chat(base_url="local").profile
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    without = make_chat(base_url="local").profile
    assert with_speech is not None
    assert without == {**with_speech, "audio_inputs": False}
    assert with_speech["audio_inputs"] is True


def test_a_changed_profile_changes_no_other() -> None:
    profile = get_profile(MODEL)
    assert profile is not None
    profile["max_input_tokens"] = 1
    assert get_profile(MODEL) != profile

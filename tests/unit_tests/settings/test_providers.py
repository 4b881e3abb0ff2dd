"""The table of providers."""

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from support.documented_exchanges import MODEL

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralUnsupportedFeatureError
from langchain_voxtral.protocol.endpoints import CHAT_COMPLETIONS, NATIVE
from langchain_voxtral.providers import PROVIDERS, EndpointName, ProviderName

PATHS: dict[ProviderName, dict[EndpointName, str | None]] = {
    "deepinfra": {
        "native": "/inference/{model}",
        "chat_completions": "/openai/chat/completions",
        "transcriptions": "/openai/audio/transcriptions",
        "translations": "/openai/audio/translations",
    },
    "mistral": {
        "native": None,
        "chat_completions": "/chat/completions",
        "transcriptions": "/audio/transcriptions",
        "translations": None,
    },
    "openrouter": {
        "native": None,
        "chat_completions": "/chat/completions",
        "transcriptions": "/audio/transcriptions",
        "translations": None,
    },
    "vllm": {
        "native": None,
        "chat_completions": "/chat/completions",
        "transcriptions": "/audio/transcriptions",
        "translations": None,
    },
    "llama_cpp": {
        "native": None,
        "chat_completions": "/chat/completions",
        "transcriptions": "/audio/transcriptions",
        "translations": None,
    },
}


@pytest.mark.parametrize("name", get_args(ProviderName))
@pytest.mark.parametrize("route", get_args(EndpointName))
def test_every_server_has_its_paths_or_advice(name: ProviderName, route: EndpointName) -> None:
    expected = PATHS[name][route]
    if expected:
        assert PROVIDERS[name].path(route) == expected
    else:
        with pytest.raises(VoxtralUnsupportedFeatureError, match=f"^server='{name}' .*: ."):
            PROVIDERS[name].path(route)


def test_the_table_has_every_server_under_its_own_name() -> None:
    assert {name: server.name for name, server in PROVIDERS.items()} == {
        name: name for name in get_args(ProviderName)
    }


def test_deepinfras_text_endpoints_are_where_they_were() -> None:
    deepinfra = PROVIDERS["deepinfra"]
    assert deepinfra.path(NATIVE.name) == "/inference/{model}"
    assert deepinfra.path(CHAT_COMPLETIONS.name) == "/openai/chat/completions"


@pytest.mark.parametrize("route", get_args(EndpointName))
def test_missing_features_of_a_server_are_named_with_advice(route: EndpointName) -> None:
    bare = replace(PROVIDERS["vllm"], paths=dict.fromkeys(get_args(EndpointName)))
    with pytest.raises(VoxtralUnsupportedFeatureError) as caught:
        bare.path(route)
    around = {
        "native": "pass api='chat_completions', or for speech endpoint='transcriptions'",
        "chat_completions": "pass api='native'",
        "transcriptions": "ask in a chat (endpoint='chat')",
        "translations": "or ask for the translation in a chat (endpoint='chat')",
    }
    assert caught.value.message.startswith("server='vllm' ")
    assert caught.value.message.endswith(f"{around[route]}.")


@pytest.mark.parametrize("name", get_args(ProviderName))
@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_a_recording_is_a_part_under_the_name_of_its_format(
    name: ProviderName, audio_format: str
) -> None:
    server = PROVIDERS[name]
    if audio_format in server.audio_formats:
        is_text = name == "mistral"
        audio = "AP8=" if is_text else {"data": "AP8=", "format": audio_format}
        part = {"type": "input_audio", "input_audio": audio}
        assert server.audio_part(b"\x00\xff", audio_format) == part
    else:
        with pytest.raises(VoxtralInvalidRequestError, match=f"takes no '{audio_format}' audio"):
            server.audio_part(b"\x00\xff", audio_format)


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("deepinfra", "'mp3', 'wav'"),
        ("mistral", "'mp3', 'wav'"),
        ("vllm", "'wav'"),
        ("llama_cpp", "'mp3', 'wav'"),
    ],
)
def test_a_format_that_no_server_takes_is_never_sent_under_another_name(
    name: ProviderName, formats: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        PROVIDERS[name].audio_part(b"fLaC", "flac")
    assert caught.value.message == (
        f"server='{name}' takes no 'flac' audio, only {formats}: convert it to wav."
    )


def test_what_transcriptions_may_tell() -> None:
    assert {
        name: server.timestamps | ({"speaker"} if server.has_speakers else set())
        for name, server in PROVIDERS.items()
    } == {
        "deepinfra": {"segment", "word"},
        "mistral": {"segment", "word", "speaker"},
        "openrouter": set(),
        "vllm": set(),
        "llama_cpp": set(),
    }


@pytest.mark.parametrize("name", get_args(ProviderName))
def test_every_server_has_the_strictest_limits_known(name: ProviderName) -> None:
    """The limits of vLLM: 25 MiB and 600 s; a wav of 600 s at 16 kHz has 19.2 MB."""
    server = PROVIDERS[name]
    assert (server.max_audio_seconds, server.max_audio_bytes) == (600.0, 25_000_000)
    assert 600 * 16_000 * 2 + 44 < server.max_audio_bytes <= 25 * 2**20


def test_prices_are_those_that_the_documents_list() -> None:
    page = (Path(__file__).parents[3] / "docs" / "servers.md").read_text(encoding="utf-8")
    rows = re.findall(r"(DeepInfra|Mistral|OpenRouter): `([^`]+)` \| ([0-9.]+) \(", page)
    listed = {(label, model): float(price) for label, model, price in rows}
    assert len(listed) == 6
    prices = {
        (server.label, model): server.price_per_minute(server.example_base_url, model)
        for server in PROVIDERS.values()
        for model in server.prices_per_minute
    }
    assert listed.items() <= prices.items()
    undated = {("Mistral", f"voxtral-{size}-transcribe-3") for size in ("mini", "small")}
    assert prices.keys() - listed.keys() == undated


def test_a_price_is_that_of_one_address_and_one_model() -> None:
    openrouter, model = PROVIDERS["openrouter"], "mistralai/voxtral-mini-transcribe-3-0"
    assert openrouter.price_per_minute("https://eu.openrouter.ai/api/v1", model) is None
    assert openrouter.price_per_minute("https://gateway.example.org/v1", model) is None
    assert openrouter.price_per_minute(openrouter.example_base_url, "own") is None
    assert PROVIDERS["vllm"].price_per_minute("http://127.0.0.1:8000/v1", MODEL) is None
    assert PROVIDERS["deepinfra"].price_per_minute("local", "any") == 0.0


def test_some_servers_take_things_by_other_names() -> None:
    odd = {
        name: (server.field_names, server.supports_named_tool_choice, server.keeps_own_instruction)
        for name, server in PROVIDERS.items()
    }
    assert odd == {
        "deepinfra": ({}, True, True),
        "mistral": ({"seed": "random_seed"}, True, True),
        "openrouter": ({}, True, True),
        "vllm": ({}, True, True),
        "llama_cpp": ({"repetition_penalty": "repeat_penalty"}, False, False),
    }

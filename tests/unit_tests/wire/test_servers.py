"""The table of servers."""

from dataclasses import replace
from typing import get_args

import pytest

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralUnsupportedFeatureError
from langchain_voxtral.wire.apis import CHAT_COMPLETIONS, NATIVE
from langchain_voxtral.wire.servers import SERVERS, Route, ServerName
from langchain_voxtral.wire.transcription_requests import ResponseFormat

PATHS: dict[ServerName, dict[Route, str | None]] = {
    "deepinfra": {
        "native": "/inference/{model}",
        "chat_completions": "/openai/chat/completions",
        "transcriptions": "/openai/audio/transcriptions",
        "translations": "/openai/audio/translations",
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


@pytest.mark.parametrize("name", get_args(ServerName))
@pytest.mark.parametrize("route", get_args(Route))
def test_every_server_tells_its_paths_or_what_to_do_without(name: ServerName, route: Route) -> None:
    expected = PATHS[name][route]
    if expected:
        assert SERVERS[name].path(route) == expected
    else:
        with pytest.raises(VoxtralUnsupportedFeatureError, match=f"^server='{name}' .*: ."):
            SERVERS[name].path(route)


def test_the_table_has_every_server_under_its_own_name() -> None:
    assert {name: server.name for name, server in SERVERS.items()} == {
        name: name for name in get_args(ServerName)
    }


def test_deepinfras_text_endpoints_are_where_they_were() -> None:
    deepinfra = SERVERS["deepinfra"]
    assert deepinfra.path(NATIVE.route) == "/inference/{model}"
    assert deepinfra.path(CHAT_COMPLETIONS.route) == "/openai/chat/completions"


@pytest.mark.parametrize("route", get_args(Route))
def test_what_a_server_lacks_is_named_with_a_way_around_it(route: Route) -> None:
    bare = replace(SERVERS["vllm"], paths=dict.fromkeys(get_args(Route)))
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


@pytest.mark.parametrize(
    ("name", "audio_format", "part"),
    [
        (
            "deepinfra",
            "wav",
            {"type": "input_audio", "input_audio": {"data": "AP8=", "format": "wav"}},
        ),
        ("vllm", "mp3", {"type": "input_audio", "input_audio": {"data": "AP8=", "format": "mp3"}}),
        (
            "llama_cpp",
            "wav",
            {"type": "input_audio", "input_audio": {"data": "AP8=", "format": "wav"}},
        ),
    ],
)
def test_a_recording_is_a_part_that_the_server_takes(
    name: ServerName, audio_format: str, part: dict[str, object]
) -> None:
    assert SERVERS[name].audio_part(b"\x00\xff", audio_format) == part


@pytest.mark.parametrize(("audio_format", "mime"), [("wav", "audio/wav"), ("mp3", "audio/mpeg")])
def test_vllm_takes_data_urls_with_the_plain_mime_type_too(audio_format: str, mime: str) -> None:
    assert SERVERS["vllm"].audio_part(b"\x00\xff", audio_format, "audio_url") == {
        "type": "audio_url",
        "audio_url": {"url": f"data:{mime};base64,AP8="},
    }


@pytest.mark.parametrize("name", ["deepinfra", "llama_cpp"])
def test_data_urls_are_refused_for_servers_that_refuse_them(name: ServerName) -> None:
    with pytest.raises(VoxtralUnsupportedFeatureError) as caught:
        SERVERS[name].audio_part(b"", "wav", "audio_url")
    assert caught.value.message == (
        f"server='{name}' takes no 'audio_url' parts, only 'input_audio'."
    )


@pytest.mark.parametrize("name", get_args(ServerName))
def test_a_format_that_no_server_takes_is_never_sent_under_another_name(name: ServerName) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        SERVERS[name].audio_part(b"fLaC", "flac")
    assert caught.value.message == (
        f"server='{name}' takes no 'flac' audio, only 'mp3', 'wav': convert it to wav."
    )


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("deepinfra", {"json", "verbose_json", "text", "srt", "vtt"}),
        ("vllm", {"json", "text"}),
        ("llama_cpp", {"json"}),
    ],
)
def test_a_response_format_that_a_server_lacks_becomes_json(
    name: ServerName, given: set[ResponseFormat]
) -> None:
    assert {
        wanted: SERVERS[name].response_format(wanted) for wanted in get_args(ResponseFormat)
    } == {wanted: wanted if wanted in given else "json" for wanted in get_args(ResponseFormat)}


@pytest.mark.parametrize("name", get_args(ServerName))
def test_every_server_has_the_strictest_limits_known(name: ServerName) -> None:
    """The limits of vLLM: 25 MiB and 600 s; a wav of 600 s at 16 kHz has 19.2 MB."""
    server = SERVERS[name]
    limits = (server.longest_seconds, server.most_bytes, server.system_with_audio)
    assert limits == (600.0, 25_000_000, False)
    assert 600 * 16_000 * 2 + 44 < server.most_bytes <= 25 * 2**20

"""The server's address: sources, normalization, validation."""

import warnings

import pytest
from pydantic import ValidationError
from support.documented_exchanges import URL, Server

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.client import timeouts_for
from langchain_voxtral.providers import DEEPINFRA_URL


def test_deepinfra_is_the_default(chat: ChatVoxtral, server: Server) -> None:
    assert chat.base_url == "https://api.deepinfra.com/v1"
    chat.invoke("Hello!")
    assert str(server.request.url) == URL


def test_the_environment_may_name_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRAL_BASE_URL", " https://voxtral.example.org/v1/ ")
    assert ChatVoxtral().base_url == "https://voxtral.example.org/v1"
    assert ChatVoxtral(base_url=DEEPINFRA_URL).base_url == DEEPINFRA_URL


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRAL_BASE_URL", "")
    assert ChatVoxtral().base_url == DEEPINFRA_URL


@pytest.mark.parametrize(
    ("pasted", "tidy"),
    [
        ("https://api.deepinfra.com/v1/", "https://api.deepinfra.com/v1"),
        ("https://api.deepinfra.com/v1/openai", "https://api.deepinfra.com/v1"),
        ("https://api.deepinfra.com/v1/openai/", "https://api.deepinfra.com/v1"),
        ("\thttps://api.deepinfra.com/v1\n", "https://api.deepinfra.com/v1"),
        ("https://[::1]:8443/v1", "https://[::1]:8443/v1"),
        ("local", "local"),
        (" local ", "local"),
    ],
)
def test_pasted_extras_are_removed(pasted: str, tidy: str) -> None:
    assert ChatVoxtral(base_url=pasted).base_url == tidy


NO_URL = "this is no http:// or https:// URL; give one like 'https://api.deepinfra.com/v1'"


@pytest.mark.parametrize(
    ("base_url", "problem"),
    [
        ("", NO_URL),
        ("api.deepinfra.com/v1", NO_URL),
        ("ftp://api.deepinfra.com/v1", NO_URL),
        ("https:///v1", NO_URL),
        ("https://host:0/v1", NO_URL),
        ("Local", NO_URL),
        ("localhost:8000/v1", "URL; did you mean 'http://localhost:8000/v1'\\?"),
        ("127.0.0.1:8000", "URL; did you mean 'http://127.0.0.1:8000'\\?"),
        ("gpu.example.org:8000", "URL; did you mean 'https://gpu.example.org:8000'\\?"),
        ("user:pa55word@host:8000", NO_URL),
        ("https://api.deepinfra.com", "up to /v1, like base_url='https://api.deepinfra.com/v1'"),
        ("https://api.deepinfra.com/v1/openai/chat/completions", "is one endpoint below it"),
        ("https://api.deepinfra.com/v1/inference/a/b", "is one endpoint below it"),
        ("https://gateway.example.org/v1/audio/transcriptions/", "is one endpoint below it"),
        ("https://host:99999/v1", "this is no URL"),
        ("https://[::1/v1", "this is no URL"),
        ("https://api.deep infra.com/v1", "white space"),
        ("https://evil.org\n.deepinfra.com/v1", "white space"),
        ("https://evil.org\\.deepinfra.com/v1", "white space or backslash"),
        ("https://user:pa55word@host/v1", "a password in the URL would show in logs"),
        ("https://pa55word@host/v1", "a password in the URL would show in logs"),
        ("https://host/v1?key=pa55word", "a base URL ends before '\\?' and '#'"),
        ("https://host/v1?", "a base URL ends before '\\?' and '#'"),
        ("https://host/v1#pa55word", "a base URL ends before '\\?' and '#'"),
        ("https://host/v1#", "a base URL ends before '\\?' and '#'"),
    ],
)
def test_an_invalid_base_url_is_refused_with_a_reason_and_without_secrets(
    base_url: str, problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        ChatVoxtral(base_url=base_url)
    assert "base_url" in str(caught.value)
    assert "pa55word" not in str(caught.value)


def test_a_wrong_variable_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRAL_BASE_URL", "nonsense")
    with pytest.raises(ValidationError, match="base_url"):
        ChatVoxtral()


@pytest.mark.parametrize("host", ["voxtral.example.org", "192.168.1.5:8000", "api.deepinfra.com"])
def test_plain_http_to_another_machine_warns(host: str) -> None:
    with pytest.warns(UserWarning, match="is plain http to another machine") as caught:
        ChatVoxtral(base_url=f"http://{host}/v1")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:8000/v1",
        "http://127.8.8.8/v1",
        "http://localhost:8000/v1",
        "http://engine.localhost/v1",
        "http://[::1]:8000/v1",
        "https://voxtral.example.org/v1",
        "local",
    ],
)
def test_plain_http_within_this_machine_and_https_do_not_warn(base_url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ChatVoxtral(base_url=base_url)


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"base_url": "local"}, 300.0),
        ({"base_url": "local", "stream_idle_timeout": 7}, 7.0),
        ({"base_url": "local", "stream_idle_timeout": None}, None),
        ({}, 60.0),
    ],
)
def test_the_embedded_engine_may_be_silent_for_longer(
    settings: dict[str, object], seconds: float | None
) -> None:
    assert timeouts_for(ChatVoxtral.model_validate(settings), is_stream=True).read == seconds


@pytest.mark.parametrize(
    ("base_url", "provider"),
    [("local", "voxtral-local"), (DEEPINFRA_URL, "deepinfra"), ("https://x.y/v1", "deepinfra")],
)
def test_the_provider_in_traces_follows_the_address(base_url: str, provider: str) -> None:
    assert ChatVoxtral(base_url=base_url)._get_ls_params()["ls_provider"] == provider

"""The key is sent in one header, and is shown nowhere."""

import copy
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.load import dumps
from pydantic import SecretStr, ValidationError
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import (
    HELLO_TEXT,
    KEY,
    Server,
    answering,
    as_documented,
    streaming,
    token_event,
)

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralError

Make = Callable[..., ChatVoxtral | VoxtralLLM]
ModelClass = type[ChatVoxtral | VoxtralLLM]
MODEL_CLASSES = [ChatVoxtral, VoxtralLLM]
PROXY = f"http://user:{KEY}@127.0.0.1:3128"

VIEWS: dict[str, Callable[[Any], object]] = {
    "repr": repr,
    "str": str,
    "repr of a copy": lambda model: repr(copy.copy(model)),
    "repr of a deep copy": lambda model: repr(copy.deepcopy(model)),
    "model_dump": lambda model: model.model_dump(),
    "model_dump_json": lambda model: model.model_dump_json(),
    "asdict": lambda model: model._identifying_params,
    "dumps": dumps,
    "pickle": lambda model: pickle.dumps(model, protocol=0).decode("latin-1"),
    "repr of its state": lambda model: repr(model.__getstate__()),
    "repr of its fields": lambda model: repr(vars(model)["api_key"]),
}


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_no_view_of_a_model_shows_its_key(
    model_class: ModelClass, view: Callable[[Any], object]
) -> None:
    assert KEY not in str(view(model_class(api_key=SecretStr(KEY))))


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize(
    "name", ["repr", "str", "repr of a deep copy", "model_dump", "model_dump_json", "dumps"]
)
@pytest.mark.parametrize("setting", [{"default_headers": {"x-team": KEY}}, {"proxy": PROXY}])
def test_no_view_of_a_model_shows_its_headers_or_its_proxys_password(
    model_class: ModelClass, name: str, setting: dict[str, Any]
) -> None:
    assert KEY not in str(VIEWS[name](model_class(**setting)))


def echo_401(_: httpx.Request) -> httpx.Response:
    return answering({"detail": f"Bad key {KEY}"}, 401, {"x-request-id": KEY})


def echo_422(_: httpx.Request) -> httpx.Response:
    return answering({"detail": [{"loc": ["header"], "msg": "bad", "input": KEY}]}, 422)


def echo_html(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, html=f"<p>Bearer {KEY}</p>", headers={"x-request-id": KEY})


def echo_redirect(_: httpx.Request) -> httpx.Response:
    return httpx.Response(307, headers={"location": f"https://other/?key={KEY}"})


def echo_in_a_200(_: httpx.Request) -> httpx.Response:
    return answering({"error": f"Bad key {KEY}", "request_id": KEY})


def echo_in_a_stream(request: httpx.Request) -> httpx.Response:
    if b'"stream":true' not in request.content:
        return echo_in_a_200(request)
    return streaming(token_event("Hi"), b'data: {"error": "Bad key %s"}\n\n' % KEY.encode())


def broken_json(_: httpx.Request) -> httpx.Response:
    return streaming(token_event("Hi"), b'data: {"token": %s\n\n' % KEY.encode())


def broken_connection(request: httpx.Request) -> httpx.Response:
    raise httpx.RemoteProtocolError(f"illegal header line: {KEY}", request=request)


FAILURES = [
    echo_401,
    echo_422,
    echo_html,
    echo_redirect,
    echo_in_a_200,
    echo_in_a_stream,
    broken_json,
    broken_connection,
]


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("failure", FAILURES)
async def test_no_error_log_or_traceback_shows_a_key_that_a_server_echoes(
    make: Make,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    call_mode: str,
    failure: Callable[[httpx.Request], httpx.Response],
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = failure
    with pytest.raises(VoxtralError) as caught:
        await ask(make(max_retries=0), call_mode, "Hello!")
    error = caught.value
    shown = [
        str(error),
        repr(error),
        repr(vars(error)),
        str(pickle.dumps(error, protocol=0)),
        "".join(traceback.format_exception(error)),
        caplog.text,
    ]
    assert [text for text in shown if KEY in text] == []


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_no_log_of_a_retried_call_shows_a_key_that_a_server_echoes(
    make: Make,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    call_mode: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    failures = [answering({"detail": f"{KEY} is busy"}, 429, {"retry-after": "0"})]
    server.answer = lambda request: failures.pop() if failures else as_documented(request)
    answer = await ask(make(), call_mode, "Hello!")
    assert answer == ("Hello! It's" if "stream" in call_mode else HELLO_TEXT)
    assert "Attempt 2 of 3 in 0.0 s, after: There are too many requests" in caplog.text
    assert "[redacted] is busy" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("header", ["Authorization", "x-team-token"])
def test_secrets_in_headers_are_kept_out_of_errors_too(
    make: Make, server: Server, header: str
) -> None:
    secret = "team-6d1f0a"
    server.answer = lambda _: answering({"detail": f"Bad key {secret}, as a rule"}, 401)
    model = make(default_headers={header: f"Bearer {secret}", "x-level": "a"})
    with pytest.raises(VoxtralError) as caught:
        model.invoke("Hello!")
    assert 'The server said: "Bad key [redacted], as a rule"' in str(caught.value)


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": [KEY]},
        {"api_key": KEY, "temperature": "hot"},
        {"api_key": KEY, "tempreature": 1},
        {"api_key": KEY, "base_url": "nonsense"},
        {"api_key": KEY, "api": "grpc"},
        {"default_headers": {"x": f"{KEY}\n"}},
        {"proxy": f"{KEY}@host"},
        {"base_url": f"https://user:{KEY}@host/v1"},
    ],
)
def test_no_validation_error_shows_a_secret(
    model_class: ModelClass, settings: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as caught:
        model_class.model_validate(settings)
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_key_is_in_one_header_and_not_in_body_or_url(
    make: Make, server: Server, call_mode: str
) -> None:
    await ask(make(), call_mode, "Hello!")
    holding = [name for name, value in server.request.headers.items() if KEY in value]
    assert holding == ["authorization"]
    assert KEY not in str(server.request.url)
    assert KEY.encode() not in server.request.content

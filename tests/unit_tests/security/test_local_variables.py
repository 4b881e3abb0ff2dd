"""No traceback that shows local variables shows the key (rich, Sentry, pytest --showlocals)."""

import asyncio
import base64
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from support.call_modes import ask
from support.completion_requests import completion_request
from support.scripted_server import End, Reply, ScriptedServer
from support.sse_replies import event, events, json_reply, token, whole

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
)
from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.completions.connection import CompletionConnection
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.errors import VoxtralAuthenticationError, VoxtralError
from langchain_voxtral.protocol.transcription_forms import TranscriptionOptions
from langchain_voxtral.protocol.transcription_request import (
    SpeechEndpoint,
    TranscriptionRequest,
)
from langchain_voxtral.providers import DEEPINFRA
from langchain_voxtral.redaction import Secrets
from langchain_voxtral.transcription_client import TranscriptionClient

KEY = "tok-5d0c71e9-distinctive"
TEAM = "team-77aa-distinctive"
FORMS = tuple(
    form
    for secret in (KEY, TEAM, f"user:{KEY}")
    for form in (secret, base64.b64encode(secret.encode()).decode())
)


def errors_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def shown(error: BaseException) -> list[str]:
    """Return the local variables in the traceback of an error, but those of this module."""
    frames = [
        frame
        for each in errors_of(error)
        for frame in traceback.TracebackException.from_exception(each, capture_locals=True).stack
        if frame.filename != __file__
    ]
    assert frames
    return [
        f"{frame.name}: {name} = {value}"
        for frame in frames
        for name, value in (frame.locals or {}).items()
    ]


def leaks(error: BaseException) -> list[str]:
    return [line for line in shown(error) if any(form in line for form in FORMS)]


ECHO = f"Bad key {KEY}, {TEAM}"
FAULTS = {
    "HTML": Reply(headers={"content-type": "text/html"}, body=b"<html>Hello!</html>"),
    "nothing": Reply(headers={"content-type": "application/json"}, body=b""),
    "another document": json_reply({"results": "none"}),
    "an error in a 200": json_reply({"error": "failed"}),
    "an echo": json_reply({"detail": ECHO}, status=401, headers={"x-request-id": KEY}),
    "a redirect": Reply(307, {"location": f"https://other.example/?{KEY}"}, b""),
    "a reset": Reply(steps=[End.RESET]),
    "a cut": Reply(headers={"content-type": "application/json"}, steps=[b"{", End.CUT]),
    "no HTTP": Reply(is_raw=True, steps=[b"SSH-2.0\r\n"], closes=True),
    "an error in a stream": events(token("Hel"), event({"error": ECHO})),
    "a broken event": events(token("Hel"), b"data: {" + KEY.encode() + b"\n\n"),
    "silence": Reply(steps=[End.STALL]),
}
faults = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


def settings(server: ScriptedServer) -> dict[str, Any]:
    return {
        "base_url": server.url,
        "api_key": SecretStr(KEY),
        "default_headers": {"x-team": TEAM},
        "timeout": 0.1,
        "stream_idle_timeout": 0.1,
        "max_retries": 0,
    }


@pytest.mark.parametrize(
    ("model_class", "options"),
    [(ChatVoxtral, {}), (ChatVoxtral, {"api": "chat_completions"}), (VoxtralLLM, {})],
    ids=["native", "chat completions", "LLM"],
)
@faults
def test_a_failed_call_shows_no_key(
    model_class: type[ChatVoxtral | VoxtralLLM], options: dict[str, Any], fault: Reply
) -> None:
    for call_mode in ("invoke", "astream"):
        with ScriptedServer(default=fault) as server:
            model = model_class(**settings(server), **options)
            with pytest.raises(VoxtralError) as caught:
                asyncio.run(ask(model, call_mode, "Hello!"))
        assert leaks(caught.value) == []


@pytest.mark.parametrize("endpoint", ["transcriptions", "native"])
@faults
def test_a_failed_transcription_shows_no_key(endpoint: SpeechEndpoint, fault: Reply) -> None:
    request = TranscriptionRequest(
        DEEPINFRA,
        endpoint,
        "m",
        TranscriptionOptions("transcribe", None, None, 0.0),
        chunk=AudioChunk(0, 0.0, 1.0, wav_header(320) + bytes(320)),
        title="a chunk",
    )
    with ScriptedServer(default=fault) as server:
        client = TranscriptionClient(ConnectionSettings(**settings(server)))
        for call in (
            client.transcribe,
            lambda each: asyncio.run(client.atranscribe(each)),
            lambda each: client.transcribe(each, print),
        ):
            with pytest.raises(VoxtralError) as caught:
                call(request)
            assert leaks(caught.value) == []


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"base_url": "https://127.0.0.1:9/v1", "proxy": f"http://user:{KEY}@127.0.0.1:9"}, None),
        ({"base_url": "https://127.0.0.1:9/v1", "proxy": f"socks5://user:{KEY}@127.0.0.1:9"}, None),
        ({"base_url": "https://127.0.0.1:9/v1"}, None),
        ({"api_key": SecretStr(f"{KEY} {KEY}")}, VoxtralAuthenticationError),
        ({"api_key": SecretStr(f"{KEY}\u00fc")}, VoxtralAuthenticationError),
    ],
    ids=["proxy", "SOCKS proxy", "refused", "key with a space", "key with an umlaut"],
)
def test_a_call_that_never_leaves_shows_no_key(
    changed: dict[str, Any], error: type[Exception] | None
) -> None:
    with ScriptedServer() as server:
        client = VoxtralClient(ConnectionSettings(**settings(server) | changed))
        with pytest.raises(error or Exception) as caught:
            client.complete(completion_request())
        assert leaks(caught.value) == []


@pytest.mark.parametrize("model_class", [ChatVoxtral, VoxtralLLM, CompletionConnection])
@pytest.mark.parametrize(
    "values",
    [
        {"api_key": [KEY]},
        {"api_key": KEY, "timeout": -1},
        {"api_key": KEY, "api": "grpc"},
        {"base_url": f"https://user:{KEY}@host/v1"},
        {"default_headers": {"x": f"{KEY}\n"}},
        {"proxy": f"ftp://user:{KEY}@host"},
    ],
    ids=", ".join,
)
def test_a_failed_construction_shows_no_key(
    model_class: Callable[..., Any], values: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as caught:
        model_class(**values)
    assert leaks(caught.value) == []


@pytest.mark.parametrize(
    "values",
    [
        {"timeout": -1},
        {"unknown": 1},
        {"parser": VoxtralTranscriptionParser()},
        {"max_cost_usd": -1, "output": "segments"},
    ],
    ids=", ".join,
)
def test_what_could_not_be_made_to_transcribe_shows_no_key(values: dict[str, Any]) -> None:
    for make in (VoxtralTranscriber, partial(VoxtralTranscriptionLoader, "talk.wav")):
        with pytest.raises((ValidationError, VoxtralError)) as caught:
            make(api_key=KEY, **values)
        assert leaks(caught.value) == []


def test_a_recording_that_cannot_be_read_shows_no_key() -> None:
    with pytest.raises(VoxtralError, match="No such file") as caught:
        VoxtralTranscriptionLoader("missing.wav", api_key=KEY).load()
    assert leaks(caught.value) == []


def test_variables_of_the_caller_are_kept() -> None:
    """Only calls of this package lose their variables, not those of errors before."""

    def fail() -> None:
        mine = "kept"
        raise ZeroDivisionError(mine)

    with ScriptedServer(default=FAULTS["HTML"]) as server:
        model = ChatVoxtral(**settings(server))
        try:
            fail()
        except ZeroDivisionError as earlier:
            with pytest.raises(VoxtralError):
                model.invoke("Hello!")
            captured = traceback.TracebackException.from_exception(earlier, capture_locals=True)
    assert captured.stack[-1].locals == {"mine": "'kept'"}


def test_secrets_hide_themselves() -> None:
    secrets = Secrets((KEY,))
    assert (list(secrets), repr(secrets), secrets.__reduce__()) == (
        [KEY],
        "Secrets()",
        (Secrets, ()),
    )


# Keys of servers that need none


@pytest.mark.parametrize("key", ["k", "none", "EMPTY", "dummy"])
@pytest.mark.parametrize("call_mode", ["invoke", "stream"])
def test_a_short_key_is_no_secret(key: str, call_mode: str) -> None:
    """It is part of many words."""
    headers = {"x-request-id": f"id-{key}-1", "x-voxtral-model": f"model-{key}"}
    busy = json_reply({"detail": f"{key} is busy"}, status=429, headers=headers)
    with ScriptedServer(whole("Hello!", headers=headers), busy) as server:
        model = ChatVoxtral(base_url=server.url, api_key=SecretStr(key), max_retries=0)
        info = model.invoke("Hello!").response_metadata
        with pytest.raises(VoxtralError, match=f"{key} is busy") as caught:
            _ = model.invoke("Hi") if call_mode == "invoke" else list(model.stream("Hi"))
    assert info["model_name"] == f"model-{key}"
    assert caught.value.request_id == f"id-{key}-1"


def test_the_name_of_a_model_shows_no_key() -> None:
    reply = whole("Hello!", headers={"x-voxtral-model": f"model {KEY}"})

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=reply.headers, content=reply.body)

    client = httpx.Client(transport=httpx.MockTransport(respond))
    model = ChatVoxtral(api_key=SecretStr(KEY), http_client=client)
    assert model.invoke("Hello!").response_metadata["model_name"] == "model [redacted]"

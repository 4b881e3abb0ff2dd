"""Asynchronous methods where asyncio does not run, as under trio."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import SecretStr
from support.scripted_server import ScriptedServer
from support.sse_replies import whole

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
    audio_block,
)
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.completions.request import RequestBuilder
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.settings import SamplingSettings

SETTINGS: dict[str, Any] = {
    "base_url": "http://127.0.0.1:9/v1",
    "api_key": SecretStr("k" * 20),
    "max_retries": 0,
}
WAV = wav_header(3_200) + bytes(3_200)
QUESTION: list[BaseMessage] = [HumanMessage("Well?")]
REQUEST = RequestBuilder().from_prompt("Well?", SamplingSettings())

Method = Callable[[], Coroutine[Any, Any, Any] | AsyncIterator[Any]]


def step(work: Coroutine[Any, Any, Any] | AsyncIterator[Any]) -> None:
    """Take the first step of a coroutine or an asynchronous iterator without an event loop."""
    coroutine: Any = work if isinstance(work, Coroutine) else anext(work)
    coroutine.send(None)


@pytest.mark.parametrize(
    "method",
    [
        lambda: ChatVoxtral(**SETTINGS)._agenerate(QUESTION),
        lambda: ChatVoxtral(**SETTINGS)._agenerate([HumanMessage([audio_block(WAV)])]),
        lambda: ChatVoxtral(**SETTINGS)._astream(QUESTION),
        lambda: VoxtralLLM(**SETTINGS)._agenerate(["Well?"]),
        lambda: VoxtralLLM(**SETTINGS)._astream("Well?"),
        lambda: ChatVoxtral(**SETTINGS).ainvoke("Well?"),
        lambda: ChatVoxtral(**SETTINGS).astream("Well?"),
        lambda: VoxtralLLM(**SETTINGS).ainvoke("Well?"),
        lambda: VoxtralLLM(**SETTINGS).astream("Well?"),
        lambda: VoxtralClient(ConnectionSettings(**SETTINGS)).acomplete(REQUEST),
        lambda: VoxtralClient(ConnectionSettings(**SETTINGS)).astream(REQUEST),
        lambda: VoxtralClient(ConnectionSettings(base_url="local")).acomplete(REQUEST),
        lambda: VoxtralTranscriptionParser(**SETTINGS).alazy_parse(WAV),
        lambda: VoxtralTranscriptionParser(**SETTINGS).aparse(WAV),
        lambda: VoxtralTranscriptionParser(**SETTINGS).aestimate(WAV),
        lambda: VoxtralTranscriptionLoader(WAV, **SETTINGS).alazy_load(),
        lambda: VoxtralTranscriptionLoader(WAV, **SETTINGS).aload(),
        lambda: VoxtralTranscriber(**SETTINGS).ainvoke(WAV),
    ],
)
def test_the_error_says_that_asyncio_is_needed(method: Method) -> None:
    with pytest.raises(RuntimeError, match="run on asyncio") as caught:
        step(method())
    assert isinstance(caught.value, VoxtralError)


def test_connections_of_synchronous_calls_can_be_closed_there() -> None:
    with ScriptedServer(whole("Hi")) as server:
        chat = ChatVoxtral(base_url=server.url)
        chat.invoke("Hello!")
        with pytest.raises(StopIteration):
            step(chat.aclose())
        server.wait_until_disconnected()

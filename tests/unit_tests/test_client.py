"""`VoxtralClient` by itself: completions and transcriptions without a LangChain model."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from support.sse_replies import final, token, whole

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.completions.request import RequestBuilder
from langchain_voxtral.completions.response import StreamItem
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.errors import VoxtralAuthenticationError
from langchain_voxtral.profiles import VOXTRAL_MINI
from langchain_voxtral.protocol.responses import ResponseInfo
from langchain_voxtral.protocol.transcription_forms import TranscriptionOptions
from langchain_voxtral.protocol.transcription_request import (
    TranscriptionRequest,
)
from langchain_voxtral.providers import DEEPINFRA
from langchain_voxtral.settings import SamplingSettings
from langchain_voxtral.transcription_client import TranscriptionClient

KEY = "key-of-these-tests"
REQUEST = RequestBuilder().from_prompt("Hello!", SamplingSettings(temperature=None, top_p=None))
TRANSCRIPTION = TranscriptionRequest(
    provider=DEEPINFRA,
    endpoint="transcriptions",
    model=VOXTRAL_MINI,
    options=TranscriptionOptions("transcribe", None, None, 0.0),
    chunk=AudioChunk(0, 0.0, 1.0, wav_header(32_000) + bytes(32_000)),
    title="a second of silence",
)


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A streamed body, one read for each part."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


def respond(request: httpx.Request) -> httpx.Response:
    assert request.headers["authorization"] == f"Bearer {KEY}"
    match request.url.path:
        case "/v1/openai/audio/transcriptions":
            return httpx.Response(200, json={"text": "Hi there."})
        case "/v1/inference/mistralai/Voxtral-Mini-3B-2507":
            body = json.loads(request.content)
            assert body["input"] == "Hello!"
            if "stream" not in body:
                return httpx.Response(200, content=whole("Hi.").body)
            stream = Body(token("Hi"), token(".") + final())
            return httpx.Response(200, headers={"content-type": "text/plain"}, stream=stream)
        case path:
            raise AssertionError(path)


@pytest.fixture
def client() -> Iterator[VoxtralClient]:
    transport = httpx.MockTransport(respond)
    settings = ConnectionSettings(
        api_key=KEY,  # pydantic makes a SecretStr of it
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )
    with settings:
        yield VoxtralClient(settings)


def test_a_prompt_is_completed(client: VoxtralClient) -> None:
    [completion] = client.complete(REQUEST)
    assert (completion.text, completion.tool_calls) == ("Hi.", ())
    assert (completion.info.usage.input_tokens, completion.info.provider) == (12, "deepinfra")
    assert asyncio.run(client.acomplete(REQUEST)) == [completion]


def test_a_stream_yields_the_items_of_each_read(client: VoxtralClient) -> None:
    first, second, *rest = client.stream(REQUEST)
    assert (first, second[0], rest) == (["Hi"], ".", [])
    info = second[1]
    assert isinstance(info, ResponseInfo)
    assert (info.finish_reason, info.usage.output_tokens) == ("stop", 25)

    async def collect() -> list[list[StreamItem]]:
        return [list(items) async for items in client.astream(REQUEST)]

    assert asyncio.run(collect()) == [first, second]


def test_a_chunk_is_transcribed(client: VoxtralClient) -> None:
    speech = TranscriptionClient(client.settings)
    transcript = speech.transcribe(TRANSCRIPTION)
    assert (transcript.transcript.text, transcript.model) == ("Hi there.", VOXTRAL_MINI)
    assert asyncio.run(speech.atranscribe(TRANSCRIPTION)) == transcript


def test_settings_are_read_at_each_request(
    client: VoxtralClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DEEPINFRA.key_variables:
        monkeypatch.delenv(name, raising=False)
    client.complete(REQUEST)
    client.settings.api_key = None
    with pytest.raises(VoxtralAuthenticationError, match="DeepInfra needs a key"):
        client.complete(REQUEST)

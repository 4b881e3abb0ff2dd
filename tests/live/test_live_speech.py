"""Transcription by DeepInfra: less than a minute of audio in total, at $0.001 per minute.

Which endpoints the hosted model has is not known for sure: one that refuses is skipped and says
why. Shapes are looked at, and one word that anybody hears in the recording; what else is told
(times, a language, a cost) is printed with `-rP`.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage

from langchain_voxtral import ChatVoxtral, VoxtralTranscriptionParser, audio_block
from langchain_voxtral.errors import (
    VoxtralInvalidRequestError,
    VoxtralNotFoundError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.protocol.transcription_request import SpeechEndpoint
from langchain_voxtral.providers import DEEPINFRA_KEY_VARIABLES, DEEPINFRA_URL

pytest.importorskip("support.speech_samples", reason="needs the libraries of sound")
from support.cassettes.speech_scenarios import NO_SOUND, SILENCE, SPEECH

pytestmark = pytest.mark.live

if not any(os.environ.get(name, "").strip() for name in DEEPINFRA_KEY_VARIABLES):
    pytest.skip(
        f"Live tests need a DeepInfra key in one of {', '.join(DEEPINFRA_KEY_VARIABLES)}.",
        allow_module_level=True,
    )

SECONDS = 3.0
ENDPOINTS: tuple[SpeechEndpoint, ...] = ("transcriptions", "native", "chat")


def _parser(**settings: Any) -> VoxtralTranscriptionParser:
    budget: dict[str, Any] = {"max_cost_usd": 0.001, "price_per_minute": 0.001}
    return VoxtralTranscriptionParser(base_url=DEEPINFRA_URL, **budget, **settings)


@cache
def _transcribe(**settings: Any) -> list[Document]:
    """Transcribe the speech, once for each combination of settings."""
    try:
        with _parser(**settings) as parser:
            return parser.parse(SPEECH)
    except (VoxtralUnsupportedFeatureError, VoxtralNotFoundError) as refusal:
        pytest.skip(f"DeepInfra does not offer {settings}: {refusal}")


def _check(document: Document) -> None:
    metadata = document.metadata
    print(document.page_content, metadata)  # noqa: T201 - what a live server tells is news
    assert "americans" in document.page_content.lower()
    assert metadata["duration"] == SECONDS
    assert metadata["cost"] >= 0
    assert metadata["cost_source"] in {"server", "estimated"}
    assert metadata["model"]
    assert metadata["request_id"]
    assert metadata["n_chunks"] == 1
    assert metadata["chunks_from_store"] == 0


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_transcribes(endpoint: SpeechEndpoint) -> None:
    [document] = _transcribe(endpoint=endpoint)
    _check(document)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_every_endpoint_transcribes_asynchronously(endpoint: SpeechEndpoint) -> None:
    _transcribe(endpoint=endpoint)  # skips if there is no such endpoint
    async with _parser(endpoint=endpoint) as parser:
        [document] = await parser.aparse(SPEECH)
    _check(document)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_translates(endpoint: SpeechEndpoint) -> None:
    [document] = _transcribe(endpoint=endpoint, task="translate")
    _check(document)


@pytest.mark.parametrize("endpoint", ["transcriptions", "native"])
def test_times_are_within_the_recording(endpoint: SpeechEndpoint) -> None:
    documents = _transcribe(endpoint=endpoint, mode="segment")
    assert "americans" in " ".join(document.page_content for document in documents).lower()
    times = [document.metadata[name] for document in documents for name in ("start", "end")]
    print(times, [document.metadata["timestamps_source"] for document in documents])  # noqa: T201
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= SECONDS
    if documents[0].metadata["timestamps_source"] == "chunk":
        assert times == [0, SECONDS]


def test_a_language_may_be_given() -> None:
    [document] = _transcribe(language="en")
    assert document.metadata["language"] == "en"
    assert document.metadata["language_source"] == "asked"
    _check(document)


def test_silence_is_not_an_error() -> None:
    with _parser(send_silence=True) as parser:
        [document] = parser.parse(SILENCE)
    print(repr(document.page_content))  # noqa: T201
    assert document.metadata["duration"] == 0.5


def test_a_file_without_audio_is_refused() -> None:
    with _parser(max_retries=0) as parser, pytest.raises(VoxtralInvalidRequestError) as refusal:
        parser.parse(NO_SOUND)
    assert refusal.value.attempts == 1
    assert "audio" in refusal.value.message


def test_a_model_that_does_not_exist_is_named_in_the_error() -> None:
    with (
        _parser(model="mistralai/no-such-model") as parser,
        pytest.raises(VoxtralNotFoundError) as refusal,
    ):
        parser.parse(SILENCE)
    assert "mistralai/no-such-model" in refusal.value.message


def _chat() -> ChatVoxtral:
    return ChatVoxtral(base_url=DEEPINFRA_URL, temperature=0, max_tokens=60)


def _question(folder: Path) -> HumanMessage:
    path = folder / "spoken.wav"
    path.write_bytes(SPEECH)
    return HumanMessage(
        [audio_block(path), {"type": "text", "text": "Repeat what is said in this recording."}]
    )


def test_a_chat_about_a_recording(tmp_path: Path) -> None:
    with _chat() as chat:
        try:
            message = chat.invoke([_question(tmp_path)])
        except (VoxtralUnsupportedFeatureError, VoxtralNotFoundError) as refusal:
            pytest.skip(f"DeepInfra does not offer chats about recordings: {refusal}")
    assert "americans" in message.text.lower()
    assert message.usage_metadata is not None
    assert message.usage_metadata["input_tokens"] > 0
    assert message.response_metadata["cost"] >= 0


async def test_a_streamed_chat_about_a_recording(tmp_path: Path) -> None:
    question = _question(tmp_path)
    async with _chat() as chat:
        try:
            chunks = [chunk async for chunk in chat.astream([question])]
        except (VoxtralUnsupportedFeatureError, VoxtralNotFoundError) as refusal:
            pytest.skip(f"DeepInfra does not offer chats about recordings: {refusal}")
    assert "americans" in "".join(chunk.text for chunk in chunks).lower()
    assert chunks[-1].usage_metadata is not None

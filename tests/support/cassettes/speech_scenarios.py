"""The recorded calls with speech: transcriptions, and chats about a recording.

Cassettes hold only the hashes of the recordings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from support.cassettes.scenarios import Scenario
from support.speech_samples import FRENCH, speech, wav_bytes

from langchain_voxtral import VoxtralTranscriptionParser, audio_block
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralError,
    VoxtralInvalidRequestError,
)

WHOLE = wav_bytes(speech())
"""Eleven seconds, with pauses."""
SPEECH = wav_bytes(speech()[:48_000])
"""Its first three seconds: “And so, my fellow Americans,”"""
FRENCH_SPEECH = wav_bytes(speech(FRENCH))
"""Four seconds."""
SILENCE = wav_header(16_000) + bytes(16_000)
"""Half a second."""
NO_SOUND = (b"\xff\xfb\x90\xc4" + b"\xaa" * 413) * 40
"""MP3 frames that claim one second and that no decoder can read."""


@dataclass(frozen=True, slots=True)
class TranscriptionScenario:
    """One transcription.

    Args:
        sound: The recording.
        settings: For the constructor of the parser.
        error: The error that it raises, if any.
    """

    sound: bytes = field(default=SPEECH, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    error: type[VoxtralError] | None = None

    def parser(self, base_url: str, api_key: str | None = None) -> VoxtralTranscriptionParser:
        """Return the parser; it sends one chunk at a time, so that exchanges have an order."""
        always = {"api_key": api_key, "max_concurrency": 1, "progress": False}
        return VoxtralTranscriptionParser(base_url=base_url, **{**always, **self.settings})


TRANSCRIPTIONS: dict[str, TranscriptionScenario] = {
    "speech": TranscriptionScenario(),
    "speech_segments": TranscriptionScenario(settings={"mode": "segment", "language": "en"}),
    "speech_chunks": TranscriptionScenario(WHOLE, {"mode": "chunk", "chunk_seconds": 6}),
    "speech_native": TranscriptionScenario(
        settings={"endpoint": "native", "prompt": "John F. Kennedy"}
    ),
    "speech_srt": TranscriptionScenario(settings={"endpoint": "native", "mode": "srt"}),
    "speech_words": TranscriptionScenario(settings={"timestamps": "word"}),
    "speech_french": TranscriptionScenario(FRENCH_SPEECH),
    "speech_translation": TranscriptionScenario(FRENCH_SPEECH, {"task": "translate"}),
    "speech_chat": TranscriptionScenario(settings={"endpoint": "chat"}),
    "speech_silence": TranscriptionScenario(SILENCE, {"send_silence": True}),
    "speech_unknown_language": TranscriptionScenario(
        settings={"language": "xx"}, error=VoxtralInvalidRequestError
    ),
    "speech_no_sound": TranscriptionScenario(NO_SOUND, error=VoxtralInvalidRequestError),
    "speech_wrong_key": TranscriptionScenario(
        settings={"api_key": "not-the-key-of-this-server"}, error=VoxtralAuthenticationError
    ),
}


def question(sound: bytes) -> HumanMessage:
    """Return a question about a recording."""
    return HumanMessage(
        [audio_block(sound), {"type": "text", "text": "What is said in this recording?"}]
    )


CHATS: dict[str, Scenario] = {
    "speech_question": Scenario([question(SPEECH)]),
    "speech_question_stream": Scenario([question(SPEECH)], streamed=True),
}


def transcribe(
    scenario: TranscriptionScenario, base_url: str, api_key: str | None = None
) -> list[Document]:
    """Transcribe and return the documents."""
    with scenario.parser(base_url, api_key) as parser:
        return parser.parse(scenario.sound)


async def atranscribe(
    scenario: TranscriptionScenario, base_url: str, api_key: str | None = None
) -> list[Document]:
    """Do what `transcribe` does, asynchronously."""
    async with scenario.parser(base_url, api_key) as parser:
        return await parser.aparse(scenario.sound)

"""What is recorded of speech: transcriptions, and chats about a recording.

The recordings are cuts of one in the wheel of `moonshine-voice`, and made here otherwise; so
cassettes need hold only their hashes.
"""

import io
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from support.cassettes.scenes import Scene
from support.speech_samples import BECKETT

from langchain_voxtral import VoxtralTranscriptionParser, audio_block
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralError,
    VoxtralInvalidRequestError,
)


def _beginning(seconds: float) -> bytes:
    """Return the first seconds of the recording in the wheel, sample by sample as they are."""
    file = io.BytesIO()
    with wave.open(str(BECKETT)) as whole, wave.open(file, "wb") as cut:
        cut.setparams(whole.getparams())
        cut.writeframes(whole.readframes(round(seconds * whole.getframerate())))
    return file.getvalue()


SPOKEN = _beginning(3.5)
"""“Ever tried. Ever failed.”"""
WHOLE = _beginning(10.0)
"""All of it, with pauses."""
SILENCE = wav_header(16_000) + bytes(16_000)
"""Half a second."""
NO_SOUND = (b"\xff\xfb\x90\xc4" + b"\xaa" * 413) * 40
"""Frames of an MP3, one second by their headers, that hold nothing a decoder can read."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """One recording that is transcribed.

    Args:
        sound: The recording.
        settings: For the constructor of the parser.
        error: What it raises, if it does.
    """

    sound: bytes = field(default=SPOKEN, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    error: type[VoxtralError] | None = None

    def parser(self, base_url: str, api_key: str | None = None) -> VoxtralTranscriptionParser:
        """Return the parser; one chunk after the other, so that recordings have an order."""
        always = {"api_key": api_key, "max_concurrency": 1, "progress": False}
        return VoxtralTranscriptionParser(base_url=base_url, **{**always, **self.settings})


HEARINGS: dict[str, Hearing] = {
    "speech": Hearing(),
    "speech_segments": Hearing(settings={"mode": "segment", "language": "en"}),
    "speech_chunks": Hearing(WHOLE, {"mode": "chunk", "chunk_seconds": 6}),
    "speech_native": Hearing(settings={"endpoint": "native", "prompt": "Samuel Beckett"}),
    "speech_srt": Hearing(settings={"endpoint": "native", "mode": "srt"}),
    "speech_translation": Hearing(settings={"task": "translate"}),
    "speech_chat": Hearing(settings={"endpoint": "chat"}),
    "speech_silence": Hearing(SILENCE),
    "speech_not_english": Hearing(settings={"language": "fr"}, error=VoxtralInvalidRequestError),
    "speech_no_sound": Hearing(NO_SOUND, error=VoxtralInvalidRequestError),
    "speech_wrong_key": Hearing(
        settings={"api_key": "not-the-key-of-this-server"}, error=VoxtralAuthenticationError
    ),
}


def question(sound: bytes) -> HumanMessage:
    """Return a question about a recording."""
    return HumanMessage(
        [audio_block(sound), {"type": "text", "text": "What is said in this recording?"}]
    )


CHATS: dict[str, Scene] = {
    "speech_question": Scene([question(SPOKEN)]),
    "speech_question_stream": Scene([question(SPOKEN)], streamed=True),
}


def hear(hearing: Hearing, base_url: str, api_key: str | None = None) -> list[Document]:
    """Transcribe and return the documents."""
    with hearing.parser(base_url, api_key) as parser:
        return parser.parse(hearing.sound)


async def ahear(hearing: Hearing, base_url: str, api_key: str | None = None) -> list[Document]:
    """Do what `hear` does, asynchronously."""
    async with hearing.parser(base_url, api_key) as parser:
        return await parser.aparse(hearing.sound)

"""Request the speech routes of the embedded engine and read the responses."""

from typing import Any

import httpx
from support.speech_samples import pcm16, speech

from langchain_voxtral.audio.wav import wav_header

MODEL = "mistralai/Voxtral-Mini-3B-2507"
SPEECH_MODEL = "whisper-base"
NATIVE = f"inference/{MODEL}"
TRANSCRIPTIONS = "openai/audio/transcriptions"
TRANSLATIONS = "openai/audio/translations"


def wav(frames: bytes) -> bytes:
    return wav_header(len(frames)) + frames


FRAMES = pcm16(speech())
SHORT = wav(FRAMES[: 2 * 48_000])
"""Three seconds: "And so, my fellow Americans,"."""


def ask(
    http: httpx.Client, route: str = TRANSCRIPTIONS, sound: bytes = SHORT, **fields: Any
) -> httpx.Response:
    native = route.startswith("inference")
    named = {} if native else {"model": MODEL}
    file = {"audio" if native else "file": ("audio.wav", sound)}
    return http.post(route, files=file, data={**named, **fields})


def json_body(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document

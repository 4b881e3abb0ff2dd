"""Request the speech routes of the embedded engine and read the responses."""

import io
import wave
from typing import Any

import httpx
from support.speech_samples import BECKETT

MODEL = "mistralai/Voxtral-Mini-3B-2507"
SPEECH_MODEL = "moonshine-tiny-en"
NATIVE = f"inference/{MODEL}"
TRANSCRIPTIONS = "openai/audio/transcriptions"
TRANSLATIONS = "openai/audio/translations"


def wav(frames: bytes) -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(frames)
    return made.getvalue()


with wave.open(str(BECKETT)) as _recording:
    FRAMES = _recording.readframes(_recording.getnframes())
SHORT = wav(FRAMES[: 2 * 48_000])
"""Three seconds: "Ever tried. Ever failed."."""


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

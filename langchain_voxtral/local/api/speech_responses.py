"""Transcripts in DeepInfra's native shape and in OpenAI's five."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from langchain_voxtral.audio.subtitles import to_srt, to_vtt
from langchain_voxtral.local.api.responses import COST, NO_STORE, json_bytes
from langchain_voxtral.local.api.speech_requests import NativeForm, OpenAIForm
from langchain_voxtral.local.engine.speech import SpeechResult
from langchain_voxtral.local.engine.whisper import SpeechSettings

_JSON = "application/json"


def speech_response(
    result: SpeechResult, form: NativeForm | OpenAIForm, request_id: str
) -> Response:
    """Return the response with a transcript, in the format that the form asks for."""
    if isinstance(form, NativeForm):
        media_type, content = _JSON, _native(result, form.settings, request_id)
    else:
        media_type, write = _FORMATS[form.response_format]
        content = write(result, form.settings)
    return Response(content, headers={"content-type": media_type, **NO_STORE})


def _native(result: SpeechResult, settings: SpeechSettings, request_id: str) -> bytes:
    return json_bytes(
        {
            "text": result.text,
            "segments": _segments(result),
            **_language(result),
            "input_length_ms": round(result.duration * 1000),
            "words": _words(result, "text") if settings.has_words else None,
            "duration": result.duration,
            "request_id": request_id,
            "inference_status": {
                "status": "succeeded",
                "runtime_ms": result.runtime_ms,
                "cost": COST,
            },
        }
    )


def _language(result: SpeechResult) -> dict[str, Any]:
    """Return the documented field, which is null if nobody speaks, and two fields of our own."""
    code, probability, source = result.language or (None, None, None)
    return {"language": code, "language_probability": probability, "language_source": source}


def _segments(result: SpeechResult) -> list[dict[str, Any]]:
    return [
        {"id": number, "start": segment.start, "end": segment.end, "text": segment.text}
        for number, segment in enumerate(result.segments)
    ]


def _words(result: SpeechResult, text_field: str) -> list[dict[str, Any]]:
    return [
        {text_field: word.text, "start": word.start, "end": word.end}
        for segment in result.segments
        for word in segment.words
    ]


def _usage(result: SpeechResult) -> dict[str, Any]:
    """Return OpenAI's usage by duration, with DeepInfra's cost field."""
    return {"type": "duration", "seconds": result.duration, "estimated_cost": COST}


def _json(result: SpeechResult, _: SpeechSettings) -> bytes:
    # OpenAI's has no language; whose client asks for no times would not learn of it.
    return json_bytes({"text": result.text, **_language(result), "usage": _usage(result)})


def _verbose_json(result: SpeechResult, settings: SpeechSettings) -> bytes:
    return json_bytes(
        {
            "task": settings.task,
            **_language(result),
            "duration": result.duration,
            "text": result.text,
            "segments": _segments(result),
            **({"words": _words(result, "word")} if settings.has_words else {}),
            "usage": _usage(result),
        }
    )


_FORMATS: Mapping[str, tuple[str, Callable[[SpeechResult, SpeechSettings], bytes]]] = {
    "json": (_JSON, _json),
    "verbose_json": (_JSON, _verbose_json),
    "text": ("text/plain; charset=utf-8", lambda result, _: result.text.encode()),
    "srt": (
        "application/x-subrip; charset=utf-8",
        lambda result, _: to_srt(result.segments).encode(),
    ),
    "vtt": ("text/vtt; charset=utf-8", lambda result, _: to_vtt(result.segments).encode()),
}
"""OpenAI's response formats: their media types, and what writes them."""

"""Transcripts in DeepInfra's native shape and in OpenAI's five."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from langchain_voxtral.audio.subtitles import to_srt, to_vtt
from langchain_voxtral.local.api.responses import COST, NO_STORE, json_bytes
from langchain_voxtral.local.api.speech_requests import NativeForm, OpenAIForm
from langchain_voxtral.local.engine.scheduler import SpeechResult
from langchain_voxtral.local.engine.speech import LANGUAGE

_JSON = "application/json"


def speech_response(
    result: SpeechResult, form: NativeForm | OpenAIForm, request_id: str
) -> Response:
    """Return the response with a transcript, in the format that the form asks for."""
    if isinstance(form, NativeForm):
        media_type, content = _JSON, json_bytes(_native(result, request_id))
    else:
        media_type, write = _FORMATS[form.response_format]
        content = write(result, form.task)
    headers = {"content-type": media_type, **NO_STORE}
    if form.ignored:
        headers["x-voxtral-ignored"] = ", ".join(form.ignored)
    return Response(content, headers=headers)


def _native(result: SpeechResult, request_id: str) -> dict[str, Any]:
    return {
        "text": result.text,
        "segments": _segments(result),
        "language": LANGUAGE,
        "input_length_ms": round(result.duration * 1000),
        "words": None,  # their times are not known
        "duration": result.duration,
        "request_id": request_id,
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": result.runtime_ms,
            "cost": COST,
        },
    }


def _segments(result: SpeechResult) -> list[dict[str, Any]]:
    return [
        {"id": number, "start": segment.start, "end": segment.end, "text": segment.text}
        for number, segment in enumerate(result.segments)
    ]


def _usage(result: SpeechResult) -> dict[str, Any]:
    """Return OpenAI's usage by duration, with DeepInfra's cost field."""
    return {"type": "duration", "seconds": result.duration, "estimated_cost": COST}


def _json(result: SpeechResult, _: str) -> bytes:
    return json_bytes({"text": result.text, "usage": _usage(result)})


def _verbose_json(result: SpeechResult, task: str) -> bytes:
    return json_bytes(
        {
            "task": task,
            "language": LANGUAGE,
            "duration": result.duration,
            "text": result.text,
            "segments": _segments(result),
            "usage": _usage(result),
        }
    )


_FORMATS: Mapping[str, tuple[str, Callable[[SpeechResult, str], bytes]]] = {
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

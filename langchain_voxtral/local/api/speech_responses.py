"""Transcripts in DeepInfra's native shape and in OpenAI's five."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from langchain_voxtral.audio.subtitles import to_srt, to_vtt
from langchain_voxtral.local.api.sending import COST, json_bytes, start, while_connected
from langchain_voxtral.local.api.speech_requests import NativeForm, OpenAIForm
from langchain_voxtral.local.engine.hearing import SpeechResult, SpeechTask, SpeechWorker
from langchain_voxtral.local.engine.speech import LANGUAGE

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["SpeechAnswer"]

_JSON = "application/json"


class SpeechAnswer:
    """An ASGI response that stops hearing when the client goes away.

    Args:
        ears: The speech engine.
        file: The recording; it is closed in the end.
        form: What is asked for.
        request_id: The request's id.
    """

    def __init__(
        self, ears: SpeechWorker, file: BinaryIO, form: NativeForm | OpenAIForm, request_id: str
    ) -> None:
        self._form = form
        self._request_id = request_id
        passage = form.chunk_length_s if isinstance(form, NativeForm) else None
        self._hearing = SpeechTask(ears, file, passage)

    async def __call__(self, _: "Scope", receive: "Receive", send: "Send") -> None:
        """Hear the recording and send what is said."""
        with self._hearing:
            await while_connected(receive, self._answer(send))

    async def _answer(self, send: "Send") -> None:
        heard = await self._hearing.result()
        if isinstance(self._form, NativeForm):
            media_type, content = _JSON, json_bytes(_native(heard, self._request_id))
        else:
            media_type, write = _FORMATS[self._form.response_format]
            content = write(heard, self._form.task)
        ignored = ", ".join(self._form.ignored)
        further = {"x-voxtral-ignored": ignored} if ignored else {}
        await start(send, media_type, content_length=len(content), further=further)
        await send({"type": "http.response.body", "body": content})


def _native(heard: SpeechResult, request_id: str) -> dict[str, Any]:
    return {
        "text": heard.text,
        "segments": _segments(heard),
        "language": LANGUAGE,
        "input_length_ms": round(heard.duration * 1000),
        "words": None,  # their times are not known
        "duration": heard.duration,
        "request_id": request_id,
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": heard.runtime_ms,
            "cost": COST,
        },
    }


def _segments(heard: SpeechResult) -> list[dict[str, Any]]:
    return [
        {"id": number, "start": segment.start, "end": segment.end, "text": segment.text}
        for number, segment in enumerate(heard.segments)
    ]


def _verbose(heard: SpeechResult, task: str) -> dict[str, Any]:
    return {
        "task": task,
        "language": LANGUAGE,
        "duration": heard.duration,
        "text": heard.text,
        "segments": _segments(heard),
        "usage": _usage(heard),
    }


def _usage(heard: SpeechResult) -> dict[str, Any]:
    """Return OpenAI's usage by duration, with DeepInfra's field for what it costs."""
    return {"type": "duration", "seconds": heard.duration, "estimated_cost": COST}


def _plain(heard: SpeechResult) -> dict[str, Any]:
    return {"text": heard.text, "usage": _usage(heard)}


_FORMATS: Mapping[str, tuple[str, Callable[[SpeechResult, str], bytes]]] = {
    "json": (_JSON, lambda heard, _: json_bytes(_plain(heard))),
    "verbose_json": (_JSON, lambda heard, task: json_bytes(_verbose(heard, task))),
    "text": ("text/plain; charset=utf-8", lambda heard, _: heard.text.encode()),
    "srt": (
        "application/x-subrip; charset=utf-8",
        lambda heard, _: to_srt(heard.segments).encode(),
    ),
    "vtt": ("text/vtt; charset=utf-8", lambda heard, _: to_vtt(heard.segments).encode()),
}
"""OpenAI's response formats: their media types, and what writes them."""

"""What strict servers answer to transcriptions, whole and streamed."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
from support import transcription_streams
from support.sse_replies import event

TRANSCRIPT = "Good morning."
"""The transcript of every recording."""


def transcribe(name: str, path: str, fields: dict[str, str], seconds: float) -> httpx.Response:
    """Return a transcript, or its stream, in which each word comes in a piece of its own."""
    answer = _WHOLE[name](path, fields, seconds)
    if fields.get("stream") != "true":
        return httpx.Response(200, json=answer)
    words = re.findall(r"\s*\S+", answer["text"])
    body = b"".join(STREAMED[name](words, fields, answer))
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)


def _stream_of_mistral(
    words: list[str], _: dict[str, str], answer: dict[str, Any]
) -> Iterator[bytes]:
    yield from map(transcription_streams.mistral_delta, words)
    for segment in answer["segments"]:
        yield event(segment | {"type": "transcription.segment"})
    yield event(answer | {"type": "transcription.done"})


def _stream_of_vllm(words: list[str], fields: dict[str, str], _: dict[str, Any]) -> Iterator[bytes]:
    yield from map(transcription_streams.delta, words)
    yield transcription_streams.delta("", "stop")
    if fields.get("stream_include_usage") == "true":
        yield transcription_streams.usage(prompt_tokens=30, completion_tokens=4)
    yield transcription_streams.DONE


def _stream_of_llama_cpp(
    words: list[str], _: dict[str, str], answer: dict[str, Any]
) -> Iterator[bytes]:
    for word in words:
        yield event({"type": "transcript.text.delta", "delta": word})
    yield event(answer | {"text": ""})


STREAMED: Mapping[str, Callable[..., Iterator[bytes]]] = {
    "mistral": _stream_of_mistral,
    "vllm": _stream_of_vllm,
    "llama_cpp": _stream_of_llama_cpp,
}
"""The servers that stream transcripts, and how."""


def _of_deepinfra(path: str, fields: dict[str, str], seconds: float) -> dict[str, Any]:
    if "task" in fields:
        return {
            "text": TRANSCRIPT,
            "segments": [{"end": seconds, "id": 0, "start": 0.0, "text": TRANSCRIPT}],
            "language": fields.get("language"),
            "input_length_ms": round(seconds * 1000),
            "words": None,
            "duration": 0.0,
            "request_id": "R1",
            "inference_status": {"status": "unknown", "runtime_ms": 0, "cost": 0.0}
            | {"tokens_generated": 0, "tokens_input": 0, "output_length": 0},
        }
    if fields["response_format"] == "json":
        return {"text": TRANSCRIPT}
    nothing = dict.fromkeys(("segments", "language", "words"))
    task = "translate" if path.endswith("translations") else "transcribe"
    return {"task": task, "text": TRANSCRIPT, "duration": seconds, **nothing}


def _of_mistral(_: str, fields: dict[str, str], seconds: float) -> dict[str, Any]:
    speaker = "speaker_1" if fields.get("diarize") == "true" else None
    granularity = fields.get("timestamp_granularities")
    texts = TRANSCRIPT.split() if granularity == "word" else [TRANSCRIPT] if granularity else []
    length = seconds / max(1, len(texts))
    segments = [
        {"text": text, "start": at * length, "end": (at + 1) * length, "speaker_id": speaker}
        for at, text in enumerate(texts)
    ]
    return {
        "model": fields["model"],
        "text": TRANSCRIPT,
        "language": None,
        "segments": [
            segment | {"type": "transcription_segment", "score": None} for segment in segments
        ],
        "usage": {
            "prompt_audio_seconds": math.ceil(seconds),
            "prompt_tokens": 4,
            "total_tokens": 29 + 375 * math.ceil(seconds / 30),
            "completion_tokens": 25,
        },
        "finish_reason": None,
    }


def _of_openrouter(_: str, __: dict[str, str], seconds: float) -> dict[str, Any]:
    return {"text": TRANSCRIPT, "usage": {"seconds": seconds, "cost": seconds * 0.000058}}


def _of_vllm(_: str, __: dict[str, str], seconds: float) -> dict[str, Any]:
    return {"text": TRANSCRIPT, "usage": {"type": "duration", "seconds": math.ceil(seconds)}}


def _of_llama_cpp(_: str, fields: dict[str, str], __: float) -> dict[str, Any]:
    """Return the model's answer; the prompt replaces its instruction."""
    asked = fields.get("prompt", "Transcribe audio to text")
    obeys = re.search("write down|transcribe", asked, re.IGNORECASE)
    usage = {"type": "tokens", "input_tokens": 380, "output_tokens": 4, "total_tokens": 384}
    text = TRANSCRIPT if obeys else "I am not sure what you mean."
    return {"type": "transcript.text.done", "text": text, "usage": usage}


_WHOLE = {
    "deepinfra": _of_deepinfra,
    "mistral": _of_mistral,
    "openrouter": _of_openrouter,
    "vllm": _of_vllm,
    "llama_cpp": _of_llama_cpp,
}

"""Servers that judge a chat completions request as strictly as the real ones do.

Sources: DeepInfra's OpenAPI description; vLLM's request models with mistral-common's checks behind
them; llama.cpp's `server-common`.
"""

import base64
import binascii
import io
import itertools
import json
import wave
from collections.abc import Callable
from typing import Any

import httpx

Judge = Callable[[httpx.Request], httpx.Response]

ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Two cities."}}
        | {"finish_reason": "stop"}
    ],
    "usage": {
        "prompt_tokens": 400,
        "completion_tokens": 3,
        "total_tokens": 403,
        "prompt_tokens_details": {"audio_tokens": 376},
    },
}
_PATHS = {
    "deepinfra": "/v1/openai/chat/completions",
    "vllm": "/v1/chat/completions",
    "llama_cpp": "/v1/chat/completions",
}
_PART_TYPES = {
    "deepinfra": {"text", "image_url", "input_audio"},
    "vllm": {"text", "image_url", "input_audio", "audio_url"},
    "llama_cpp": {"text", "image_url", "input_audio"},
}


class RefusedError(Exception):
    """A request that the server does not take."""


def strict(name: str) -> Judge:
    """Return what a server of this name does with a request."""

    def judge(request: httpx.Request) -> httpx.Response:
        if request.url.path != _PATHS[name]:
            return httpx.Response(404, json={"detail": "Not Found"})
        try:
            _check(name, json.loads(request.content)["messages"])
        except RefusedError as refusal:
            return httpx.Response(400, json={"error": {"message": str(refusal)}})
        return httpx.Response(200, json=ANSWER)

    return judge


def _check(name: str, messages: list[dict[str, Any]]) -> None:
    heard = [message for message in messages if isinstance(message["content"], list)]
    if heard and any(message["role"] == "system" for message in messages):
        raise RefusedError("Found system messages and audio chunks. This is not allowed.")
    roles = [message["role"] for message in messages]
    if any(one == other == "user" for one, other in itertools.pairwise(roles)):
        raise RefusedError("Conversation roles must alternate.")
    for message in heard:
        if message["role"] != "user" or message.keys() != {"role", "content"}:
            raise RefusedError("Only users send parts.")
        for part in message["content"]:
            _check_part(name, part)


def _check_part(name: str, part: dict[str, Any]) -> None:
    kind = part["type"]
    if kind not in _PART_TYPES[name] or part.keys() != {"type", kind}:
        raise RefusedError(f"unsupported content[].type {part}")
    if kind == "text":
        if not (isinstance(part["text"], str) and part["text"]):
            raise RefusedError("text must be a text")
        return
    sound = part["input_audio"]
    if sound.keys() != {"data", "format"} or sound["format"] not in {"wav", "mp3"}:
        raise RefusedError("input_audio.format must be either 'wav' or 'mp3'")
    try:
        data = base64.b64decode(sound["data"], validate=True)
    except binascii.Error as error:
        raise RefusedError("Only base64 data is allowed") from error
    if sound["format"] == "mp3":
        if not data.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xe3")):
            raise RefusedError("this is no mp3")
        return
    with wave.open(io.BytesIO(data)) as wav:
        if (wav.getnchannels(), wav.getframerate(), wav.getsampwidth()) != (1, 16_000, 2):
            raise RefusedError("this is no mono 16 kHz 16-bit wav")

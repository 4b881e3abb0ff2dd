"""What strict servers check: the rules of each, and the requests that break one."""

import base64
import binascii
import io
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import soundfile
from support.mistral_order import mistral_order_fault
from support.multipart_forms import parse_multipart

RATE = 16_000
LANGUAGES = frozenset(["de", "en", "es", "fr", "hi", "it", "nl", "pt", "sv"])

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


class RefusedError(Exception):
    """The server rejects the request."""


@dataclass(frozen=True, slots=True)
class Strict:
    """What a kind of server accepts.

    `fields` are those of its chats; `forms` has those of its speech endpoints by path, the file's
    first; `times` are fields that may be repeated. `prefill` are the fields that a last assistant
    message needs, `prefix` those of that message. `host` is that of a server that demands a key;
    `models` are its models for chats and for speech, if any others are errors.
    """

    chat: str
    forms: Mapping[str, tuple[str, frozenset[str]]]
    times: frozenset[str]
    formats: frozenset[str]
    fields: frozenset[str]
    sounds: frozenset[str]
    max_recordings: float
    max_seconds: float
    max_bytes: float
    refusal: Callable[[str], httpx.Response]
    names_tools: bool = True
    is_mistral: bool = False
    prefill: Mapping[str, Any] = field(default_factory=dict)
    prefix: Mapping[str, Any] = field(default_factory=dict)
    host: str | None = None
    models: tuple[frozenset[str], frozenset[str]] | None = None
    is_audio_text: bool = False
    answer: Mapping[str, Any] = field(default_factory=lambda: ANSWER)


# Chats


def check_chat(server: Strict, body: dict[str, Any]) -> None:
    if strange := body.keys() - server.fields - server.prefill.keys():
        raise RefusedError(f"unknown fields: {sorted(strange)}")
    if server.models is not None and body["model"] not in server.models[0]:
        raise RefusedError(f"Invalid model: {body['model']}")
    if not server.names_tools and not isinstance(body.get("tool_choice", "auto"), str):
        raise RefusedError("tool_choice must be a string")
    messages = body["messages"]
    audio_messages = [message for message in messages if isinstance(message["content"], list)]
    if audio_messages and any(message["role"] == "system" for message in messages):
        raise RefusedError("Found system messages and audio chunks. This is not allowed.")
    roles = [message["role"] for message in messages]
    if any(one == other == "user" for one, other in itertools.pairwise(roles)):
        raise RefusedError("Conversation roles must alternate.")
    _check_calls(messages)
    _check_order(server, body)
    for message in audio_messages:
        if message["role"] != "user" or message.keys() != {"role", "content"}:
            raise RefusedError("Only users send parts.")
        for part in message["content"]:
            _check_part(server, part)
    parts = [part for message in audio_messages for part in message["content"]]
    if sum(part["type"] != "text" for part in parts) > server.max_recordings:
        raise RefusedError(f"At most {server.max_recordings} audio(s) may be provided.")


def _check_calls(messages: list[dict[str, Any]]) -> None:
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    ids = [call["id"] for call in calls]
    ids += [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    if not all(re.fullmatch("[a-zA-Z0-9]{9}", call_id) for call_id in ids):
        raise RefusedError(f"Tool call ids must be nine letters and digits: {ids}")


def _check_order(server: Strict, body: dict[str, Any]) -> None:
    prefill = {name: body[name] for name in server.prefill if name in body}
    *earlier, last = body["messages"]
    is_prefill = last["role"] == "assistant"
    prefixes = [{name: last[name] for name in server.prefix if name in last}]
    prefixes += [{} for message in earlier if not message.keys() & server.prefix.keys()]
    wanted = [server.prefix if is_prefill else {}, *({} for _ in earlier)]
    if prefill != (server.prefill if is_prefill else {}) or prefixes != wanted:
        raise RefusedError("A last assistant message must be continued, and no other can be.")
    if server.is_mistral and (fault := mistral_order_fault(body["messages"])):
        raise RefusedError(fault)


def _check_part(server: Strict, part: dict[str, Any]) -> None:
    kind = part["type"]
    if kind not in {"text", "input_audio"} or part.keys() != {"type", kind}:
        raise RefusedError(f"unsupported content[].type {part}")
    if kind == "text":
        if not (isinstance(part["text"], str) and part["text"]):
            raise RefusedError("text must be a text")
        return
    sound = part["input_audio"]
    if server.is_audio_text:
        if not isinstance(sound, str):
            raise RefusedError("input_audio must be base64 or a URL")
        data = _base64(sound)
        _seconds(server, data, "wav" if data.startswith(b"RIFF") else "mp3")
        return
    _json_seconds(server, sound)


def _json_seconds(server: Strict, sound: dict[str, str]) -> float:
    if sound.keys() != {"data", "format"} or sound["format"] not in {"wav", "mp3"}:
        raise RefusedError("input_audio.format must be either 'wav' or 'mp3'")
    return _seconds(server, _base64(sound["data"]), sound["format"])


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise RefusedError("Only base64 data is allowed") from error


# Recordings


def check_transcription(server: Strict, request: httpx.Request) -> tuple[dict[str, str], float]:
    """Return the fields of a form and the duration of its recording in seconds."""
    file_field, known = server.forms[request.url.path]
    if file_field == "input_audio":
        return _check_json_transcription(server, json.loads(request.content), known)
    parts = parse_multipart(request.content, request.headers["content-type"])
    texts = [(name, data.decode()) for name, file, _, data in parts if file is None]
    [recording] = [(name, file, data) for name, file, _, data in parts if file is not None]
    fields = dict(texts)
    if recording[0] != file_field:
        raise RefusedError(f"{file_field}: Field required")
    if strange := fields.keys() - known:
        raise RefusedError(f"unknown fields: {sorted(strange)}")
    names = [name for name, _ in texts if name not in server.times]
    if len(names) != len(set(names)):
        raise RefusedError("a field comes twice")
    if server.models is not None:
        _check_mistral_form(server, texts)
    if "response_format" in fields and fields["response_format"] not in server.formats:
        raise RefusedError(f"Currently do not support {fields['response_format']}")
    if fields.get("language", "en") not in LANGUAGES:
        raise RefusedError(f"Unsupported language: {fields['language']}")
    if "model" in known and not fields.get("model"):
        raise RefusedError("model: Field required")
    float(fields.get("temperature", "0"))
    return fields, _seconds(server, recording[2], str(recording[1]).rpartition(".")[2])


def _check_mistral_form(server: Strict, texts: list[tuple[str, str]]) -> None:
    fields = dict(texts)
    if server.models is not None and fields["model"] not in server.models[1]:
        raise RefusedError(f"Invalid model: {fields['model']}")
    times = [value for name, value in texts if name == "timestamp_granularities"]
    if not set(times) <= {"segment", "word"} or ("word" in times and "-3-" in fields["model"]):
        raise RefusedError(f"timestamp_granularities: {times}")
    if times and "language" in fields:
        raise RefusedError("timestamp_granularities and language are not compatible")
    terms = [value for name, value in texts if name == "context_bias"]
    if "-3-" not in fields["model"] and not all(re.fullmatch(r"[^,\s]+", one) for one in terms):
        raise RefusedError("context_bias: String should match pattern '^[^,\\s]+$'")
    if fields.get("diarize", "true") not in {"true", "false"}:
        raise RefusedError("diarize: Input should be a valid boolean")
    if fields.get("diarize") == "true" and times != ["segment"]:
        raise RefusedError("diarize: requires timestamp_granularities=segment")


def _check_json_transcription(
    server: Strict, body: dict[str, Any], known: frozenset[str]
) -> tuple[dict[str, str], float]:
    if strange := body.keys() - known:
        raise RefusedError(f"unknown fields: {sorted(strange)}")
    if server.models is not None and body["model"] not in server.models[1]:
        raise RefusedError(f"{body['model']} is not a valid model ID")
    if body.get("language", "en") not in LANGUAGES:
        raise RefusedError(f"Unsupported language: {body['language']}")
    if not isinstance(body.get("temperature", 0), int | float):
        raise RefusedError("temperature must be a number")
    return body, _json_seconds(server, body["input_audio"])


def _seconds(server: Strict, data: bytes, extension: str) -> float:
    if len(data) > server.max_bytes:
        raise RefusedError("Maximum file size exceeded")
    try:
        sound = soundfile.info(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise RefusedError("Invalid or unsupported audio file.") from error
    if sound.format not in server.sounds or sound.format.lower() != extension:
        raise RefusedError(f"Format not recognised: {sound.format} under the name of {extension}")
    if sound.channels != 1 or (extension == "wav" and sound.samplerate != RATE):
        raise RefusedError("this is not mono, or a wav of another rate than 16 kHz")
    if sound.duration > server.max_seconds:
        raise RefusedError("Audio duration exceeds the limit")
    return float(sound.duration)

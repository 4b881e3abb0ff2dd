"""Servers that validate requests at least as strictly as the real ones.

What a real server ignores silently, such as an unknown field, is an error here, because otherwise
no test would notice. Sources: DeepInfra's OpenAPI description; the fields and errors of Mistral's
API as its Python client and pages have them; the pages of OpenRouter; vLLM's OpenAI
server and its limits on audio, with mistral-common's checks of conversations behind it; the
chat completions and transcriptions of llama.cpp's `llama-server`.
"""

import base64
import binascii
import io
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import soundfile
from support import transcription_streams
from support.documented_exchanges import KEY
from support.mistral_order import mistral_order_fault
from support.multipart_forms import parse_multipart
from support.sse_replies import event

Handler = Callable[[httpx.Request], httpx.Response]

RATE = 16_000
MODEL = "mistralai/Voxtral-Mini-3B-2507"
TRANSCRIPT = "Good morning."
"""The transcript of every recording."""

SERVERS: dict[str, dict[str, Any]] = {
    "deepinfra": {},
    "mistral": {"server": "mistral"},
    "openrouter": {"server": "openrouter"},
    "vllm": {"server": "vllm", "base_url": "http://127.0.0.1:8000/v1"},
    "llama_cpp": {"server": "llama_cpp", "base_url": "http://127.0.0.1:8080/v1"},
}
"""The settings of a client for each kind of server."""

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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMMON = _words(
    "model messages temperature top_p presence_penalty frequency_penalty response_format stop "
    "max_tokens tools tool_choice parallel_tool_calls stream"
)
_FIELDS = _COMMON | _words("top_k min_p seed user prompt_cache_key n stream_options logprobs")
_FORM = _words("model prompt response_format temperature language")


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


_TIMES = _words("timestamp_granularities timestamp_granularities[]")
_LANGUAGES = _words("de en es fr hi it nl pt sv")
_NATIVE = _words("task initial_prompt temperature language chunk_level chunk_length_s webhook")

STRICT = {
    "deepinfra": Strict(
        chat="/v1/openai/chat/completions",
        forms={
            "/v1/openai/audio/transcriptions": ("file", _FORM | _TIMES),
            "/v1/openai/audio/translations": ("file", _FORM - {"language"}),
            f"/v1/inference/{MODEL}": ("audio", _NATIVE),
        },
        times=_TIMES,
        formats=_words("json verbose_json text srt vtt"),
        fields=_FIELDS | {"repetition_penalty"},
        sounds=_words("WAV MP3"),
        max_recordings=math.inf,
        max_seconds=math.inf,
        max_bytes=math.inf,
        refusal=lambda why: httpx.Response(
            422, json={"detail": [{"type": "value_error", "loc": ["body"], "msg": why}]}
        ),
    ),
    "mistral": Strict(
        chat="/v1/chat/completions",
        forms={
            "/v1/audio/transcriptions": (
                "file",
                _words(
                    "model language temperature stream diarize context_bias timestamp_granularities"
                ),
            )
        },
        times=_words("timestamp_granularities context_bias"),
        formats=frozenset(),
        fields=_COMMON | _words("n random_seed metadata prompt_cache_key safe_prompt"),
        sounds=_words("WAV MP3"),
        max_recordings=math.inf,
        max_seconds=900,
        max_bytes=500 * 10**6,
        refusal=lambda why: httpx.Response(
            422,
            json={
                "object": "error",
                "message": {"detail": [{"type": "value_error", "loc": ["body"], "msg": why}]},
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            },
        ),
        is_mistral=True,
        prefix={"prefix": True},
        host="api.mistral.ai",
        models=(
            _words("voxtral-small-2507 voxtral-mini-2507"),
            _words("voxtral-mini-2602 voxtral-mini-transcribe-3-0 voxtral-small-transcribe-3-0"),
        ),
        is_audio_text=True,
        answer=ANSWER
        | {"usage": {"prompt_audio_seconds": 7, "prompt_tokens": 9, "completion_tokens": 3}},
    ),
    "openrouter": Strict(
        chat="/api/v1/chat/completions",
        forms={
            "/api/v1/audio/transcriptions": (
                "input_audio",
                _words(
                    "model input_audio language temperature response_format "
                    "timestamp_granularities provider"
                ),
            )
        },
        times=frozenset(),
        formats=_words("json"),
        fields=_COMMON | _words("top_k min_p repetition_penalty seed user logprobs provider"),
        sounds=_words("WAV MP3"),
        max_recordings=math.inf,
        max_seconds=math.inf,
        max_bytes=25 * 10**6,
        refusal=lambda why: httpx.Response(400, json={"error": {"code": 400, "message": why}}),
        is_mistral=True,
        host="openrouter.ai",
        models=(
            _words("mistralai/voxtral-small-24b-2507"),
            _words("mistralai/voxtral-mini-transcribe-3-0"),
        ),
        answer=ANSWER | {"usage": {"prompt_tokens": 400, "completion_tokens": 3, "cost": 0.0007}},
    ),
    "vllm": Strict(
        chat="/v1/chat/completions",
        # Its translations only transcribe with this model: nobody should ask for them.
        forms={
            "/v1/audio/transcriptions": (
                "file",
                _FORM | _words("timestamp_granularities[] stream stream_include_usage"),
            )
        },
        times=_TIMES,
        formats=_words("json text"),
        fields=_FIELDS | {"repetition_penalty"},
        sounds=_words("WAV"),  # its libsndfile may be one without MP3
        max_recordings=5,
        max_seconds=600,
        max_bytes=25 * 2**20,
        refusal=lambda why: httpx.Response(
            400,
            json={"error": {"message": why, "type": "BadRequestError", "param": None, "code": 400}},
        ),
        is_mistral=True,
        prefill={"continue_final_message": True, "add_generation_prompt": False},
    ),
    "llama_cpp": Strict(
        chat="/v1/chat/completions",
        forms={"/v1/audio/transcriptions": ("file", _FORM | {"max_tokens", "stream"})},
        times=frozenset(),
        formats=_words("json"),
        fields=_FIELDS | {"repeat_penalty"},
        sounds=_words("WAV MP3"),
        max_recordings=math.inf,
        max_seconds=math.inf,
        max_bytes=math.inf,
        refusal=lambda why: httpx.Response(
            400, json={"error": {"code": 400, "message": why, "type": "invalid_request_error"}}
        ),
        names_tools=False,
        is_mistral=True,
    ),
}


def strict(name: str) -> Handler:
    """Return the request handler of a server."""
    server = STRICT[name]

    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if server.host is not None:
            if request.url.scheme != "https" or request.url.host != server.host:
                return httpx.Response(421, json={"detail": "Misdirected Request"})
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return httpx.Response(401, json={"detail": "Unauthorized"})
        try:
            if path == server.chat:
                _check_chat(server, json.loads(request.content))
                return httpx.Response(200, json=server.answer)
            if path in server.forms:
                checked = _check_transcription(server, request)
                return _transcribed(name, checked[0], _ANSWERS[name](path, *checked))
        except RefusedError as refusal:
            return server.refusal(str(refusal))
        return httpx.Response(404, json={"detail": "Not Found"})

    return handle


# Chats


def _check_chat(server: Strict, body: dict[str, Any]) -> None:
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


def _check_transcription(server: Strict, request: httpx.Request) -> tuple[dict[str, str], float]:
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
    if fields.get("language", "en") not in _LANGUAGES:
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
    if fields.get("diarize", "true") not in {"true", "false"}:
        raise RefusedError("diarize: Input should be a valid boolean")


def _check_json_transcription(
    server: Strict, body: dict[str, Any], known: frozenset[str]
) -> tuple[dict[str, str], float]:
    if strange := body.keys() - known:
        raise RefusedError(f"unknown fields: {sorted(strange)}")
    if server.models is not None and body["model"] not in server.models[1]:
        raise RefusedError(f"{body['model']} is not a valid model ID")
    if body.get("language", "en") not in _LANGUAGES:
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


# Transcripts


def _transcribed(name: str, fields: dict[str, str], answer: dict[str, Any]) -> httpx.Response:
    """Return a transcript, or its stream, in which each word comes in a piece of its own."""
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
            "total_tokens": 29,
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


_ANSWERS = {
    "deepinfra": _of_deepinfra,
    "mistral": _of_mistral,
    "openrouter": _of_openrouter,
    "vllm": _of_vllm,
    "llama_cpp": _of_llama_cpp,
}

"""Servers that validate requests at least as strictly as the real ones.

What a real server ignores silently, such as an unknown field, is an error here, because otherwise
no test would notice. Sources: DeepInfra's OpenAPI description; the fields and errors of Mistral's
API as its Python client and pages have them; the pages of OpenRouter; vLLM's OpenAI
server and its limits on audio, with mistral-common's checks of conversations behind it; the
chat completions and transcriptions of llama.cpp's `llama-server`.
"""

import json
import math
from collections.abc import Callable
from typing import Any

import httpx
from support.documented_exchanges import KEY
from support.strict_checks import ANSWER, RefusedError, Strict, check_chat, check_transcription
from support.strict_transcripts import transcribe

Handler = Callable[[httpx.Request], httpx.Response]

MODEL = "mistralai/Voxtral-Mini-3B-2507"

SERVERS: dict[str, dict[str, Any]] = {
    "deepinfra": {},
    "mistral": {"server": "mistral"},
    "openrouter": {"server": "openrouter"},
    "vllm": {"server": "vllm", "base_url": "http://127.0.0.1:8000/v1"},
    "llama_cpp": {"server": "llama_cpp", "base_url": "http://127.0.0.1:8080/v1"},
}
"""The settings of a client for each kind of server."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMMON = _words(
    "model messages temperature top_p presence_penalty frequency_penalty response_format stop "
    "max_tokens tools tool_choice parallel_tool_calls stream"
)
_FIELDS = _COMMON | _words("top_k min_p seed user prompt_cache_key n stream_options logprobs")
_FORM = _words("model prompt response_format temperature language")


_TIMES = _words("timestamp_granularities timestamp_granularities[]")
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
        max_seconds=3600,
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
        | {
            # The 375 tokens of half a minute of sound are in the total only.
            "usage": {"prompt_audio_seconds": 7, "prompt_tokens": 9, "completion_tokens": 3}
            | {"total_tokens": 387}
        },
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
                check_chat(server, json.loads(request.content))
                return httpx.Response(200, json=server.answer)
            if path in server.forms:
                return transcribe(name, path, *check_transcription(server, request))
        except RefusedError as refusal:
            return server.refusal(str(refusal))
        return httpx.Response(404, json={"detail": "Not Found"})

    return handle

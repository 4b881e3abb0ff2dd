"""What failures are: their classes and advice, and the statuses, names and words that tell them."""

import re
from dataclasses import dataclass

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralAuthenticationError,
    VoxtralContextOverflowError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralNotFoundError,
    VoxtralPaymentRequiredError,
    VoxtralPermissionDeniedError,
    VoxtralRateLimitError,
    VoxtralResponseError,
    VoxtralTimeoutError,
    VoxtralUnsupportedFeatureError,
)

__all__ = [
    "BY_HUNDREDS",
    "BY_STATUS",
    "REDIRECT",
    "SIGNS",
    "STATUS_OF_NAME",
    "UNEXPECTED",
    "WITHIN_ANSWER",
    "Case",
    "Sign",
]


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of failure: its error class, and what it means and asks for.

    `advice` may name the model by `{model}`.
    """

    kind: type[VoxtralError]
    advice: str


@dataclass(frozen=True, slots=True)
class Sign:
    """Words that tell a case better than the status does, with the statuses where they do.

    `about_audio`: only in answers to requests that carried audio.
    """

    statuses: frozenset[int]
    pattern: re.Pattern[str]
    case: Case
    about_audio: bool = False


WITHIN_ANSWER = 200

_UNAUTHENTICATED = Case(
    VoxtralAuthenticationError,
    "The server does not accept the API key: pass api_key=, or set DEEPINFRA_API_TOKEN "
    "(for any other server VOXTRAL_API_KEY).",
)
_BUSY = Case(
    VoxtralRateLimitError,
    "There are too many requests, or the model is busy: wait (retry_after says how long, if the "
    "server does) and send fewer at once (max_concurrency of batch); DeepInfra allows 200 at once.",
)
_INVALID = Case(
    VoxtralInvalidRequestError,
    "The server refuses the request as invalid: change what its words name.",
)
_OVERFLOW = Case(
    VoxtralContextOverflowError,
    "The prompt, with the tokens asked for, is longer than the context of {model}: shorten the "
    "conversation or lower max_tokens.",
)
_SPEECH_ONLY = Case(
    VoxtralUnsupportedFeatureError,
    "This deployment of {model} takes speech only, it demands a recording in place of text. What "
    "may work: transcription of recordings, api='chat_completions', a self-hosted server that "
    "serves it for text (base_url=) or the embedded engine (base_url='local').",
)
_TEXT_ONLY = Case(
    VoxtralUnsupportedFeatureError,
    "This deployment of {model} takes text only at this endpoint, it demands a prompt in place of "
    "a recording. What may work: endpoint='transcriptions' or 'chat', a server of your own "
    "(base_url=, server=) or the embedded engine (base_url='local').",
)
_NO_TOOLS = Case(
    VoxtralUnsupportedFeatureError,
    "The server does not offer tool calling for {model} at this endpoint: pass api='native', "
    "which describes the tools in the prompt and reads the calls from the text.",
)
_BAD_AUDIO = Case(
    VoxtralInvalidRequestError,
    "The server cannot read the audio: send it as WAV, mono and 16 kHz, which all servers read. "
    "(DeepInfra has answered WebM like this, and a vLLM with an older libsndfile MP3.)",
)
_TOOLS_OFF = Case(
    VoxtralUnsupportedFeatureError,
    "The server was started without tool calling: vLLM needs --enable-auto-tool-choice and "
    "--tool-call-parser mistral, llama.cpp --jinja.",
)
_DEAF = Case(
    VoxtralUnsupportedFeatureError,
    "The server does not hear with {model}, or not at this endpoint. If the model is Voxtral, look "
    "at how the server was started: vLLM needs vllm[audio], llama.cpp the model's --mmproj file.",
)
_TOO_LARGE = Case(
    VoxtralInvalidRequestError,
    "The request is larger than the server takes: shorten the prompt, or compress or split the "
    "audio (chunk_seconds= of a transcription).",
)
_UNAVAILABLE = Case(
    VoxtralAPIError,
    "The server is out of capacity or a gateway before it failed: try again later; the request "
    "may have been billed all the same.",
)
_FAILED = Case(VoxtralAPIError, "The server failed: try again later.")
REDIRECT = Case(
    VoxtralResponseError,
    "The server redirects, and redirects are not followed, because they would carry the API key "
    "elsewhere: set base_url to the right address.",
)
UNEXPECTED = Case(VoxtralResponseError, "The server answers with a status that is no failure.")

BY_STATUS: dict[int, Case] = {
    WITHIN_ANSWER: Case(VoxtralAPIError, "The server reports a failure within its answer."),
    400: _INVALID,
    401: _UNAUTHENTICATED,
    402: Case(
        VoxtralPaymentRequiredError,
        "The account has no balance or no payment method: add one in its billing settings.",
    ),
    403: Case(
        VoxtralPermissionDeniedError,
        "The API key may not do this: use a key whose account and scope allow {model}.",
    ),
    404: Case(
        VoxtralNotFoundError,
        "The server does not know {model} or the path: check model=, base_url= and server= (for "
        "vLLM 'vllm', for llama.cpp 'llama_cpp'); below base_url, /openai/models lists the models "
        "it has, /models those of vLLM and llama.cpp.",
    ),
    405: Case(
        VoxtralUnsupportedFeatureError,
        "The server does not offer a feature that the request uses for {model}: leave out what "
        "its words name (tools, response_format); if they name none, check base_url=.",
    ),
    408: Case(
        VoxtralTimeoutError, "The server gave up waiting for the whole request: send it again."
    ),
    413: _TOO_LARGE,
    422: _INVALID,
    423: Case(
        VoxtralPermissionDeniedError,
        "The server has locked what was asked for: look at the account and the model on the "
        "provider's dashboard, sending again does not help.",
    ),
    429: _BUSY,
    500: _FAILED,
    501: Case(
        VoxtralResponseError,
        "The server does not know requests of this kind, so it is none of this API: check "
        "base_url=.",
    ),
    **dict.fromkeys((502, 503, 504), _UNAVAILABLE),
}
"""What each HTTP status means (DeepInfra's API pages and recorded answers)."""
BY_HUNDREDS = {3: REDIRECT, 4: _INVALID, 5: _FAILED}

STATUS_OF_NAME: dict[str, int] = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "engine_overloaded": 429,
    "generation": 500,
    "insufficient_quota": 402,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded": 429,
    "overloaded_error": 429,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "timeout": 504,
    "validation": 422,
}
"""The status that the name of an error stands for, where no status tells: in a stream or a 200
answer (DeepInfra's and OpenAI's codes, the error types of text-generation-inference)."""

SIGNS: tuple[Sign, ...] = (
    Sign(
        frozenset({WITHIN_ANSWER, 400, 413, 422, 500}),
        # DeepInfra, then vLLM, OpenAI, llama.cpp, text-generation-inference, SGLang, Mistral.
        re.compile(
            r"input length \d+ exceeds|(?:requested|maximum) input length"
            r"|maximum (?:context|model|sequence) length|context[_ ]length[_ ]exceeded"
            r"|exceed_context_size|exceeds? (?:the )?(?:available )?context (?:size|window)"
            r"|inputs. tokens \+ .max_new_tokens|inputs.? must have less than \d+ tokens"
            r"|longer than the (?:model'?s? |maximum )(?:context|model) length"
            r"|prompt is too long",
            re.IGNORECASE,
        ),
        _OVERFLOW,
    ),
    Sign(
        frozenset({400, 422}),
        # The body field `audio` itself, not one within a message (`messages.0.content.audio`).
        re.compile(r"(?:^|; )audio: [^;]*required|field required\W+audio\b", re.IGNORECASE),
        _SPEECH_ONLY,
    ),
    Sign(
        frozenset({400, 422}),
        re.compile(r"(?:^|; )input: [^;]*required", re.IGNORECASE),
        _TEXT_ONLY,
        about_audio=True,
    ),
    Sign(
        frozenset({500}),
        re.compile(r"^\s*inference error\s*$", re.IGNORECASE | re.MULTILINE),  # DeepInfra
        _BAD_AUDIO,
        about_audio=True,
    ),
    Sign(
        frozenset({WITHIN_ANSWER, 400, 500, 501}),
        # vLLM without its extra, vLLM and llama.cpp with a model that has no ears.
        re.compile(
            r"install vllm\[audio\]|does not support (?:transcriptions|translations) api"
            r"|does not support audio input|audio input is not supported",
            re.IGNORECASE,
        ),
        _DEAF,
    ),
    Sign(
        frozenset({WITHIN_ANSWER, 400, 500}),
        # vLLM, libsndfile within it, and llama.cpp, which has the same words for pictures.
        re.compile(
            r"invalid or unsupported audio|format not recogni[sz]ed"
            r"|failed to load (?:image or )?audio",
            re.IGNORECASE,
        ),
        _BAD_AUDIO,
    ),
    Sign(
        frozenset({WITHIN_ANSWER, 400}),
        re.compile(r"maximum file size exceeded", re.IGNORECASE),  # vLLM
        _TOO_LARGE,
    ),
    Sign(
        frozenset({400, 500}),
        re.compile(r"--enable-auto-tool-choice|requires --jinja"),  # vLLM, llama.cpp
        _TOOLS_OFF,
    ),
    Sign(
        frozenset({405}),
        re.compile(r"\btools?\b.*\bnot supported", re.IGNORECASE),
        _NO_TOOLS,
    ),
    Sign(
        frozenset({WITHIN_ANSWER, 403}),
        re.compile(r"not authenticated|not authorized to access", re.IGNORECASE),
        _UNAUTHENTICATED,
    ),
    Sign(
        frozenset({WITHIN_ANSWER}),
        re.compile(r"\brate limit|model busy|too many requests|\boverloaded\b", re.IGNORECASE),
        _BUSY,
    ),
)

"""Kinds of errors: their classes and advice, and the statuses, codes and texts that mean them."""

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
from langchain_voxtral.providers import OTHER_KEY_VARIABLE, PROVIDERS


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """A kind of error: its class, and what to do about it (`{model}` stands for the model)."""

    error_class: type[VoxtralError]
    advice: str


@dataclass(frozen=True, slots=True)
class ErrorPattern:
    """Words that are more precise than the status, and the statuses that they come with.

    `needs_audio`: only where the request carried audio.
    """

    statuses: frozenset[int]
    regex: re.Pattern[str]
    case: ErrorCase
    needs_audio: bool = False


IN_BODY = 200

_KEYS = ", ".join(
    f"for {provider.label} {provider.key_variables[0]}"
    for provider in PROVIDERS.values()
    if provider.key_variables
)
_UNAUTHENTICATED = ErrorCase(
    VoxtralAuthenticationError,
    "The server does not accept the API key: pass api_key=, or set its environment variable "
    f"({_KEYS}, for any other server {OTHER_KEY_VARIABLE}).",
)
_BUSY = ErrorCase(
    VoxtralRateLimitError,
    "There are too many requests, or the model is busy: wait (retry_after says how long, if the "
    "server does) and send fewer at once (max_concurrency of batch); DeepInfra allows 200 at once.",
)
_INVALID = ErrorCase(
    VoxtralInvalidRequestError,
    "The server refuses the request as invalid: change what its message names.",
)
_OVERFLOW = ErrorCase(
    VoxtralContextOverflowError,
    "The prompt, with the tokens asked for, is longer than the context of {model}: shorten the "
    "conversation or lower max_tokens.",
)
_AUDIO_ONLY = ErrorCase(
    VoxtralUnsupportedFeatureError,
    "This deployment of {model} takes speech only, it demands a recording in place of text. What "
    "may work: transcription of recordings, api='chat_completions', a self-hosted server that "
    "serves it for text (base_url=) or the embedded engine (base_url='local').",
)
_TEXT_ONLY = ErrorCase(
    VoxtralUnsupportedFeatureError,
    "This deployment of {model} takes text only at this endpoint, it demands a prompt in place of "
    "a recording. What may work: endpoint='transcriptions' or 'chat', a server of your own "
    "(base_url=, server=) or the embedded engine (base_url='local').",
)
_NO_TOOLS = ErrorCase(
    VoxtralUnsupportedFeatureError,
    "The server does not offer tool calling for {model} at this endpoint: pass api='native', "
    "which describes the tools in the prompt and reads the calls from the text.",
)
_BAD_AUDIO = ErrorCase(
    VoxtralInvalidRequestError,
    "The server cannot read the audio: send it as WAV, mono and 16 kHz, which all servers read. "
    "(DeepInfra has answered WebM like this, and a vLLM with an older libsndfile MP3.)",
)
_TOOLS_OFF = ErrorCase(
    VoxtralUnsupportedFeatureError,
    "The server was started without tool calling: vLLM needs --enable-auto-tool-choice and "
    "--tool-call-parser mistral, llama.cpp --jinja.",
)
_NO_AUDIO_SUPPORT = ErrorCase(
    VoxtralUnsupportedFeatureError,
    "The server does not take audio with {model}, or not at this endpoint. If the model is "
    "Voxtral, look at how the server was started: vLLM needs vllm[audio], llama.cpp the model's "
    "--mmproj file.",
)
_TOO_LARGE = ErrorCase(
    VoxtralInvalidRequestError,
    "The request is larger than the server takes: shorten the prompt, or compress or split the "
    "audio (chunk_seconds= of a transcription).",
)
_NOT_FOUND = ErrorCase(
    VoxtralNotFoundError,
    "The server does not know {model} or the path: check model=, base_url= and server= (one of "
    f"{', '.join(map(repr, PROVIDERS))}); below base_url, /models lists the models it has, at "
    "DeepInfra /openai/models.",
)
_NO_ROUTE = ErrorCase(
    VoxtralUnsupportedFeatureError,
    "No provider behind the server offers what the request needs with {model}: leave out what its "
    "message names (recordings, tools, response_format), choose another model=, or change which "
    "providers the account allows.",
)
_UNAVAILABLE = ErrorCase(
    VoxtralAPIError,
    "The server is out of capacity or a gateway before it failed: try again later; the request "
    "may have been billed all the same.",
)
_FAILED = ErrorCase(VoxtralAPIError, "The server failed: try again later.")
REDIRECT = ErrorCase(
    VoxtralResponseError,
    "The server redirects, and redirects are not followed, because they would carry the API key "
    "elsewhere: set base_url to the right address.",
)
UNEXPECTED = ErrorCase(VoxtralResponseError, "The server answers with a status that is no failure.")

BY_STATUS: dict[int, ErrorCase] = {
    IN_BODY: ErrorCase(VoxtralAPIError, "The server reports a failure within its answer."),
    400: _INVALID,
    401: _UNAUTHENTICATED,
    402: ErrorCase(
        VoxtralPaymentRequiredError,
        "The account has no balance or no payment method: add one in its billing settings.",
    ),
    403: ErrorCase(
        VoxtralPermissionDeniedError,
        "The API key may not do this: use a key whose account and scope allow {model}.",
    ),
    404: _NOT_FOUND,
    405: ErrorCase(
        VoxtralUnsupportedFeatureError,
        "The server does not offer a feature that the request uses for {model}: leave out what "
        "its message names (tools, response_format); if they name none, check base_url=.",
    ),
    408: ErrorCase(
        VoxtralTimeoutError, "The server gave up waiting for the whole request: send it again."
    ),
    413: _TOO_LARGE,
    422: _INVALID,
    423: ErrorCase(
        VoxtralPermissionDeniedError,
        "The server has locked what was asked for: look at the account and the model on the "
        "provider's dashboard, sending again does not help.",
    ),
    429: _BUSY,
    500: _FAILED,
    501: ErrorCase(
        VoxtralResponseError,
        "The server does not know requests of this kind, so it is none of this API: check "
        "base_url=.",
    ),
    **dict.fromkeys((502, 503, 504), _UNAVAILABLE),
}
"""What each HTTP status means (DeepInfra's API pages and recorded answers)."""
BY_STATUS_CLASS = {3: REDIRECT, 4: _INVALID, 5: _FAILED}

STATUS_BY_ERROR_CODE: dict[str, int] = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "engine_overloaded": 429,
    "generation": 500,
    "insufficient_quota": 402,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_request_message_order": 400,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded": 429,
    "overloaded_error": 429,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "timeout": 504,
    "validation": 422,
}
"""The status that an error code stands for, where there is no error status: in a stream or a 200
answer (DeepInfra's, OpenAI's and Mistral's codes, the error types of text-generation-inference)."""

ERROR_PATTERNS: tuple[ErrorPattern, ...] = (
    ErrorPattern(
        frozenset({IN_BODY, 400, 413, 422, 500}),
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
    ErrorPattern(
        frozenset({400, 422}),
        # The body field `audio` itself, not one within a message (`messages.0.content.audio`).
        re.compile(r"(?:^|; )audio: [^;]*required|field required\W+audio\b", re.IGNORECASE),
        _AUDIO_ONLY,
    ),
    ErrorPattern(
        frozenset({400, 422}),
        re.compile(r"(?:^|; )input: [^;]*required", re.IGNORECASE),
        _TEXT_ONLY,
        needs_audio=True,
    ),
    ErrorPattern(
        frozenset({500}),
        re.compile(r"^\s*inference error\s*$", re.IGNORECASE | re.MULTILINE),  # DeepInfra
        _BAD_AUDIO,
        needs_audio=True,
    ),
    ErrorPattern(
        frozenset({IN_BODY, 400, 500, 501}),
        # vLLM without its extra, vLLM and llama.cpp with a model that takes no audio.
        re.compile(
            r"install vllm\[audio\]|does not support (?:transcriptions|translations) api"
            r"|does not support audio input|audio input is not supported",
            re.IGNORECASE,
        ),
        _NO_AUDIO_SUPPORT,
    ),
    ErrorPattern(
        frozenset({IN_BODY, 400, 500}),
        # vLLM, libsndfile within it, and llama.cpp, which has the same words for pictures.
        re.compile(
            r"invalid or unsupported audio|format not recogni[sz]ed"
            r"|failed to load (?:image or )?audio",
            re.IGNORECASE,
        ),
        _BAD_AUDIO,
    ),
    ErrorPattern(
        frozenset({IN_BODY, 400}),
        re.compile(
            r"\binvalid[ _]model\b|is not a valid model id", re.IGNORECASE
        ),  # Mistral, OpenRouter
        _NOT_FOUND,
    ),
    ErrorPattern(
        frozenset({IN_BODY, 404}),
        re.compile(  # OpenRouter
            r"no endpoints found (?:that|matching)|no allowed providers", re.IGNORECASE
        ),
        _NO_ROUTE,
    ),
    ErrorPattern(
        frozenset({IN_BODY, 400}),
        re.compile(r"maximum file size exceeded", re.IGNORECASE),  # vLLM
        _TOO_LARGE,
    ),
    ErrorPattern(
        frozenset({400, 500}),
        re.compile(r"--enable-auto-tool-choice|requires --jinja"),  # vLLM, llama.cpp
        _TOOLS_OFF,
    ),
    ErrorPattern(
        frozenset({405}),
        re.compile(r"\btools?\b.*\bnot supported", re.IGNORECASE),
        _NO_TOOLS,
    ),
    ErrorPattern(
        frozenset({IN_BODY, 403}),
        re.compile(r"not authenticated|not authorized to access", re.IGNORECASE),
        _UNAUTHENTICATED,
    ),
    ErrorPattern(
        frozenset({IN_BODY}),
        re.compile(r"\brate limit|model busy|too many requests|\boverloaded\b", re.IGNORECASE),
        _BUSY,
    ),
)

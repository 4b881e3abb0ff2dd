"""Requests to speech endpoints, and to a chat that transcribes: one chunk of a recording."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.errors import (
    VoxtralInvalidRequestError,
    VoxtralResponseError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.protocol import chat_completions
from langchain_voxtral.protocol.fields import safe_text
from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.protocol.json_body import encode_request
from langchain_voxtral.protocol.languages import LANGUAGES, validate_language
from langchain_voxtral.protocol.transcription import (
    Transcript,
    parse_native,
    parse_openai,
    without_template_text,
)
from langchain_voxtral.providers import EndpointName, Provider, Timestamps

SpeechEndpoint = Literal["transcriptions", "native", "chat"]
Task = Literal["transcribe", "translate"]
ResponseFormat = Literal["json", "verbose_json"]
Fields = list[tuple[str, str]]
"""Names and values of a form; a name may come more than once."""

NATIVE_FILE_FIELD = "audio"
"""The recording's field in the form of DeepInfra's native speech endpoint."""
OPENAI_FILE_FIELD = "file"
"""The recording's field in the forms of OpenAI's transcriptions and translations."""

_GRANULARITIES: dict[Timestamps, tuple[Timestamps, ...]] = {
    "segment": ("segment",),
    "word": ("segment", "word"),  # requested alone, words come in the place of segments
}
_GRANULARITY_NAMES = ("timestamp_granularities", "timestamp_granularities[]")
"""DeepInfra documents the first; vLLM and OpenAI's own client use the second."""

_ROUTES: Mapping[tuple[SpeechEndpoint, Task], EndpointName] = {
    ("transcriptions", "transcribe"): "transcriptions",
    ("transcriptions", "translate"): "translations",
    ("native", "transcribe"): "native",
    ("native", "translate"): "native",
    ("chat", "transcribe"): "chat_completions",
    ("chat", "translate"): "chat_completions",
}

_INSTRUCTIONS: Mapping[Task, str] = {
    "transcribe": (
        "Write down what is said in this recording, word for word and in the language spoken. "
        "Answer with these words alone."
    ),
    "translate": (
        "Translate what is said in this recording into English. Answer with the translation alone."
    ),
}

# A fast speaker makes 5 tokens a second. The limit ends the loops that models fall into over
# silence, and is above the low defaults of some servers.
_MAX_TOKENS_PER_SECOND = 8
_MIN_MAX_TOKENS = 256

_CUT: Mapping[str | None, str] = {
    "length": (
        "The transcript was cut at the most tokens that an answer may have. Have the recording cut "
        "into shorter chunks (chunk_seconds=)."
    ),
    "content_filter": "The transcript was cut by the server's content filter.",
}
"""What finish reasons of a chat say of a transcript that is not whole."""


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """How a recording is to be transcribed; None leaves it to the server.

    Args:
        task: `transcribe` in the language spoken, or `translate` into English.
        language: The language spoken, as its ISO 639 code of two or three letters.
        prompt: A text that goes before, for names and style. Some servers ignore it.
        temperature: Randomness; the model card recommends 0 for transcription.
        timestamps: Times of passages (`segment`), or of words too (`word`).

    Raises:
        VoxtralInvalidRequestError: One of them has an invalid value.
    """

    task: Task = "transcribe"
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = 0.0
    timestamps: Timestamps | None = None

    def __post_init__(self) -> None:
        if self.language is not None:
            validate_language(self.language)
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise VoxtralInvalidRequestError(
                f"temperature={self.temperature} must be a number from 0 on; 0 is best for "
                "transcription."
            )


@dataclass(frozen=True, slots=True)
class ChunkTranscript:
    """What the server returned for a chunk, and the model that it named."""

    transcript: Transcript
    model: str


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """A request to transcribe one chunk.

    Args:
        provider: What kind of server it is.
        endpoint: Which of its endpoints is used.
        model: The model's name.
        options: How the recording is to be transcribed.
        timestamps: Whether times of segments are wanted.
        chunk: The audio.
        title: What errors call the chunk.

    Raises:
        VoxtralInvalidRequestError: The endpoint has no field for an option.
        VoxtralUnsupportedFeatureError: The server has no such endpoint.
    """

    provider: Provider
    endpoint: SpeechEndpoint
    model: str
    options: TranscriptionOptions
    timestamps: bool
    chunk: AudioChunk
    title: str

    def __post_init__(self) -> None:
        self.provider.path(self.endpoint_name)
        if self.endpoint == "transcriptions":
            self._check_fields()
            self._form_fields()

    @property
    def endpoint_name(self) -> EndpointName:
        """The endpoint, as providers name it."""
        return _ROUTES[self.endpoint, self.options.task]

    @property
    def settings(self) -> dict[str, Any]:
        """All that the response depends on, except the audio and the address."""
        return {
            "endpoint": self.endpoint,
            "server": self.provider.name,
            "model": self.model,
            "task": self.options.task,
            "language": self.options.language,
            "prompt": self.options.prompt,
            "temperature": self.options.temperature,
            "timestamps": self.timestamps,
        }

    def without_timestamps(self) -> "TranscriptionRequest":
        """Return the same request for a server that returns no timestamps."""
        return replace(self, timestamps=False)

    def refuses_timestamps(self, error: VoxtralInvalidRequestError) -> bool:
        """Tell whether an error refuses timestamps (vLLM: "do not support verbose_json")."""
        return (
            self.endpoint == "transcriptions"
            and self.timestamps
            and "verbose_json" in error.message
        )

    def encode(self) -> bytes | FormData:
        """Return the body: JSON for a chat, else a form.

        Raises:
            VoxtralInvalidRequestError: A text is not valid Unicode.
        """
        if self.endpoint == "chat":
            return encode_request(self._chat_body())
        if self.endpoint == "transcriptions" and self.provider.takes_json_recordings:
            return encode_request(self._json_body())
        form = self.chunk.format
        file_field = NATIVE_FILE_FIELD if self.endpoint == "native" else OPENAI_FILE_FIELD
        file_name = f"audio{form.extension}"  # servers recognize the format by the extension
        return FormData(self._form_fields(), file_field, file_name, form.mime_type, self.chunk.data)

    def parse(
        self, content: bytes, headers: Mapping[str, str], secrets: Iterable[str]
    ) -> ChunkTranscript:
        """Return the transcript in a 200 response.

        Raises:
            VoxtralError: The body has no transcript, reports a failure, or was cut.
        """
        request_id = safe_text(headers.get("x-request-id"), secrets)
        transcript = self._parse_body(content, request_id, secrets)
        model = safe_text(headers.get("x-voxtral-model"), secrets) or self.model
        return ChunkTranscript(transcript, model)

    def _parse_body(
        self, content: bytes, request_id: str | None, secrets: Iterable[str]
    ) -> Transcript:
        if self.endpoint != "chat":
            parse = parse_native if self.endpoint == "native" else parse_openai
            return parse(
                content,
                timestamps=self.timestamps,
                max_seconds=self.chunk.seconds,
                header_request_id=request_id,
                secrets=secrets,
            )
        answer = chat_completions.parse_response(
            content, header_request_id=request_id, secrets=secrets
        )
        text = without_template_text(answer.texts[0]).strip()
        problem = next(filter(None, map(_CUT.get, answer.finish_reasons)), None)
        if problem is not None:
            raise VoxtralResponseError(
                problem, status_code=200, request_id=answer.info.request_id, partial=text
            )
        return Transcript(text, usage=answer.info.usage, request_id=answer.info.request_id)

    @property
    def _response_format(self) -> ResponseFormat:
        return "verbose_json" if self.timestamps and self.provider.timestamps else "json"

    def _form_fields(self) -> Fields:
        options = self.options
        if self.endpoint == "native":
            return native_fields(
                replace(options, timestamps="segment" if self.timestamps else None)
            )
        if options.prompt and not self.provider.keeps_own_instruction:
            options = replace(options, prompt=_instruction(replace(options, language=None)))
        if self._response_format == "verbose_json" and options.task == "transcribe":
            options = replace(options, timestamps="segment")
        fields = openai_fields(options, model=self.model, response_format=self._response_format)
        missing = self.provider.missing_form_fields
        return [(name, value) for name, value in fields if name not in missing]

    def _check_fields(self) -> None:
        """Check that the server's form has fields for what was asked."""
        provider, options = self.provider, self.options
        if options.prompt and "prompt" in provider.missing_form_fields:
            raise VoxtralUnsupportedFeatureError(
                f"server={provider.name!r} takes no prompt= in transcriptions: leave it unset, or "
                "ask in a chat (endpoint='chat')."
            )
        if options.language and self.timestamps and provider.timestamps_exclude_language:
            raise VoxtralUnsupportedFeatureError(
                f"server={provider.name!r} takes either language= or a mode with times: leave "
                f"language={options.language!r} unset, the model detects it."
            )

    def _json_body(self) -> dict[str, Any]:
        recording = self.provider.audio_part(self.chunk.data, self.chunk.format.name)
        options = {"language": self.options.language, "temperature": self.options.temperature}
        body = {"model": self.model, "input_audio": recording["input_audio"]}
        return body | {name: value for name, value in options.items() if value is not None}

    def _chat_body(self) -> dict[str, Any]:
        part = self.provider.audio_part(self.chunk.data, self.chunk.format.name)
        text = {"type": "text", "text": _instruction(self.options)}
        tokens = math.ceil(self.chunk.seconds * _MAX_TOKENS_PER_SECOND)
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": [part, text]}],
            "max_tokens": max(_MIN_MAX_TOKENS, tokens),
        }
        temperature = self.options.temperature
        return body if temperature is None else body | {"temperature": temperature}


def _instruction(options: TranscriptionOptions) -> str:
    """Return the instruction to a model that is asked in a chat."""
    parts = [
        _INSTRUCTIONS[options.task],
        f"The language is {_language_name(options.language)}." if options.language else "",
        f"For names and style: {options.prompt}" if options.prompt else "",
    ]
    return " ".join(filter(None, parts))


def _language_name(code: str) -> str:
    return LANGUAGES.get(code, f"the one with the ISO 639 code {code!r}")


def native_fields(options: TranscriptionOptions) -> Fields:
    """Return the form of DeepInfra's native speech endpoint, without the recording."""
    return _known_fields(
        task=options.task,
        initial_prompt=options.prompt,
        temperature=options.temperature,
        language=options.language,
        chunk_level=options.timestamps,
    )


def openai_fields(
    options: TranscriptionOptions, *, model: str, response_format: ResponseFormat = "json"
) -> Fields:
    """Return the form of OpenAI's transcriptions or translations, without the recording.

    Raises:
        VoxtralInvalidRequestError: An option that the endpoint has no field for.
    """
    for name in ("language", "timestamps") if options.task == "translate" else ():
        value = getattr(options, name)
        if value:
            raise VoxtralInvalidRequestError(
                f"OpenAI's audio endpoints have no field for {name}={value!r} when translating. "
                "Leave it unset, or use DeepInfra's native speech endpoint, which has one."
            )
    fields = _known_fields(
        model=model,
        prompt=options.prompt,
        response_format=response_format,
        temperature=options.temperature,
        language=options.language,
    )
    granularities = _GRANULARITIES[options.timestamps] if options.timestamps else ()
    return fields + [(name, value) for name in _GRANULARITY_NAMES for value in granularities]


def _known_fields(**fields: object) -> Fields:
    return [(name, str(value)) for name, value in fields.items() if value is not None]

"""Requests to speech endpoints, and to a chat that transcribes: one chunk of a recording."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralResponseError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.profiles import check_chat_model
from langchain_voxtral.protocol import chat_completions
from langchain_voxtral.protocol.extra_fields import encode_extra_fields
from langchain_voxtral.protocol.fields import safe_text
from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.protocol.json_body import encode_request
from langchain_voxtral.protocol.languages import LANGUAGES
from langchain_voxtral.protocol.segments import without_template_text
from langchain_voxtral.protocol.transcription import Transcript, parse_transcript
from langchain_voxtral.protocol.transcription_forms import (
    NATIVE_FILE_FIELD,
    OPENAI_FILE_FIELD,
    Fields,
    ResponseFormat,
    Task,
    TranscriptionOptions,
    native_fields,
    openai_fields,
)
from langchain_voxtral.providers import EndpointName, Provider

SpeechEndpoint = Literal["transcriptions", "native", "chat"]
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

CUT: Mapping[str | None, str] = {
    "length": (
        "The transcript was cut at the most tokens that an answer may have. Have the recording cut "
        "into shorter chunks (chunk_seconds=)."
    ),
    "content_filter": "The transcript was cut by the server's content filter.",
}
"""What finish reasons say of a transcript that is not whole."""


_WORDS_ADVICE = (
    " Times of words were requested, which not every model has (Mistral's voxtral-mini-2602 has "
    "them): if that is why, ask for timestamps='segment' or for none."
)


@dataclass(frozen=True, slots=True)
class ChunkTranscript:
    """What the server returned for a chunk, the model that it named, and how often it was asked."""

    transcript: Transcript
    model: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """A request to transcribe one chunk.

    Args:
        provider: What kind of server it is.
        endpoint: Which of its endpoints is used.
        model: The model's name.
        options: How the recording is to be transcribed.
        chunk: The audio.
        title: What errors call the chunk.
        extra: More fields of the request, for what has no name here.

    Raises:
        VoxtralInvalidRequestError: The endpoint has no field for an option.
        VoxtralUnsupportedFeatureError: The server has no such endpoint.
    """

    provider: Provider
    endpoint: SpeechEndpoint
    model: str
    options: TranscriptionOptions
    chunk: AudioChunk
    title: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.provider.path(self.endpoint_name)
        if self.endpoint == "chat":
            check_chat_model(self.model, self.provider.chat_model)
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
        timestamps = self.options.timestamps
        facts = {
            "endpoint": self.endpoint,
            "server": self.provider.name,
            "model": self.model,
            "task": self.options.task,
            "language": self.options.language,
            "prompt": self.options.prompt,
            "temperature": self.options.temperature,
            "timestamps": timestamps if timestamps == "word" else timestamps is not None,
            **({"model_kwargs": dict(self.extra)} if self.extra else {}),
        }
        return facts | {"speakers": True} if self.options.speakers else facts

    def without_timestamps(self) -> "TranscriptionRequest":
        """Return the same request for a server that returns no timestamps."""
        return replace(self, options=replace(self.options, timestamps=None))

    def refuses_timestamps(self, error: VoxtralInvalidRequestError) -> bool:
        """Tell whether an error refuses timestamps (vLLM: "do not support verbose_json")."""
        return (
            self.endpoint == "transcriptions"
            and self.options.timestamps == "segment"
            and "verbose_json" in error.message
        )

    def advice(self, error: VoxtralError) -> str:
        """Return what to add to the message of an error: a model may have no times of words."""
        is_refusal = isinstance(error, VoxtralInvalidRequestError)
        return _WORDS_ADVICE if is_refusal and self.options.timestamps == "word" else ""

    def encode(self) -> bytes | FormData:
        """Return the body: JSON for a chat, else a form.

        Raises:
            VoxtralInvalidRequestError: A text is not valid Unicode.
        """
        if self.endpoint == "chat":
            return encode_request(self._chat_body() | dict(self.extra))
        if self.endpoint == "transcriptions" and self.provider.takes_json_recordings:
            return encode_request(self._json_body() | dict(self.extra))
        form = self.chunk.format
        file_field = NATIVE_FILE_FIELD if self.endpoint == "native" else OPENAI_FILE_FIELD
        file_name = f"audio{form.extension}"  # servers recognize the format by the extension
        fields = self._form_fields() + encode_extra_fields(self.extra)
        return FormData(fields, file_field, file_name, form.mime_type, self.chunk.data)

    def parse(
        self, content: bytes, headers: Mapping[str, str], secrets: Iterable[str]
    ) -> ChunkTranscript:
        """Return the transcript in a 200 response.

        Raises:
            VoxtralError: The body has no transcript, reports a failure, or was cut.
        """
        # OpenRouter names its own only there.
        header = headers.get("x-request-id") or headers.get("x-generation-id")
        request_id = safe_text(header, secrets)
        transcript = self._parse_body(content, request_id, secrets)
        model = safe_text(headers.get("x-voxtral-model"), secrets) or self.model
        return ChunkTranscript(transcript, model)

    def _parse_body(
        self, content: bytes, request_id: str | None, secrets: Iterable[str]
    ) -> Transcript:
        if self.endpoint != "chat":
            return parse_transcript(
                content,
                is_native=self.endpoint == "native",
                timestamps=self.options.timestamps,
                max_seconds=self.chunk.seconds,
                words_replace_segments=self.provider.words_replace_segments,
                header_request_id=request_id,
                secrets=secrets,
            )
        answer = chat_completions.parse_response(
            content, header_request_id=request_id, secrets=secrets
        )
        text = without_template_text(answer.texts[0]).strip()
        problem = next(filter(None, map(CUT.get, answer.finish_reasons)), None)
        if problem is not None:
            raise VoxtralResponseError(
                problem, status_code=200, request_id=answer.info.request_id, partial=text
            )
        return Transcript(
            text,
            usage=answer.info.usage,
            request_id=answer.info.request_id,
            finish_reason=answer.finish_reasons[0],
        )

    def _form_fields(self) -> Fields:
        options = self.options
        if self.endpoint == "native":
            return native_fields(options)
        if options.prompt and not self.provider.keeps_own_instruction:
            options = replace(options, prompt=_instruction(replace(options, language=None)))
        timestamps = options.timestamps if self.provider.timestamps else None
        response_format: ResponseFormat = "verbose_json" if timestamps else "json"
        if timestamps == "segment" and options.task == "translate":
            timestamps = None  # it has no field for them, and returns them with this format
        fields = openai_fields(
            replace(options, timestamps=timestamps),
            model=self.model,
            response_format=response_format,
            words_replace_segments=self.provider.words_replace_segments,
        )
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
        if options.language and options.timestamps and provider.timestamps_exclude_language:
            raise VoxtralUnsupportedFeatureError(
                f"server={provider.name!r} takes either language= or times (a mode that has them, "
                f"timestamps=, speakers=): leave language={options.language!r} unset, the model "
                "detects it."
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

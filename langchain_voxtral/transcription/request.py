"""What a server is asked about a piece, and how its answer is read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_voxtral.errors import VoxtralError, VoxtralInvalidRequestError, VoxtralResponseError
from langchain_voxtral.protocol import chat_completions
from langchain_voxtral.protocol.fields import safe_text
from langchain_voxtral.protocol.json_body import encode_request
from langchain_voxtral.protocol.languages import LANGUAGES
from langchain_voxtral.protocol.multipart import FilePart, multipart_parts
from langchain_voxtral.protocol.transcription import (
    decode_native,
    decode_openai,
    without_template_text,
)
from langchain_voxtral.protocol.transcription_requests import (
    NATIVE_FILE_FIELD,
    OPENAI_FILE_FIELD,
    Fields,
    ResponseFormat,
    Task,
    TranscriptionOptions,
    native_fields,
    openai_fields,
)
from langchain_voxtral.protocol.transcripts import Transcript
from langchain_voxtral.providers import Provider, Route
from langchain_voxtral.transcription.cuts import Piece
from langchain_voxtral.transcription.store import ChunkTranscript
from langchain_voxtral.transport import HTTPRequest, HTTPResponse

__all__ = ["Asking", "Door", "told_by"]

Door = Literal["transcriptions", "native", "chat"]

_ROUTES: Mapping[tuple[Door, Task], Route] = {
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

# A fast speaker makes 5 tokens a second. A bound ends the loops that models fall into over
# silence, and is above the low defaults of some servers.
_TOKENS_PER_SECOND = 8
_FEWEST_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Asking:
    """How the pieces of a recording are asked about.

    Args:
        door: Which endpoint is asked.
        server: What kind of server it is.
        model: The model's name.
        options: How the recording is to be written down.
        timed: Whether the times of segments are wanted, if the server knows them.

    Raises:
        VoxtralInvalidRequestError: The endpoint has no field for an option.
        VoxtralUnsupportedFeatureError: The server has no such endpoint.
    """

    door: Door
    server: Provider
    model: str
    options: TranscriptionOptions
    timed: bool

    def __post_init__(self) -> None:
        self.server.path(self.route)
        if self.door == "transcriptions":
            openai_fields(self._options, model=self.model, response_format=self._response_format)

    @property
    def route(self) -> Route:
        """Which endpoint is asked, as servers distinguish them."""
        return _ROUTES[self.door, self.options.task]

    def untimed(self) -> "Asking":
        """Return the same without times, for a server that refuses to tell any."""
        return replace(self, timed=False)

    def facts(self) -> dict[str, Any]:
        """Return all that an answer depends on, apart from the sound."""
        return {
            "door": self.door,
            "server": self.server.name,
            "model": self.model,
            "task": self.options.task,
            "language": self.options.language,
            "prompt": self.options.prompt,
            "temperature": self.options.temperature,
            "timed": self.timed,
        }

    def body(self, piece: Piece) -> tuple[bytes | tuple[bytes, ...], str]:
        """Return the body of the request about a piece, maybe in parts, and its content type.

        Raises:
            VoxtralInvalidRequestError: A text in it cannot be written.
        """
        if self.door == "chat":
            return encode_request(self._chat(piece)), "application/json"
        field, fields = self._form()
        name = f"audio{piece.kind.extension}"  # servers tell the format from it
        return multipart_parts(fields, FilePart(field, name, piece.kind.mime_type, piece.data))

    def read(
        self,
        content: bytes,
        headers: Mapping[str, str],
        request_id: str | None,
        secrets: Sequence[str],
    ) -> Transcript:
        """Return what the server heard.

        Args:
            content: Body of a 200 answer.
            headers: The answer's headers.
            request_id: The request's id in the headers, without secrets.
            secrets: Texts that must not come back in an error.

        Raises:
            VoxtralError: The body is no answer, reports a failure, or ends early.
        """
        if self.door == "native":
            return decode_native(
                content, timed=self.timed, header_request_id=request_id, secrets=secrets
            )
        if self.door == "transcriptions":
            return decode_openai(
                content,
                self._response_format,
                timed=self.timed,
                content_type=headers.get("content-type"),
                header_request_id=request_id,
                secrets=secrets,
            )
        answer = chat_completions.parse_response(
            content, header_request_id=request_id, secrets=secrets
        )
        text = without_template_text(answer.texts[0]).strip()
        if "length" in answer.finish_reasons:
            raise VoxtralResponseError(
                "The transcript was cut at the most tokens that an answer may have. Have the "
                "recording cut into shorter chunks (chunk_seconds=).",
                status_code=200,
                request_id=answer.info.request_id,
                partial=text,
            )
        return Transcript(text, usage=answer.info.usage, request_id=answer.info.request_id)

    def refuses_times(self, error: VoxtralInvalidRequestError) -> bool:
        """Tell whether a refusal is one of the times asked for (vLLM: "do not support verbose")."""
        return self.door == "transcriptions" and self.timed and "verbose_json" in error.message

    @property
    def _response_format(self) -> ResponseFormat:
        return self.server.response_format("verbose_json") if self.timed else "json"

    @property
    def _options(self) -> TranscriptionOptions:
        """The options as this endpoint has fields for them."""
        options = self.options
        if self.door == "transcriptions" and options.prompt and not self.server.prompt_is_hint:
            options = replace(options, prompt=_instruction(replace(options, language=None)))
        has_field = self.door == "native" or (
            self._response_format == "verbose_json" and options.task == "transcribe"
        )
        return replace(options, timestamps="segment") if self.timed and has_field else options

    def _form(self) -> tuple[str, Fields]:
        if self.door == "native":
            return NATIVE_FILE_FIELD, native_fields(self._options)
        fields = openai_fields(
            self._options, model=self.model, response_format=self._response_format
        )
        return OPENAI_FILE_FIELD, fields

    def _chat(self, piece: Piece) -> dict[str, Any]:
        options = self.options
        part = self.server.audio_part(piece.data, piece.kind.name)
        text = {"type": "text", "text": _instruction(options)}
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": [part, text]}],
            "max_tokens": max(_FEWEST_TOKENS, math.ceil(piece.span.seconds * _TOKENS_PER_SECOND)),
        }
        return body if options.temperature is None else body | {"temperature": options.temperature}


def _instruction(options: TranscriptionOptions) -> str:
    """Return what a model is told to do with a recording."""
    hints = [
        _INSTRUCTIONS[options.task],
        f"The language is {LANGUAGES[options.language].title()}." if options.language else "",
        f"For names and style: {options.prompt}" if options.prompt else "",
    ]
    return " ".join(filter(None, hints))


def told_by(reply: HTTPResponse, asking: Asking, request: HTTPRequest) -> ChunkTranscript:
    """Return what an answer tells.

    Args:
        reply: The answer.
        asking: How was asked.
        request: The request, for its secrets.

    Raises:
        VoxtralError: As for `Asking.read`.
    """
    headers, secrets = reply.headers, request.secrets
    request_id = safe_text(headers.get("x-request-id"), secrets)
    try:
        transcript = asking.read(reply.content, headers, request_id, secrets)
    except VoxtralError as error:
        error.attempts = reply.attempts
        raise
    return ChunkTranscript(
        transcript, safe_text(headers.get("x-voxtral-model"), secrets) or asking.model
    )

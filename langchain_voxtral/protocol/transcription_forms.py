"""Forms of speech endpoints: options to fields, by the names of DeepInfra, OpenAI and Mistral."""

import math
from dataclasses import dataclass
from typing import Literal

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.protocol.languages import validate_language
from langchain_voxtral.providers import Timestamps

Task = Literal["transcribe", "translate"]
ResponseFormat = Literal["json", "verbose_json"]
Fields = list[tuple[str, str]]
"""Names and values of a form; a name may come more than once."""

NATIVE_FILE_FIELD = "audio"
"""The recording's field in the form of DeepInfra's native speech endpoint."""
OPENAI_FILE_FIELD = "file"
"""The recording's field in the forms of OpenAI's transcriptions and translations."""

_GRANULARITY_NAMES = ("timestamp_granularities", "timestamp_granularities[]")
"""DeepInfra documents the first; vLLM and OpenAI's own client use the second."""


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """How a recording is to be transcribed; None leaves it to the server.

    Args:
        task: `transcribe` in the language spoken, or `translate` into English.
        language: The language spoken, as its ISO 639 code of two or three letters.
        prompt: A text that goes before, for names and style. Some servers ignore it.
        temperature: Randomness; the model card recommends 0 for transcription.
        timestamps: Times of passages (`segment`), or of words too (`word`).
        speakers: Whether speakers are told apart.

    Raises:
        VoxtralInvalidRequestError: One of them has an invalid value.
    """

    task: Task = "transcribe"
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = 0.0
    timestamps: Timestamps | None = None
    speakers: bool = False

    def __post_init__(self) -> None:
        if self.language is not None:
            validate_language(self.language)
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise VoxtralInvalidRequestError(
                f"temperature={self.temperature} must be a number from 0 on; 0 is best for "
                "transcription."
            )


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
    options: TranscriptionOptions,
    *,
    model: str,
    response_format: ResponseFormat = "json",
    words_replace_segments: bool = False,
) -> Fields:
    """Return the form of OpenAI's transcriptions or translations, without the recording.

    `diarize`, for speakers, is Mistral's.

    Raises:
        VoxtralInvalidRequestError: An option that the endpoint has no field for.
    """
    for name in ("language", "timestamps") if options.task == "translate" else ():
        value = getattr(options, name)
        if value:
            raise VoxtralInvalidRequestError(
                f"OpenAI's audio endpoints have no field for {name}={value!r} when translating. "
                "Leave it unset, or use DeepInfra's native speech endpoint, which has one "
                "(endpoint='native')."
            )
    fields = _known_fields(
        model=model,
        prompt=options.prompt,
        response_format=response_format,
        temperature=options.temperature,
        language=options.language,
        diarize="true" if options.speakers else None,
    )
    granularities: tuple[Timestamps, ...] = ()
    if options.timestamps is not None:
        granularities = (options.timestamps,)
    if options.timestamps == "word" and not words_replace_segments:
        granularities = ("segment", "word")  # OpenAI would leave out the segments
    return fields + [(name, value) for name in _GRANULARITY_NAMES for value in granularities]


def _known_fields(**fields: object) -> Fields:
    return [(name, str(value)) for name, value in fields.items() if value is not None]

"""What speech endpoints are asked: the fields of their forms beside the recording."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.protocol.languages import validate_language

Task = Literal["transcribe", "translate"]
Timestamps = Literal["segment", "word"]
ResponseFormat = Literal["json", "verbose_json", "text", "srt", "vtt"]
Fields = list[tuple[str, str]]
"""Names and texts of a form; a name may come more than once."""

NATIVE_FILE_FIELD = "audio"
"""The recording's field in the form of DeepInfra's native speech endpoint."""
OPENAI_FILE_FIELD = "file"
"""The same in the forms of OpenAI's transcriptions and translations."""

_LONGEST_CHUNK = 30
_GRANULARITIES: dict[Timestamps, tuple[Timestamps, ...]] = {
    "segment": ("segment",),
    "word": ("segment", "word"),  # asked for alone, words come in the place of segments
}
_GRANULARITY_NAMES = ("timestamp_granularities", "timestamp_granularities[]")
"""DeepInfra documents the first; vLLM and OpenAI's own client go by the second."""


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """How a recording is to be written down; None leaves it to the server.

    Args:
        task: `transcribe` in the language spoken, or `translate` into English.
        language: The language spoken, as its ISO 639-1 code (`en`), or `haw`, `yue`.
        prompt: A text that goes before, for names and style. Not every server heeds it.
        temperature: Randomness; the model card recommends 0 for transcription.
        timestamps: Times of passages (`segment`), or of words too (`word`).
        chunk_length: Seconds of audio, 1 to 30, that the native endpoint cuts a recording into.

    Raises:
        VoxtralInvalidRequestError: One of them has a wrong value.
    """

    task: Task = "transcribe"
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = 0.0
    timestamps: Timestamps | None = None
    chunk_length: int | None = None

    def __post_init__(self) -> None:
        _check_choice("task", self.task, get_args(Task))
        if self.timestamps is not None:
            _check_choice("timestamps", self.timestamps, get_args(Timestamps))
        if self.language is not None:
            validate_language(self.language)
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise VoxtralInvalidRequestError(
                f"temperature={self.temperature} must be a number from 0 on; 0 is best for "
                "transcription."
            )
        if self.chunk_length is not None and not 1 <= self.chunk_length <= _LONGEST_CHUNK:
            raise VoxtralInvalidRequestError(
                f"chunk_length={self.chunk_length} must be 1 to {_LONGEST_CHUNK} seconds."
            )


def native_fields(options: TranscriptionOptions) -> Fields:
    """Return the form of DeepInfra's native speech endpoint, `POST /v1/inference/{model}`.

    The recording goes beside it, in the field `NATIVE_FILE_FIELD`.

    Args:
        options: How the recording is to be written down.
    """
    told = {
        "task": options.task,
        "initial_prompt": options.prompt,
        "temperature": options.temperature,
        "language": options.language,
        "chunk_level": options.timestamps,
        "chunk_length_s": options.chunk_length,
    }
    return list(_texts(told))


def openai_fields(
    options: TranscriptionOptions, *, model: str, response_format: ResponseFormat = "json"
) -> Fields:
    """Return the form of OpenAI's transcriptions, or of its translations if that is the task.

    The recording goes beside it, in the field `OPENAI_FILE_FIELD`.

    Args:
        options: How the recording is to be written down.
        model: The model's name.
        response_format: What the answer is to be; `verbose_json` has times, if the server knows
            them.

    Raises:
        VoxtralInvalidRequestError: An option that this endpoint has no field for: `language` and
            `timestamps` when translating, `chunk_length`, `timestamps` without `verbose_json`.
    """
    _check_choice("response_format", response_format, get_args(ResponseFormat))
    problem = _unsaid(options, response_format)
    if problem:
        raise VoxtralInvalidRequestError(
            f"OpenAI's audio endpoints have no field for {problem}. Leave it unset, or use "
            "DeepInfra's native speech endpoint, which has one."
        )
    told = {
        "model": model,
        "prompt": options.prompt,
        "response_format": response_format,
        "temperature": options.temperature,
        "language": options.language,
    }
    granularities = _GRANULARITIES[options.timestamps] if options.timestamps else ()
    return [
        *_texts(told),
        *((name, value) for name in _GRANULARITY_NAMES for value in granularities),
    ]


def _unsaid(options: TranscriptionOptions, response_format: ResponseFormat) -> str:
    """Return which option the form of OpenAI's endpoints cannot carry, or nothing."""
    translating = options.task == "translate"
    cases = {
        f"chunk_length={options.chunk_length}": options.chunk_length is not None,
        f"language={options.language!r} when translating": translating and options.language,
        f"timestamps={options.timestamps!r} when translating": translating and options.timestamps,
        f"timestamps={options.timestamps!r} with response_format={response_format!r}, only with "
        "'verbose_json'": options.timestamps and response_format != "verbose_json",
    }
    return next((problem for problem, holds in cases.items() if holds), "")


def _texts(told: dict[str, str | float | None]) -> Iterator[tuple[str, str]]:
    return ((name, str(value)) for name, value in told.items() if value is not None)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise VoxtralInvalidRequestError(f"{name}={value!r} is not known: give one of {allowed}.")

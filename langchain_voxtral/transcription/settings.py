"""Settings of transcriptions."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from langchain_core.stores import BaseStore
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.audio.decoder import Truncated
from langchain_voxtral.audio_store import AudioStore
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.option_names import names_of, reject_unknown_names
from langchain_voxtral.profiles import VOXTRAL_MINI
from langchain_voxtral.protocol.extra_fields import check_extra_fields
from langchain_voxtral.protocol.transcription_forms import Task, TranscriptionOptions
from langchain_voxtral.protocol.transcription_request import SpeechEndpoint, TranscriptionRequest
from langchain_voxtral.providers import LOCAL_BASE_URL, PROVIDERS, Provider, Timestamps
from langchain_voxtral.transcription.documents import Mode
from langchain_voxtral.transcription.progress import ProgressCallback
from langchain_voxtral.transcription.timestamps import (
    check_abilities,
    needed_timestamps,
    needs_cues,
)

_CHAT_SETTINGS = {
    "api": "endpoint=",
    "stream_idle_timeout": "timeout=",
    "max_stream_resumes": "store=, by which a killed run goes on",
}
"""Settings of chats that have no meaning here, and what to use instead."""

_LOCAL_CHUNK_SECONDS = 120.0
"""Four windows of Whisper's. The embedded engine takes 6 to 18 seconds for them, one chunk after
the other: then progress shows, and four in flight are far from the timeout. For each chunk the
language is detected anew, and the last window filled up, so that shorter ones have a price."""
_EMPTY_CHUNK = AudioChunk(0, 0.0, 0.0, b"")


def _validate_model_kwargs(model_kwargs: dict[str, Any]) -> dict[str, Any]:
    check_extra_fields(model_kwargs)
    return model_kwargs


class TranscriptionSettings(ConnectionSettings):
    """What is sent with each chunk, and how recordings are cut, kept and paid."""

    # Older pydantic warns of fields that begin with `model_`.
    model_config = ConfigDict(protected_namespaces=())

    model: str = Field(
        default=VOXTRAL_MINI,
        min_length=1,
        validation_alias=names_of("model"),
        description="The model's name at the server; else Voxtral Mini, or at Mistral and "
        "OpenRouter Voxtral Mini Transcribe 3 (in a chat Voxtral Small).",
    )
    task: Task = Field(
        default="transcribe",
        description='`"transcribe"` in the language spoken, or `"translate"` into English.',
    )
    language: str | None = Field(
        default=None,
        description='The spoken language, as its ISO 639-1 code (`"fr"`); None lets the model '
        "detect it.",
    )
    prompt: str | None = Field(
        default=None,
        description="A hint for names and style. Some servers ignore it.",
    )
    temperature: float | None = Field(
        default=0.0, description="Randomness; the model card recommends 0 for transcription."
    )
    endpoint: SpeechEndpoint = Field(
        default="transcriptions",
        description='`"transcriptions"`: the audio endpoints of OpenAI; `"native"`: that of '
        'DeepInfra; `"chat"`: a chat with the model, which every server supports, but which may '
        "add words of its own.",
    )
    mode: Mode = Field(
        default="document",
        description='One document for each recording, `"chunk"`, `"segment"` or `"word"`; or a '
        'subtitle file (`"srt"`, `"vtt"`).',
    )
    timestamps: Timestamps | None = Field(
        default=None,
        description='Lists of times in the metadata of recordings and chunks: `"segment"` '
        '(`metadata["segments"]`) or `"word"` (`metadata["words"]`), in seconds of the '
        "recording. Vector stores need flat metadata: with None there are no lists, "
        "except those that the mode needs.",
    )
    speakers: bool = Field(
        default=False,
        description="Whether the server identifies speakers. Subtitles then have their names, "
        'and whole recordings and chunks have `metadata["segments"]`. Speakers of '
        "different chunks are not compared, so chunks are as long as the server accepts "
        "(an hour at Mistral), unless `chunk_seconds` is set. With several chunks, "
        "names begin with the number of the chunk, and a message is logged.",
    )
    chunk_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = Field(
        default=None,
        description="Length of chunks, at most the server's limit. None: as few as possible; "
        'with `"local"` up to 2 minutes; for segments and subtitles up to 15 seconds if '
        "the server returns no times.",
    )
    max_concurrency: int = Field(
        default=4, ge=1, description="Number of parallel requests; one more chunk is in memory."
    )
    on_error: Literal["raise", "mark"] = Field(
        default="raise",
        description='`"raise"` raises if a chunk fails or a recording cannot be decoded; `"mark"` '
        "reports it in the metadata of the document. A key or a model that the server "
        "rejects always raises.",
    )
    truncated: Truncated = Field(
        default="error",
        description='`"error"` raises for a recording that is cut off; `"keep"` uses what can be '
        "decoded.",
    )
    send_silence: bool = Field(
        default=False,
        description="Whether chunks of nothing but digital silence or dither are sent, too. Models "
        "may invent text for them. The faintest noise is no silence, and is sent.",
    )
    store: BaseStore[str, bytes] | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="Store for transcripts, by hashes of chunks and settings (`LocalFileStore`, "
        "...): an interrupted run pays only for missing chunks. Used from threads.",
    )
    audio_store: AudioStore | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="Store for recordings that messages or blocks refer to by hash, filled by "
        "`audio_block(..., store=...)` or `put_audio`: a `BaseStore[str, bytes]`, or "
        '`"cache"`, a folder in the cache directory (`VOXTRAL_CACHE` sets '
        "another).",
    )
    progress: bool | ProgressCallback | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="True shows a bar (on stderr; in notebooks below the cell), False nothing, "
        "None a bar in terminals and notebooks only, unless text is streamed; a function is called "
        "with a `Progress` before the first chunk and after each.",
    )
    max_cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="Limit in US dollars for each recording, checked before its first request.",
    )
    price_per_minute: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description='US dollars per minute of audio. Known for `"local"` and for the models of '
        "DeepInfra, Mistral and OpenRouter in `docs/servers.md`.",
    )
    model_kwargs: Annotated[dict[str, Any], AfterValidator(_validate_model_kwargs)] = Field(
        default_factory=dict,
        validation_alias=names_of("model_kwargs"),
        description="More fields for each request, for what this class has no name for: Mistral's "
        "`context_bias` (a list of words; phrases for Voxtral 3 only), DeepInfra's "
        "`chunk_length_s`, ... A list becomes a field for each item.",
    )

    @property
    def model_name(self) -> str:
        """The name of the model: `model`, under the name that other LangChain classes use."""
        return self.model

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_fields(cls, values: Any) -> Any:
        for name in values if isinstance(values, dict) else ():
            if name in _CHAT_SETTINGS:
                raise ValueError(
                    f"{name}= is a setting of chats; here it is {_CHAT_SETTINGS[name]}"
                )
        reject_unknown_names(cls.model_fields.keys(), values)
        return values

    @model_validator(mode="after")
    def _set_default_model(self) -> Self:
        if "model" not in self.model_fields_set:
            self.__dict__["model"] = _default_model(self)
        return self

    @model_validator(mode="after")
    def _check_request(self) -> Self:
        if self.mode == "word" and self.timestamps == "segment":
            raise ValueError("mode='word' needs timestamps='word', which it has if none are given")
        request = request_for(self, _EMPTY_CHUNK, "")  # raises if the endpoint lacks a field
        if self.model_kwargs:
            request.encode()  # raises if it cannot be sent
        check_abilities(self)
        return self


def request_for(
    settings: TranscriptionSettings, chunk: AudioChunk, title: str
) -> TranscriptionRequest:
    """Return the request to transcribe a chunk."""
    return TranscriptionRequest(
        provider=PROVIDERS[settings.server],
        endpoint=settings.endpoint,
        model=settings.model,
        options=TranscriptionOptions(
            settings.task,
            settings.language,
            settings.prompt,
            settings.temperature,
            timestamps=needed_timestamps(settings),
            speakers=settings.speakers,
        ),
        chunk=chunk,
        title=title,
        extra=settings.model_kwargs,
    )


def _default_model(settings: TranscriptionSettings) -> str:
    provider = PROVIDERS[settings.server]
    if settings.endpoint == "chat":
        return provider.chat_model
    needs_words = needed_timestamps(settings) == "word"
    return (provider.words_model if needs_words else "") or provider.transcription_model


def chunk_limits(settings: TranscriptionSettings) -> Provider:
    """Return the kind of server, with the limits of a chunk as those of a recording."""
    provider = PROVIDERS[settings.server]
    if not settings.speakers:
        return provider
    return replace(
        provider,
        max_audio_seconds=provider.max_diarized_seconds,
        max_audio_bytes=provider.max_diarized_bytes,
    )


def target_seconds(settings: TranscriptionSettings) -> float | None:
    """Return the length that chunks should have; None leaves it to the server's limits."""
    is_local = settings.base_url == LOCAL_BASE_URL
    if settings.chunk_seconds is None and is_local and not needs_cues(settings):
        return _LOCAL_CHUNK_SECONDS
    return settings.chunk_seconds


def price_per_minute(settings: TranscriptionSettings) -> float | None:
    """Return US dollars for a minute of audio; None if that is not known."""
    if settings.price_per_minute is not None:
        return settings.price_per_minute
    return PROVIDERS[settings.server].price_per_minute(settings.base_url, settings.model)

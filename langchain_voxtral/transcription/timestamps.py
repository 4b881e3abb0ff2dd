"""Times and speakers: what documents need of them, and whether the endpoint has them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from langchain_voxtral.providers import LOCAL_BASE_URL, PROVIDERS, Provider, Timestamps
from langchain_voxtral.transcription.documents import Mode

if TYPE_CHECKING:
    from langchain_voxtral.transcription.settings import TranscriptionSettings as Settings

_NEEDED_TIMESTAMPS: Mapping[Mode, Timestamps] = {
    "segment": "segment",
    "srt": "segment",
    "vtt": "segment",
    "word": "word",
}


def needs_cues(settings: "Settings") -> bool:
    """Return whether chunks are to be as short as subtitles, since the endpoint has no times."""
    return needed_timestamps(settings) != expected_timestamps(settings)


def needed_timestamps(settings: "Settings") -> Timestamps | None:
    """Return what documents need times of: as requested, else for their mode or for speakers."""
    needed = settings.timestamps or _NEEDED_TIMESTAMPS.get(settings.mode)
    return "segment" if needed is None and settings.speakers else needed


def demands_timestamps(settings: "Settings") -> bool:
    """Return whether times were asked for by name, so that a server that has none is at fault."""
    return settings.timestamps is not None and "timestamps" in settings.model_fields_set


def expected_timestamps(settings: "Settings") -> Timestamps | None:
    """Return what is needed of that, if the endpoint is one that returns it."""
    needed = needed_timestamps(settings)
    return needed if needed in _possible_timestamps(settings) else None


def _possible_timestamps(settings: "Settings") -> frozenset[Timestamps]:
    possible = PROVIDERS[settings.server].timestamps_of(settings.model)
    return frozenset() if settings.endpoint == "chat" else possible


def check_abilities(settings: "Settings") -> None:
    """Check that the endpoint has the times and the speakers that are asked for by name.

    Raises:
        ValueError: It does not.
    """
    provider, servers = PROVIDERS[settings.server], PROVIDERS.values()
    wanted = "word" if settings.mode == "word" else settings.timestamps
    if wanted is not None and wanted not in _possible_timestamps(settings):
        able = [server for server in servers if wanted in server.timestamps]
        raise ValueError(_refusal(settings, f"times of {wanted}s", able))
    is_transcription = settings.endpoint == "transcriptions" and settings.task == "transcribe"
    if settings.speakers and not (provider.has_speakers and is_transcription):
        able = [server for server in servers if server.has_speakers]
        raise ValueError(_refusal(settings, "speakers", able))
    if settings.speakers and provider.words_replace_segments and wanted == "word":
        raise ValueError(
            f"server={settings.server!r} tells who speaks in segments only: take either speakers= "
            "or times of words."
        )


def _refusal(settings: "Settings", what: str, able: list[Provider]) -> str:
    """Return what an error says of something that an endpoint cannot, and who can."""
    is_local = settings.base_url == LOCAL_BASE_URL
    server = "base_url='local'" if is_local else f"server={settings.server!r}"
    if settings.model in PROVIDERS[settings.server].models_without_words:
        server += f" with model={settings.model!r}"
    names = [
        f"{one.name!r} (model={one.words_model!r})"
        if "words" in what and one.words_model
        else repr(one.name)
        for one in able
    ]
    return (
        f"{server} does not return {what} with endpoint={settings.endpoint!r} and "
        f"task={settings.task!r}. These servers do, with endpoint='transcriptions' and "
        f"task='transcribe': {', '.join(names)}."
    )

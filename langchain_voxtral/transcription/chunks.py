"""A recording in chunks that a server takes, cut while it is decoded."""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

from langchain_voxtral.audio.chunking import AudioChunk, split_at_silence
from langchain_voxtral.audio.decoder import Recording, Truncated
from langchain_voxtral.audio.formats import WAV
from langchain_voxtral.audio.levels import is_silent, iter_wav_pcm
from langchain_voxtral.audio.source import AudioSource
from langchain_voxtral.audio.upload import encode_for_upload
from langchain_voxtral.errors import VoxtralTruncatedAudioError
from langchain_voxtral.providers import Provider

_MAX_CUE_SECONDS = 15.0
"""Longest chunk that becomes a subtitle: what is said in it can still be read at once."""
_SEARCH_SECONDS = 30.0
"""How far before its longest length a chunk may end."""
_WINDOW_SHARE = 0.25
"""The most of a chunk that is searched for silence."""
_CUE_WINDOW_SHARE = 0.5
"""The same of a chunk that becomes a subtitle, so that it ends in a pause between sentences."""


class ChunkedRecording:
    """A recording, opened.

    Args:
        source: Its bytes.
        provider: The kind of server, with its limits.
        target_seconds: Length that chunks should have; None makes as few as possible.
        truncated: How to treat a recording that is cut off, as for `Recording`.
        as_cues: Whether chunks without a target are to be short enough for subtitles.
        marks_silence: Whether chunks that never rise above silence are marked, and have no data.

    Raises:
        VoxtralAudioError: It is no recording, or known to be cut off.
    """

    duration: float | None
    """Its length in seconds, as the file states it."""

    def __init__(
        self,
        source: AudioSource,
        provider: Provider,
        *,
        target_seconds: float | None,
        truncated: Truncated,
        as_cues: bool = False,
        marks_silence: bool = False,
    ) -> None:
        self._source = source
        self._provider = provider
        self._truncated = truncated
        self._marks_silence = marks_silence
        self._window_share = _WINDOW_SHARE
        if target_seconds is None and as_cues:
            target_seconds, self._window_share = _MAX_CUE_SECONDS, _CUE_WINDOW_SHARE
        self._target = target_seconds and min(target_seconds, provider.max_audio_seconds)
        with _suggest_keeping(truncated):
            self._recording = Recording(source, truncated=truncated)
        self.duration = self._recording.duration

    @property
    def is_truncated(self) -> bool:
        """Whether it is known to be cut off or damaged."""
        return self._recording.is_complete is False

    @property
    def expected_chunks(self) -> int | None:
        """About how many chunks it has; None if the file states no length."""
        if self.duration is None:
            return None
        limit = self._target or self._provider.max_audio_seconds
        if self.duration <= limit:
            return 1
        average = self._target or limit - _SEARCH_SECONDS
        return math.ceil(self.duration / average)

    def chunks(self) -> Generator[AudioChunk]:
        """Decode it and yield its chunks; a short file that the server takes passes unchanged.

        Raises:
            VoxtralAudioError: It cannot be decoded.
            VoxtralMissingAudioExtraError: It must be decoded, and the libraries are not installed.
        """
        with _suggest_keeping(self._truncated):
            # Not a loop, whose variable would keep a chunk alive while the next one is decoded.
            yield from map(self._mark_if_silent, self._cut())

    def _cut(self) -> Iterator[AudioChunk]:
        provider = self._provider
        if (
            self._recording.format.name in provider.audio_formats
            and self._source.size <= provider.max_audio_bytes
            and self.expected_chunks == 1
        ):
            return iter((self._whole(),))
        return split_at_silence(
            self._recording,
            max_seconds=provider.max_audio_seconds,
            max_bytes=provider.max_audio_bytes,
            target_seconds=self._target,
            window_seconds=_SEARCH_SECONDS,
            max_window_share=self._window_share,
        )

    def _mark_if_silent(self, chunk: AudioChunk) -> AudioChunk:
        if self._marks_silence and self._is_silent(chunk):
            return replace(chunk, data=b"", is_silent=True)
        return chunk

    def _is_silent(self, chunk: AudioChunk) -> bool:
        if chunk.format == WAV:
            return is_silent(iter_wav_pcm(chunk.data))
        return self._recording.is_silent()  # the whole file, which passes unchanged

    def _whole(self) -> AudioChunk:
        upload = encode_for_upload(
            self._source.read(),
            accepted_formats=self._provider.audio_formats,
            name=self._source.title,
            truncated=self._truncated,
        )
        return AudioChunk(0, 0.0, upload.seconds, upload.data, upload.format, is_last=True)


@contextmanager
def _suggest_keeping(truncated: Truncated) -> Iterator[None]:
    try:
        yield
    except VoxtralTruncatedAudioError as error:
        if truncated == "error":
            error.message += " truncated='keep' takes what can be decoded."
        raise

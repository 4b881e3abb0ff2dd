"""Recordings decoded as the model takes them: mono, 16 kHz, as a stream."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Literal

from langchain_voxtral.audio import formats
from langchain_voxtral.audio.formats import AudioFormat
from langchain_voxtral.audio.fragments import check_mp4
from langchain_voxtral.audio.frames import check_adts, check_mp3
from langchain_voxtral.audio.integrity import check_matroska, check_ogg
from langchain_voxtral.audio.levels import is_silent
from langchain_voxtral.audio.mixing import import_optional
from langchain_voxtral.audio.patches import FileCheck, PatchedFile, ReportDamage
from langchain_voxtral.audio.sizes import (
    check_aiff,
    check_au,
    check_avi,
    check_w64,
    check_wav,
)
from langchain_voxtral.audio.source import AudioInput, AudioSource
from langchain_voxtral.audio.track import AudioTrack, open_track, probe_format
from langchain_voxtral.errors import (
    VoxtralAudioError,
    VoxtralMissingAudioExtraError,
    VoxtralTruncatedAudioError,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger("langchain_voxtral")

Truncated = Literal["error", "keep"]
"""How to treat a recording that is cut off or damaged: refuse it, or take what can be decoded."""


class Recording:
    """A recording of any format, decoded to mono 16 kHz while it is read.

    Hours of it take no more memory than a minute. Several channels are mixed; of several audio
    tracks the default one is taken. Where the clock of an MP4, Matroska or Ogg file runs on without
    sound (before the sound of a film begins, in a pause of a call) there is silence, at most an
    hour.

    Args:
        source: A path, the file's bytes, or a binary file, which is read from its start and never
            closed. A file that cannot seek is copied to disk first.
        name: What errors call it; by default the path.
        truncated: `"error"` refuses a recording that is cut off or damaged, as soon as that is
            seen. `"keep"` takes what can be decoded and logs a warning. Files that do not tell
            their length (MP3 without a `Xing` header, streamed FLAC, WAV, MP4 and WebM) and are
            cut between two of their parts look whole, and so may cut CAF files.

    Raises:
        VoxtralTruncatedAudioError: It is cut off or damaged.
        VoxtralAudioError: It cannot be read, is empty, or is no recording of a known format.

    Example:
        ```python
        from langchain_voxtral.audio import Recording

        recording = Recording("talk.mp3")
        print(recording.format.name, recording.duration)
        for samples in recording.iter_samples():
            print(len(samples), abs(samples).max())
        ```
    """

    format: AudioFormat
    """Its format, by its content."""
    is_complete: bool | None
    """False once it is known to be cut off or damaged, True once all of it was decoded."""

    def __init__(
        self,
        source: AudioInput | AudioSource,
        *,
        name: str | None = None,
        truncated: Truncated = "error",
    ) -> None:
        self.is_complete = None
        self._truncated = truncated
        self._check = FileCheck()
        self._has_inversion = False
        self._source = source if isinstance(source, AudioSource) else AudioSource(source, name=name)
        self.name = name or self._source.title
        with self._source.open() as file, self._naming_errors():
            self.format = known_format(file)
            if check := _CHECKS.get(self.format):
                found = check(file, self._report_damage)
                self._check = replace(found, is_damaged=self.is_complete is False)

    @property
    def duration(self) -> float | None:
        """Its length in seconds as the file tells it; None if it does not, or is cut off.

        For WAV and MP3 files this needs no decoder.
        """
        if self.is_complete is False:
            return None
        if self._check.seconds is not None:
            return self._check.seconds
        lengths = []
        for part in self._parts:
            with self._open_track(part) as track:
                lengths.append(track.seconds)
        return None if None in lengths else sum(filter(None, lengths))

    def iter_pcm(self) -> Iterator[bytes]:
        """Decode it to 16-bit PCM, mono, 16 kHz, in blocks of at most a second.

        Each call begins anew; two at once need two recordings when the source is a file.

        Raises:
            VoxtralTruncatedAudioError: It breaks off here.
            VoxtralAudioError: It has no samples, or some that are no numbers.
            VoxtralMissingAudioExtraError: The libraries that decode are not installed.
        """
        is_empty = True
        for part in self._parts:
            with self._open_track(part) as track:
                for block in track.iter_pcm(
                    self._check, self._report_damage, self._report_inversion
                ):
                    is_empty = False
                    yield block
        if is_empty:
            raise VoxtralAudioError(f"{self.name}: it has no sound: 0 samples.")
        if self.is_complete is None:
            self.is_complete = True

    def iter_samples(self) -> "Iterator[NDArray[np.float32]]":
        """Decode it as `iter_pcm` does, to samples from -1 to 1."""
        np = import_optional("numpy")
        for block in self.iter_pcm():
            yield np.frombuffer(block, dtype="<i2").astype(np.float32) / 32768

    def is_silent(self) -> bool:
        """Return whether it never rises above silence; False if it cannot be decoded to its end.

        It is decoded as far as the first block that is louder. Nothing is raised or reported.
        """
        trial = copy(self)
        trial._truncated = "error"  # noqa: SLF001 - its own
        try:
            return is_silent(trial.iter_pcm())
        except Exception:  # noqa: BLE001 - whatever a decoder raises, a server may still take it
            return False

    @property
    def _parts(self) -> "tuple[tuple[int, int] | None, ...]":
        """Parts that are decoded one after the other; None for the whole file."""
        return self._check.parts or (None,)

    @contextmanager
    def _open_track(self, part: tuple[int, int] | None) -> Iterator[AudioTrack]:
        patches = self._check.patches
        with self._source.open() as file, self._naming_errors():
            content = PatchedFile(file, patches, part) if patches or part else file
            with open_track(content, self.format) as track:
                yield track

    def _report_damage(self, error: VoxtralTruncatedAudioError) -> None:
        """Raise the error, or log it as a warning, as asked for."""
        if self._truncated == "error":
            error.message += "; give the whole recording"
            raise error
        if self.is_complete is not False:
            logger.warning("%s: %s; what can be decoded is taken", self.name, error.message)
        self.is_complete = False

    def _report_inversion(self) -> None:
        """Log once that channels cancel each other."""
        if not self._has_inversion:
            logger.warning("%s: channels of it cancel each other; one of them is taken", self.name)
        self._has_inversion = True

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except VoxtralAudioError as error:
            error.message = f"{self.name}: {error.message}."
            raise


def known_format(file: BinaryIO) -> AudioFormat:
    """Return the format of a file, which its beginning tells.

    Raises:
        VoxtralAudioError: It is empty, or is no recording of a known format.
    """
    if audio_format := formats.detect_format(file):
        return audio_format
    file.seek(0)
    if not (head := file.read(16)):
        raise VoxtralAudioError("it is empty: 0 bytes")
    with suppress(VoxtralMissingAudioExtraError):
        if audio_format := probe_format(file):
            return audio_format
    known = ", ".join(known.name for known in formats.AUDIO_FORMATS)
    raise VoxtralAudioError(
        f"it is no recording of a known kind ({known}): it begins with {head!r}"
    )


_CHECKS: dict[AudioFormat, Callable[[BinaryIO, ReportDamage], FileCheck]] = {
    formats.WAV: check_wav,
    formats.MP3: check_mp3,
    formats.AAC: check_adts,
    formats.OGG: check_ogg,
    formats.OPUS: check_ogg,
    formats.WEBM: check_matroska,
    formats.MKA: check_matroska,
    formats.M4A: check_mp4,
    formats.MP4: check_mp4,
    formats.AIFF: check_aiff,
    formats.AU: check_au,
    formats.AVI: check_avi,
    formats.W64: check_w64,
}
"""Checks of what FFmpeg does not notice."""

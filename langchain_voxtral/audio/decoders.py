"""Files to samples: libsndfile for what it reads as written, FFmpeg for the rest.

libsndfile is quicker, and its frame count tells of damage; but it reads only the first of several
joined streams of Ogg and MP3, and complains on stderr. So those go to FFmpeg.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from langchain_voxtral.audio.errors import (
    VoxtralAudioError,
    VoxtralMissingAudioExtraError,
    VoxtralTruncatedAudioError,
)
from langchain_voxtral.audio.kinds import (
    AIFF,
    AU,
    FLAC,
    M4A,
    MKA,
    MP3,
    MP4,
    OGG,
    OPUS,
    WAV,
    WEBM,
    Kind,
)
from langchain_voxtral.audio.mp3 import FramesOnly
from langchain_voxtral.audio.wav import wav_header_facts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Track", "library", "track"]

_BY_LIBSNDFILE = {WAV, FLAC, AIFF, AU}
_TELL_THEIR_LENGTH = {OGG, OPUS, M4A, MP4, WEBM, MKA}
_WITHOUT_GAPS = {FLAC, OGG, OPUS, M4A, MP4}
_UNTOLD_FRAMES = 1 << 62
"""What libsndfile counts in a FLAC file that was written as a stream."""
_SLACK = 0.5
"""Seconds that a container may promise beyond its sound: padding, rounding, a longer picture."""


@dataclass(frozen=True, slots=True)
class Track:
    """The sound of an open file.

    Args:
        rate: Samples a second.
        seconds: Its length as the file says, None if it does not.
        pieces: Its samples, mono, piece by piece, to be read once.
    """

    rate: int
    seconds: float | None
    pieces: "Iterator[NDArray[np.float32]]"


def library(name: str) -> ModuleType:
    """Import a library of the `audio` extra.

    Raises:
        VoxtralMissingAudioExtraError: It is not installed.
    """
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # OSError: soundfile without libsndfile
        raise VoxtralMissingAudioExtraError(name) from error


@contextlib.contextmanager
def track(file: BinaryIO, kind: Kind) -> Iterator[Track]:
    """Open the sound of a file.

    Raises:
        VoxtralAudioError: No decoder reads it; while reading, `VoxtralTruncatedAudioError`
            where it breaks off.
    """
    with contextlib.ExitStack() as stack:
        opened = None
        if kind in _BY_LIBSNDFILE and not (kind == WAV and _length_untold(file)):
            opened = _by_libsndfile(file, stack)
        yield opened or _by_ffmpeg(file, kind, stack)


def _length_untold(file: BinaryIO) -> bool:
    try:
        return not wav_header_facts(file).told
    except VoxtralAudioError:
        return False


def _by_libsndfile(file: BinaryIO, stack: contextlib.ExitStack) -> Track | None:
    """Return the track; None for what libsndfile does not know: an encoding, a length."""
    soundfile = library("soundfile")
    file.seek(0)
    try:
        sound = stack.enter_context(soundfile.SoundFile(file))
    except soundfile.SoundFileError:
        return None
    rate, frames = sound.samplerate, sound.frames
    if frames >= _UNTOLD_FRAMES:
        return None

    def pieces() -> "Iterator[NDArray[np.float32]]":
        count = 0
        while count < frames:
            try:
                piece = sound.read(rate, dtype="float32", always_2d=True)
            except soundfile.SoundFileError:
                piece = ()
            if len(piece) == 0:
                raise _broken_off(count / rate, frames / rate)
            count += len(piece)
            yield piece.mean(axis=1)

    return Track(rate, frames / rate, pieces())


def _by_ffmpeg(file: BinaryIO, kind: Kind, stack: contextlib.ExitStack) -> Track:
    av = library("av")
    file.seek(0)
    source = cast("BinaryIO", FramesOnly(file)) if kind == MP3 else file
    try:
        container = stack.enter_context(av.open(source, format="mp3" if kind == MP3 else None))
    except av.FFmpegError as error:
        raise VoxtralAudioError(
            f"it begins like {kind.name} and cannot be opened: {error.strerror}"
        ) from error
    stream = container.streams.best("audio")
    if stream is None:
        raise VoxtralAudioError("it has no sound: there is no audio track in it")
    if stream.codec_context is None:
        raise VoxtralAudioError(f"it begins like {kind.name} and its encoding is not known")
    seconds = _told(container, stream) if kind in _TELL_THEIR_LENGTH else None
    return Track(stream.rate, seconds, _frames(av, container, stream, kind, seconds))


def _told(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is None or len(container.streams) > 1:
        return None
    return float(container.duration / 1_000_000)


def _frames(
    av: Any, container: Any, stream: Any, kind: Kind, told: float | None
) -> "Iterator[NDArray[np.float32]]":
    # Packed: PyAV 18 reads beyond the planes of a planar frame of 8 channels, and crashes.
    to_float = av.AudioResampler(format="flt")
    end = 0.0
    try:
        for frame in container.decode(stream):
            begin = end if frame.pts is None else float(frame.pts * frame.time_base)
            if kind in _WITHOUT_GAPS and begin - end > _SLACK:
                raise _broken_off(end, told)
            end = begin + frame.samples / frame.sample_rate
            for piece in to_float.resample(frame):
                yield piece.to_ndarray().reshape(-1, piece.layout.nb_channels).mean(axis=1)
    except av.FFmpegError as error:
        raise _broken_off(end, told) from error
    except ValueError as error:
        raise VoxtralAudioError(f"its channels or rate change at {end:.1f} s") from error
    if told is not None and told - end > _SLACK:
        raise _broken_off(end, told)


def _broken_off(at: float, told: float | None) -> VoxtralTruncatedAudioError:
    of = "" if told is None else f" of {told:.1f} s"
    return VoxtralTruncatedAudioError(
        f"it cannot be decoded beyond {at:.1f} s{of}: it is cut off or damaged there"
    )
